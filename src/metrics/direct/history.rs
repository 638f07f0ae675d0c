//! [`History`]: what was scraped lately, only of the series that signals need, in a few bytes per point.
//!
//! Gauges keep their last value. Counters keep totals that only grow (what a restart took away is added again), one per page; pages
//! share their times. The older a page, the sooner it is left out, so that a pod's memory has a bound whatever the interval.

use std::{
    borrow::Borrow,
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use crate::metrics::{
    Definition, Signal,
    direct::exposition::{self, Line, Parser},
    expression::{Expression, Series},
};

/// Pages of one pod that are remembered.
const MOST_PAGES: usize = 40;
/// Series of one pod that are remembered; more are left out.
const MOST_SERIES: usize = 4096;
/// Series of this beginning tell of the pods that their labels name, not of the pod that exposes them.
const TELLS_OF_OTHERS: &str = "DCGM_";

/// Which series are kept, and how long.
#[derive(Debug, Default)]
pub struct Wanted {
    names: HashMap<String, Kind>,
    keep: Duration,
}

/// How signals read a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kind {
    is_gauge: bool,
    is_counter: bool,
}

/// The labels of a series; pods of one engine share them.
#[derive(Debug)]
pub(super) struct Labels {
    text: Box<str>,
    pairs: Vec<(Box<str>, Box<str>)>,
}

/// Labels as a member of a set, by their text.
#[derive(Debug)]
struct Interned(Arc<Labels>);

/// One series of a pod.
#[derive(Debug)]
pub(super) struct SeriesHistory {
    pub(super) labels: Arc<Labels>,
    /// The last value.
    pub(super) value: f64,
    /// When that was, in milliseconds since the epoch.
    pub(super) at: i64,
    /// Of a counter: the total at each of the newest pages.
    totals: Vec<f64>,
    /// The page that it was last on.
    page: i64,
    /// Whether the page was another pod's.
    is_told: bool,
}

/// A counter within a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals<'a> {
    /// When its pages were read, in milliseconds since the epoch.
    pub(super) times: &'a [i64],
    /// Its totals then.
    pub(super) values: &'a [f64],
    /// Whether it was known before the window.
    pub(super) has_older: bool,
}

/// What one pod exposed.
#[derive(Debug, Default)]
pub struct PodHistory {
    uid: String,
    /// When its pages were read, oldest first, in milliseconds since the epoch.
    pages: Vec<i64>,
    series: HashMap<Arc<str>, Vec<SeriesHistory>>,
    /// Whether the last page could not be read: then nothing is known now, but rates go on where they were.
    is_failing: bool,
}

/// The history of all pods.
#[derive(Debug, Default)]
pub struct History {
    wanted: Arc<Wanted>,
    names: HashSet<Arc<str>>,
    labels: HashSet<Interned>,
    /// By namespace and pod.
    pods: HashMap<(String, String), PodHistory>,
}

/// A page of metrics, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The namespace of the pod.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The pod's UID.
    pub uid: &'a str,
    /// When it was asked for.
    pub at: Timestamp,
    /// The text.
    pub text: &'a str,
    /// Whether it is `OpenMetrics`.
    pub is_open_metrics: bool,
}

impl Wanted {
    /// Returns what these signals need.
    pub fn new<'a>(signals: impl IntoIterator<Item = &'a Signal>) -> Self {
        let mut wanted = Self::default();
        for signal in signals {
            wanted.keep = wanted.keep.max(signal.window);
            if let Definition::Engines(engines) | Definition::Narrowed(engines, _) = &signal.definition {
                for engine in *engines {
                    wanted.expression(&engine.expression);
                }
            }
        }
        wanted
    }

    /// Says whether a series of this name is kept.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    fn gauge(&mut self, series: &Series) {
        self.names.entry(series.name.to_owned()).or_default().is_gauge = true;
    }

    fn counter(&mut self, name: String) {
        self.names.entry(name).or_default().is_counter = true;
    }

    fn expression(&mut self, expression: &Expression) {
        match expression {
            Expression::Sum(series) | Expression::Mean(series) | Expression::SumOfMax(series, _) => {
                self.gauge(series);
            }
            Expression::Rate(series) => self.counter(series.name.to_owned()),
            Expression::Quantile(series) => {
                self.counter(format!("{}_bucket", series.name));
                self.counter(format!("{}_count", series.name));
            }
            Expression::Divide(left, right) | Expression::Add(left, right) => {
                self.expression(left);
                self.expression(right);
            }
            Expression::Over(expression, _) | Expression::Times(expression, _) => self.expression(expression),
            Expression::Backlog { waiting, tokens, requests } => {
                for expression in [waiting, tokens, requests] {
                    self.expression(expression);
                }
            }
            Expression::Awake(expression, awake) => {
                self.expression(expression);
                self.gauge(awake);
            }
        }
    }
}

impl Labels {
    /// Returns the value of a label; empty when it is absent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(label, _)| &**label == name).map_or("", |(_, value)| value)
    }
}

impl Borrow<str> for Interned {
    fn borrow(&self) -> &str {
        &self.0.text
    }
}

impl Hash for Interned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        str::hash(&self.0.text, state);
    }
}

impl PartialEq for Interned {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Interned {}

impl History {
    /// Returns an empty history that keeps what is wanted.
    pub fn new(wanted: Arc<Wanted>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Takes a page in; series that it lacks have ended. Returns how many lines were malformed.
    pub fn take(&mut self, page: Page<'_>) -> usize {
        let at = page.at.as_millisecond();
        let key = (page.namespace.to_owned(), page.pod.to_owned());
        let mut pod = self.pods.remove(&key).unwrap_or_default();
        // Of an earlier pod of that name nothing counts; what an exporter told has no UID.
        if !pod.uid.is_empty() && pod.uid != page.uid {
            pod = PodHistory::default();
        }
        if pod.pages.last().is_some_and(|last| *last >= at) {
            self.pods.insert(key, pod);
            return 0;
        }
        page.uid.clone_into(&mut pod.uid);
        pod.is_failing = false;
        pod.pages.push(at);
        let mut parser = Parser::new(page.text, page.is_open_metrics);
        let mut count = 0;
        for line in parser.by_ref() {
            let Some(kind) = self.wanted.names.get(line.name).copied() else { continue };
            count += 1;
            if count > MOST_SERIES {
                break;
            }
            let name = self.name(line.name);
            let told = line.name.starts_with(TELLS_OF_OTHERS).then(|| self.told_pod(&line)).flatten();
            match told {
                Some(told) => {
                    let labels = self.labels(line.labels);
                    let Some(labels) = labels else { continue };
                    let other = self.pods.entry(told).or_default();
                    other.put(&name, &line, at, kind, true, || Some(labels));
                }
                None => pod.put(&name, &line, at, kind, false, || self.labels(line.labels)),
            }
        }
        pod.end_page(at, self.wanted.keep);
        self.pods.insert(key, pod);
        parser.malformed
    }

    /// Notes that a pod's page could not be read: it has no samples until one can.
    pub fn fail(&mut self, namespace: &str, pod: &str) {
        if let Some(pod) = self.pods.get_mut(&(namespace.to_owned(), pod.to_owned())) {
            pod.is_failing = true;
        }
    }

    /// Forgets pods that are gone, and labels that nobody has any more.
    pub fn retain(&mut self, mut is_there: impl FnMut(&str, &str) -> bool) {
        let before = self.pods.len();
        self.pods.retain(|(namespace, pod), _| is_there(namespace, pod));
        if self.pods.len() != before {
            self.labels.retain(|labels| Arc::strong_count(&labels.0) > 1);
        }
    }

    /// Iterates over the pods as (namespace, pod, history).
    pub fn pods(&self) -> impl Iterator<Item = (&str, &str, &PodHistory)> {
        self.pods.iter().map(|((namespace, pod), history)| (namespace.as_str(), pod.as_str(), history))
    }

    /// The pod that a line's labels name.
    fn told_pod(&mut self, line: &Line<'_>) -> Option<(String, String)> {
        let labels = self.labels(line.labels)?;
        let (namespace, pod) = (labels.get("namespace"), labels.get("pod"));
        (!namespace.is_empty() && !pod.is_empty()).then(|| (namespace.to_owned(), pod.to_owned()))
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = Arc::from(name);
        self.names.insert(name.clone());
        name
    }

    /// Labels of that text; `None` when malformed.
    fn labels(&mut self, text: &str) -> Option<Arc<Labels>> {
        if let Some(known) = self.labels.get(text) {
            return Some(known.0.clone());
        }
        let pairs = exposition::labels(text)?.into_iter();
        let pairs = pairs.map(|(name, value)| (name.into(), value.into_owned().into_boxed_str())).collect();
        let labels = Arc::new(Labels { text: text.into(), pairs });
        self.labels.insert(Interned(labels.clone()));
        Some(labels)
    }
}

impl PodHistory {
    fn put(
        &mut self,
        name: &Arc<str>,
        line: &Line<'_>,
        page: i64,
        kind: Kind,
        is_told: bool,
        labels: impl FnOnce() -> Option<Arc<Labels>>,
    ) {
        let at = line.time.and_then(milliseconds).unwrap_or(page);
        let series = match self.series.get_mut(name) {
            Some(series) => series,
            None => self.series.entry(name.clone()).or_default(),
        };
        let known = series.iter_mut().find(|known| known.page != page && *known.labels.text == *line.labels);
        let Some(known) = known else {
            let is_repeated = series.iter().any(|known| *known.labels.text == *line.labels);
            if let Some(labels) = labels().filter(|_| !is_repeated) {
                let totals = if kind.is_counter { vec![line.value] } else { Vec::new() };
                series.push(SeriesHistory { labels, value: line.value, at, totals, page, is_told });
            }
            return;
        };
        if kind.is_counter {
            // A counter that fell was started anew from 0.
            let grown =
                if line.value < known.value { line.value } else { (line.value - known.value).max(0.0) };
            let total = known.totals.last().copied().unwrap_or_default();
            known.totals.push(total + grown);
        }
        (known.value, known.at, known.page) = (line.value, at, page);
    }

    /// Forgets what has ended and what is too old, and thins the rest out.
    fn end_page(&mut self, page: i64, keep: Duration) {
        let oldest = page.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        // One older page tells that a series goes back beyond the window.
        let gone = self.pages.partition_point(|at| *at < oldest).saturating_sub(1);
        // Every other page of the older half.
        let is_full = self.pages.len() - gone > MOST_PAGES;
        let is_kept = |index: usize| {
            index >= gone && !(is_full && index - gone < MOST_PAGES / 2 && (index - gone) % 2 == 1)
        };
        let before = self.pages.len();
        for series in self.series.values_mut() {
            series.retain_mut(|series| {
                let first = before.saturating_sub(series.totals.len());
                let mut index = first;
                series.totals.retain(|_| {
                    index += 1;
                    is_kept(index - 1)
                });
                series.page == page || (series.is_told && series.page >= oldest)
            });
        }
        self.series.retain(|_, series| !series.is_empty());
        let mut index = 0;
        self.pages.retain(|_| {
            index += 1;
            is_kept(index - 1)
        });
    }

    /// Says whether its last page could not be read.
    pub fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// Returns how many pages are remembered.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Returns how many series are known.
    pub fn series_count(&self) -> usize {
        self.series.values().map(Vec::len).sum()
    }

    /// Returns the series of a name.
    pub(super) fn named(&self, name: &str) -> &[SeriesHistory] {
        self.series.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the times and totals of a counter that lie within a window, which is open at its beginning.
    pub(super) fn totals<'a>(&'a self, series: &'a SeriesHistory, from: i64, at: i64) -> Totals<'a> {
        let count = series.totals.len().min(self.pages.len());
        let times = &self.pages[self.pages.len() - count..];
        let totals = &series.totals[series.totals.len() - count..];
        let begins = times.partition_point(|page| *page <= from);
        let ends = times.partition_point(|page| *page <= at).max(begins);
        Totals { times: &times[begins..ends], values: &totals[begins..ends], has_older: begins > 0 }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, as we want"
)]
fn milliseconds(seconds: f64) -> Option<i64> {
    seconds.is_finite().then_some((seconds * 1000.0).round() as i64)
}
