//! metrics.k8s.io by `resourceRules`: CPU and memory of pods and nodes, for `kubectl top` and the HPA's resource metrics.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures::future;
use jiff::Timestamp;
use rbg_autoscaler::units::MilliValue;
use serde::Serialize;
use serde_json::json;

use crate::{
    answers::Made,
    custom::unavailable,
    engine::{Engine, Kept, vector::Vector},
    reply::whole_seconds,
    request::{GroupResource, ObjectName, RequestError, ResourceRequest, ResourceTarget},
    rules::{
        query::Escaping,
        rulebook::Rulebook,
        usage::{BoundUsage, UsageOf, UsageQuery},
    },
};

const API_VERSION: &str = "metrics.k8s.io/v1beta1";
const RESOURCES: [&str; 2] = ["cpu", "memory"];
/// What the HPA takes values to be over when nothing says.
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);

/// CPU and memory, as far as known, as quantities.
type Usage = BTreeMap<&'static str, String>;

/// What is known of one pod or node: usage by container (nodes have one without a name), and the oldest sample's time.
#[derive(Debug, Default)]
struct Measured {
    containers: BTreeMap<String, Usage>,
    seen: [bool; 2],
    time: Option<Timestamp>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

#[derive(Serialize)]
struct ContainerUsage<'a> {
    name: &'a str,
    usage: &'a Usage,
}

impl Engine {
    /// Answers a request for CPU and memory. Errors: 404 without `resourceRules` or for an object without values.
    ///
    /// `selector_text` is the request's label selector as it came.
    pub async fn usage(&self, request: &ResourceRequest, selector_text: &str) -> Result<Made, RequestError> {
        let book = self.book().filter(|book| book.rules().usage.is_some());
        let book = book.ok_or_else(RequestError::no_such_path)?;
        let window = book.rules().usage.as_ref().map(BoundUsage::window).filter(|window| !window.is_zero());
        let window = go_duration(window.unwrap_or(DEFAULT_WINDOW));
        let is_wanted = |name: &str| request.field_name.as_deref().is_none_or(|wanted| wanted == name);
        let (kind, items) = match &request.target {
            ResourceTarget::Nodes => {
                let names = match &request.name {
                    ObjectName::One(name) => vec![name.clone()],
                    ObjectName::All => self.nodes(&book, selector_text).await?,
                };
                let names: Vec<_> = names.iter().map(String::as_str).filter(|name| is_wanted(name)).collect();
                let measured = self.measured(&book, UsageOf::Nodes, &names).await?;
                let items = names.iter().filter_map(|name| {
                    let measured = measured.get(*name)?;
                    let usage = measured.containers.get("")?;
                    Some(json!({
                        "metadata": Metadata { name, namespace: None },
                        "timestamp": measured.timestamp(),
                        "window": window,
                        "usage": usage,
                    }))
                });
                ("NodeMetrics", items.collect::<Vec<_>>())
            }
            ResourceTarget::Pods(namespace) => {
                let mut items = Vec::new();
                for (namespace, names) in self.pods_by_namespace(request, namespace.as_deref())? {
                    let names: Vec<_> =
                        names.iter().map(String::as_str).filter(|name| is_wanted(name)).collect();
                    let measured = self.measured(&book, UsageOf::Pods(&namespace), &names).await?;
                    items.extend(names.iter().filter_map(|name| {
                        let measured = measured.get(*name)?;
                        let containers: Vec<_> = measured
                            .containers
                            .iter()
                            .map(|(name, usage)| ContainerUsage { name, usage })
                            .collect();
                        Some(json!({
                            "metadata": Metadata { name, namespace: Some(&namespace) },
                            "timestamp": measured.timestamp(),
                            "window": window,
                            "containers": containers,
                        }))
                    }));
                }
                ("PodMetrics", items)
            }
        };
        let document = match (&request.name, items.into_iter()) {
            (ObjectName::One(name), mut items) => {
                let mut item = items.next().ok_or_else(|| {
                    let what = kind.to_lowercase();
                    RequestError::not_found(format!("{what}.metrics.k8s.io {name:?} not found"))
                })?;
                (item["kind"], item["apiVersion"]) = (json!(kind), json!(API_VERSION));
                item
            }
            (ObjectName::All, items) => json!({
                "kind": format!("{kind}List"),
                "apiVersion": API_VERSION,
                "metadata": {},
                "items": items.collect::<Vec<_>>(),
            }),
        };
        let body = serde_json::to_vec(&document).map_err(RequestError::internal)?.into();
        Ok(Made { body, basis: None })
    }

    async fn nodes(&self, book: &Rulebook, selector_text: &str) -> Result<Vec<String>, RequestError> {
        let nodes = GroupResource::new("", "nodes");
        let kind =
            book.kind(&nodes).ok_or_else(|| RequestError::internal("the cluster has no kind nodes"))?;
        Ok(self.list(kind, None, selector_text).await?.to_vec())
    }

    /// The pods that a request is about; of all namespaces without one.
    fn pods_by_namespace(
        &self,
        request: &ResourceRequest,
        namespace: Option<&str>,
    ) -> Result<Vec<(String, Vec<String>)>, RequestError> {
        if !self.pods.is_synced() {
            return Err(unavailable("the pods of the cluster are not listed yet".to_owned()));
        }
        if let (ObjectName::One(name), Some(namespace)) = (&request.name, namespace) {
            return Ok(vec![(namespace.to_owned(), vec![name.clone()])]);
        }
        let namespaces = match namespace {
            Some(namespace) => vec![namespace.to_owned()],
            None => self.pods.namespaces(),
        };
        let selected = |namespace: String| {
            let pods = self.pods.select(&namespace, &request.label_selector);
            (namespace, pods.into_iter().map(|(name, _)| name).collect())
        };
        Ok(namespaces.into_iter().map(selected).collect())
    }

    /// CPU and memory by the object's name. An object without one of the two is left out: no data is not zero.
    async fn measured(
        &self,
        book: &Rulebook,
        of: UsageOf<'_>,
        names: &[&str],
    ) -> Result<HashMap<String, Measured>, RequestError> {
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let queries = book.usage(of, names, Escaping::NAMES)?;
        let [cpu, memory] = &queries;
        let (cpu, memory) = future::try_join(
            self.answered(&cpu.query, Kept::Short),
            self.answered(&memory.query, Kept::Short),
        )
        .await?;
        let mut measured: HashMap<String, Measured> = HashMap::new();
        for (place, (query, answered)) in queries.iter().zip([&cpu, &memory]).enumerate() {
            let is_node = of == UsageOf::Nodes;
            take(&mut measured, place, query, &answered.vector, is_node);
        }
        measured.retain(|_, measured| measured.seen == [true, true]);
        Ok(measured)
    }
}

/// Takes the values of one of the two resources in.
fn take(
    measured: &mut HashMap<String, Measured>,
    place: usize,
    query: &UsageQuery,
    vector: &Vector,
    is_node: bool,
) {
    for element in &vector.elements {
        let Some(name) = element.labels.get(&query.label) else { continue };
        let container = element.labels.get(&query.container_label).map_or("", String::as_str);
        if !is_node && container.is_empty() {
            continue;
        }
        let of_object = measured.entry(name.clone()).or_default();
        let container = if is_node { "" } else { container };
        let usage = of_object.containers.entry(container.to_owned()).or_default();
        let value = element.value.max(MilliValue::ZERO);
        usage.insert(RESOURCES[place], if place == 0 { value.to_string() } else { bytes(value) });
        of_object.seen[place] = true;
        of_object.time = Some(of_object.time.map_or(element.time, |time| time.min(element.time)));
    }
}

impl Measured {
    fn timestamp(&self) -> Option<String> {
        self.time.map(whole_seconds)
    }
}

/// Writes a number of bytes as Kubernetes does: in powers of 1024, such as `3Gi` or `1025Ki`, fractions rounded up; below 1024 as any
/// other number.
fn bytes(value: MilliValue) -> String {
    const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let milli = value.milli();
    if milli < 1_024_000 {
        return value.to_string();
    }
    let (mut whole, mut power) = (milli / 1000 + i64::from(milli % 1000 > 0), 0);
    while whole % 1024 == 0 {
        whole /= 1024;
        power += 1;
    }
    format!("{whole}{}", SUFFIXES.get(power).copied().unwrap_or_default())
}

/// Writes a duration as Go does, such as `1m0s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As prometheus-adapter writes them (apimachinery's binary form of a quantity).
    #[test]
    fn memory_is_written_in_powers_of_1024() {
        for (milli, want) in [
            (0, "0"),
            (500, "500m"),
            (1_023_000, "1023"),
            (1_023_999, "1023999m"),
            (1_024_000, "1Ki"),
            (1_024_001, "1025"),
            (1_500_000, "1500"),
            (1_536_000, "1536"),
            (1_049_600_000, "1025Ki"),
            (1_073_741_824_000, "1Gi"),
            (3_221_225_472_000, "3Gi"),
            (i64::MAX, "9223372036854776"),
        ] {
            assert_eq!(bytes(MilliValue::from_milli(milli)), want, "{milli}");
        }
    }
}
