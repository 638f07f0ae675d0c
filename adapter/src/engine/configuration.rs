//! [`Configuration`]: the file of rules, followed; the kinds of the cluster and the series of Prometheus, listed again and again.

use std::{
    collections::{BTreeSet, HashMap},
    fmt, fs,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use kube::Client;
use rbg_autoscaler::metrics::{Signal, collector::Collector};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use tokio::time::Instant;

use crate::{
    engine::{Engine, kinds, vector::Wholeness},
    rules::{config::RuleSet, id::Finding, resources::ResourceMap, rulebook::Rulebook, series::SeriesShape},
    telemetry::Telemetry,
};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How soon a listing that failed in part is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Kinds may be added at any time, such as those of a new custom resource definition.
const KINDS_EVERY: Duration = Duration::from_secs(60);

/// Where rules come from and how often what they find is listed.
pub struct Configuration {
    /// The file.
    pub file: PathBuf,
    /// How often series are listed.
    pub relist_every: Duration,
    /// Series not seen for this long are gone.
    pub max_age: Duration,
    /// The built-in signals, which stay beside the rules.
    pub signals: Vec<Arc<Signal>>,
}

/// What is known so far.
struct Known {
    /// The file's text as it was last tried; empty when it could not be read.
    tried: Option<Vec<u8>>,
    /// Whether a text could be used at all.
    is_loaded: bool,
    rules: RuleSet,
    /// Rules that name a kind which the cluster does not have.
    waiting: Vec<Finding>,
    kinds: Arc<ResourceMap>,
    series: HashMap<String, Vec<SeriesShape>>,
}

#[derive(Deserialize)]
struct SeriesReply {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    data: Shapes,
    #[serde(flatten)]
    wholeness: Wholeness,
}

/// The shapes of an answer, and why some may be missing.
type Listed = (Vec<SeriesShape>, Option<String>);

/// Distinct shapes, kept one by one while the answer is read: it may list every series of a Prometheus.
#[derive(Default)]
struct Shapes(BTreeSet<SeriesShape>);

/// One series; `None` without a name.
struct Shape(Option<SeriesShape>);

impl<'de> Deserialize<'de> for Shapes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Shapes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of series")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut series: A) -> Result<Shapes, A::Error> {
                let mut shapes = BTreeSet::new();
                while let Some(Shape(shape)) = series.next_element()? {
                    shapes.extend(shape);
                }
                Ok(Shapes(shapes))
            }
        }
        deserializer.deserialize_seq(All)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the labels of a series")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                let (mut name, mut labels) = (None, Vec::new());
                while let Some(label) = map.next_key::<String>()? {
                    if label == "__name__" {
                        name = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        labels.push(label);
                    }
                }
                labels.sort();
                Ok(Shape(name.map(|name| SeriesShape { name, labels })))
            }
        }
        deserializer.deserialize_map(One)
    }
}

impl Configuration {
    /// Keeps the engine and the collector as the file says, until dropped. A file that cannot be used leaves all as it was; a bad
    /// rule is left out alone, and a failed listing leaves that rule's series as they were.
    pub async fn follow(
        self,
        engine: Arc<Engine>,
        collector: Collector,
        client: Client,
        telemetry: Telemetry,
    ) {
        let mut known = Known {
            tried: None,
            is_loaded: false,
            rules: RuleSet::default(),
            waiting: Vec::new(),
            kinds: Arc::new(ResourceMap::built_in()),
            series: HashMap::new(),
        };
        let (mut next_series, mut last_kinds) = (Instant::now(), None::<Instant>);
        loop {
            let now = Instant::now();
            let is_changed = self.read(&mut known, &telemetry, &collector);
            // Somebody waits for a kind: it may be installed any moment.
            let kinds_every = if known.waiting.is_empty() { KINDS_EVERY } else { RETRY };
            let mut is_new = is_changed;
            if last_kinds.is_none_or(|last| now >= last + kinds_every) {
                last_kinds = Some(now);
                match kinds::discover(client.clone()).await {
                    Ok(found) if found != *known.kinds => {
                        known.kinds = Arc::new(found);
                        is_new = true;
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "kinds of objects kept as they were"),
                }
            }
            // A rule whose kind is new has no series yet.
            if known.is_loaded && (is_new || now >= next_series) {
                let is_whole = self.list_series(&mut known, &engine).await;
                next_series = now + if is_whole { self.relist_every } else { RETRY.min(self.relist_every) };
                is_new = true;
            }
            if is_new && known.is_loaded {
                let book = known.book();
                known.note_waiting(&book);
                engine.replace(book);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Reads the file if it has changed; says whether there are other rules now.
    fn read(&self, known: &mut Known, telemetry: &Telemetry, collector: &Collector) -> bool {
        let file = self.file.display();
        let read = fs::read(&self.file);
        let text = read.as_ref().map(Vec::as_slice).unwrap_or_default();
        if known.tried.as_deref() == Some(text) {
            return false;
        }
        known.tried = Some(text.to_vec());
        let loaded = read.as_ref().map_err(ToString::to_string).and_then(|text| {
            let text = str::from_utf8(text).map_err(|error| error.to_string())?;
            RuleSet::load(text).map_err(|error| error.to_string())
        });
        let rules = match loaded {
            Ok(rules) => rules,
            Err(error) => {
                tracing::error!(%file, error, "rules kept as they were: the configuration cannot be used");
                telemetry.config_reloaded(false);
                return false;
            }
        };
        for finding in &rules.errors {
            tracing::error!(rule = %finding.rule, error = finding.message, "rule left out");
        }
        telemetry.config_reloaded(rules.errors.is_empty());
        tracing::info!(
            %file,
            rules = rules.custom.len() + rules.plain.len(),
            external_rules = rules.external.len(),
            left_out = rules.errors.len(),
            "configuration read"
        );
        let plain = rules.plain.iter().map(|rule| Arc::new(rule.signal()));
        collector.set_signals(self.signals.iter().cloned().chain(plain));
        (known.is_loaded, known.rules) = (true, rules);
        true
    }

    /// Asks Prometheus for the series of every rule, all at once; says whether all answered.
    async fn list_series(&self, known: &mut Known, engine: &Engine) -> bool {
        let start = (engine.clock)().checked_sub(self.max_age).unwrap_or_default();
        let bound = known.rules.bind(&known.kinds);
        let queries: Vec<String> = bound.series_queries().into_iter().map(str::to_owned).collect();
        let asked = queries.iter().map(|query| async move {
            let answer = engine.upstream.series(query, start).await.map_err(|error| error.to_string());
            (query.clone(), answer.and_then(|body| shapes(&body)))
        });
        let mut is_whole = true;
        for (query, answer) in futures::future::join_all(asked).await {
            match answer {
                Ok((shapes, None)) => {
                    known.series.insert(query, shapes);
                }
                Ok((shapes, Some(why))) => {
                    tracing::debug!(query, why, "a part of the series is not listed: those before are kept");
                    let all = known.series.entry(query).or_default();
                    all.extend(shapes);
                    all.sort();
                    all.dedup();
                }
                Err(error) => {
                    is_whole = false;
                    tracing::warn!(query, error, "series of a rule kept as they were");
                }
            }
        }
        known.series.retain(|query, _| queries.contains(query));
        is_whole
    }
}

impl Known {
    fn book(&self) -> Rulebook {
        let bound = self.rules.bind(&self.kinds);
        Rulebook::new(bound, self.kinds.clone(), |rule| {
            self.series.get(rule.rule.series.text()).map(Vec::as_slice).unwrap_or_default()
        })
    }

    /// Notes which rules wait for a kind of object, and tells of those that have begun to.
    fn note_waiting(&mut self, book: &Rulebook) {
        let found = book.rules().errors.iter().filter(|finding| !self.rules.errors.contains(finding));
        let waiting: Vec<Finding> = found.cloned().collect();
        for Finding { rule, message } in waiting.iter().filter(|finding| !self.waiting.contains(finding)) {
            tracing::warn!(%rule, error = message, "rule left out until the cluster has the kind");
        }
        for Finding { rule, .. } in self.waiting.iter().filter(|finding| !waiting.contains(finding)) {
            tracing::info!(%rule, "rule does not wait for its kind any more");
        }
        self.waiting = waiting;
    }
}

/// Reads the distinct names and label names out of an answer of `/api/v1/series`.
fn shapes(body: &[u8]) -> Result<Listed, String> {
    let reply: SeriesReply =
        serde_json::from_slice(body).map_err(|error| format!("unreadable answer: {error}"))?;
    if reply.status != "success" {
        return Err(reply.error);
    }
    Ok((reply.data.0.into_iter().collect(), reply.wholeness.partial()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_become_shapes_each_once() {
        let body = r#"{"status":"success","data":[{"__name__":"b","x":"1"},{"__name__":"a","z":"1","y":"2"},
            {"__name__":"a","y":"3","z":"4"},{"x":"nameless"}]}"#;
        let (found, partial) = shapes(body.as_bytes()).expect("readable");
        assert_eq!(partial, None);
        let found: Vec<_> = found.iter().map(|shape| (shape.name.as_str(), shape.labels.join(","))).collect();
        assert_eq!(found, [("a", "y,z".to_owned()), ("b", "x".to_owned())]);
        assert_eq!(shapes(br#"{"status":"error","error":"too many"}"#), Err("too many".to_owned()));
    }
}
