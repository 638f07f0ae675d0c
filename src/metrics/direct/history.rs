//! [`History`]: what was scraped lately, only of the series that signals need.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use crate::metrics::{
    Definition, Signal,
    direct::exposition::{self, Parser},
};

/// A value at a time, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub at: i64,
    /// What.
    pub value: f64,
}

/// A series of any pod: pods of one engine share their series' names and labels.
#[derive(Debug, PartialEq)]
pub struct SeriesInfo {
    /// The name as exposed.
    pub name: Arc<str>,
    /// The labels.
    pub labels: Vec<(String, String)>,
}

impl SeriesInfo {
    /// Returns the value of a label; empty when it is absent.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

/// Which series are kept, and one number for each that was seen.
#[derive(Debug, Default)]
pub struct SeriesTable {
    wanted: HashSet<String>,
    numbers: HashMap<Arc<str>, HashMap<String, usize>>,
    series: Vec<Arc<SeriesInfo>>,
}

/// One pod's points by series number.
#[derive(Clone, Debug, Default)]
pub struct PodHistory {
    series: HashMap<usize, SeriesHistory>,
    /// When the pod was last scraped well.
    pub scraped_at: Option<Timestamp>,
}

/// The points of one series of a pod, oldest first.
#[derive(Clone, Debug, Default)]
pub struct SeriesHistory {
    /// The points.
    pub points: VecDeque<Point>,
    /// When it was last on a page.
    pub seen_at: Timestamp,
}

/// The history of all pods.
#[derive(Debug, Default)]
pub struct History {
    /// The series of all pods.
    pub table: SeriesTable,
    /// By namespace and pod.
    pub pods: HashMap<(String, String), PodHistory>,
}

impl SeriesTable {
    /// Returns a table that keeps what these signals need.
    pub fn new<'a>(signals: impl IntoIterator<Item = &'a Signal>) -> Self {
        let mut wanted = HashSet::new();
        for signal in signals {
            if let Definition::Engines(engines) = &signal.definition {
                for engine in *engines {
                    engine.expression.each_name(&mut |name| {
                        wanted.insert(name);
                    });
                }
            }
        }
        Self { wanted, ..Self::default() }
    }

    /// Returns a series by its number.
    pub fn get(&self, number: usize) -> Option<&Arc<SeriesInfo>> {
        self.series.get(number)
    }

    /// Returns the series of a name with their numbers.
    pub fn named(&self, name: &str) -> impl Iterator<Item = (usize, &Arc<SeriesInfo>)> {
        let numbers = self.numbers.get(name).into_iter().flat_map(HashMap::values);
        numbers.filter_map(|number| Some((*number, self.series.get(*number)?)))
    }

    fn number(&mut self, name: &str, labels: &str) -> Option<usize> {
        if !self.wanted.contains(name) {
            return None;
        }
        if let Some(number) = self.numbers.get(name).and_then(|of_name| of_name.get(labels)) {
            return Some(*number);
        }
        let parsed = exposition::labels(labels)?;
        let parsed = parsed.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
        let name: Arc<str> = match self.numbers.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => Arc::from(name),
        };
        let number = self.series.len();
        self.series.push(Arc::new(SeriesInfo { name: name.clone(), labels: parsed }));
        self.numbers.entry(name).or_default().insert(labels.to_owned(), number);
        Some(number)
    }
}

impl History {
    /// Takes a page (its text, and whether it is `OpenMetrics`) of a pod in; points older than `keep` before it are forgotten. Returns how many lines were malformed.
    pub fn scraped(
        &mut self,
        namespace: &str,
        pod: &str,
        scraped_at: Timestamp,
        page: (&str, bool),
        keep: Duration,
    ) -> usize {
        let history = self.pods.entry((namespace.to_owned(), pod.to_owned())).or_default();
        let mut parser = Parser::new(page.0, page.1);
        let at_milliseconds = scraped_at.as_millisecond();
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        for line in parser.by_ref() {
            let Some(number) = self.table.number(line.name, line.labels) else { continue };
            let at = line.time.and_then(milliseconds).unwrap_or(at_milliseconds);
            let series = history.series.entry(number).or_default();
            series.seen_at = scraped_at;
            if series.points.back().is_none_or(|last| last.at < at) {
                series.points.push_back(Point { at, value: line.value });
            }
        }
        let oldest = at_milliseconds.saturating_sub(keep);
        history.series.retain(|_, series| {
            while series.points.front().is_some_and(|first| first.at < oldest) {
                series.points.pop_front();
            }
            !series.points.is_empty()
        });
        history.scraped_at = Some(scraped_at);
        parser.malformed
    }

    /// Forgets pods that are gone.
    pub fn retain(&mut self, mut is_there: impl FnMut(&str, &str) -> bool) {
        self.pods.retain(|(namespace, pod), _| is_there(namespace, pod));
    }
}

impl PodHistory {
    /// Returns how many series are known.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// Returns the history of a series.
    pub fn series(&self, number: usize) -> Option<&SeriesHistory> {
        self.series.get(&number)
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
