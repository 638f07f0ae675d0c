//! [`Snapshot`]: what every collected signal last said about every pod.

mod samples;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

pub use self::samples::NamespaceSamples;
use crate::{
    metrics::{Fold, SourceError},
    units::MilliValue,
};

/// A sample older than this is missing.
pub const STALE_AFTER: Duration = Duration::from_secs(60);

/// One pod's value of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The value, truncated to thousandths.
    pub value: MilliValue,
    /// When the engine was scraped, not when somebody asked.
    pub time: Timestamp,
}

impl Sample {
    /// Says whether the sample is young enough at `now`.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        is_fresh(self.time, now)
    }
}

fn is_fresh(time: Timestamp, now: Timestamp) -> bool {
    now.duration_since(time) <= SignedDuration::try_from(STALE_AFTER).unwrap_or(SignedDuration::MAX)
}

/// The samples of one signal by namespace and pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodSamples {
    namespaces: BTreeMap<Box<str>, NamespaceSamples>,
    newest: Option<Timestamp>,
}

impl PodSamples {
    /// Returns a pod's sample, whatever its age.
    pub fn get(&self, namespace: &str, pod: &str) -> Option<Sample> {
        self.namespaces.get(namespace)?.get(pod)
    }

    /// Returns the samples of a namespace.
    pub fn of_namespace(&self, namespace: &str) -> Option<&NamespaceSamples> {
        self.namespaces.get(namespace)
    }

    /// Iterates over all samples as (namespace, pod, sample), in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Sample)> {
        self.namespaces.iter().flat_map(|(namespace, samples)| {
            samples.iter().map(move |(pod, sample)| (&**namespace, pod, sample))
        })
    }

    /// Returns the time of the newest sample.
    pub fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Returns the number of samples.
    pub fn len(&self) -> usize {
        self.namespaces.values().map(|samples| samples.samples.len()).sum()
    }

    /// Says whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }
}

/// Collects (namespace, pod, sample) in any order; of two samples of one pod the last counts.
impl<'a> FromIterator<(&'a str, &'a str, Sample)> for PodSamples {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str, Sample)>>(samples: I) -> Self {
        let mut samples: Vec<_> = samples.into_iter().collect();
        samples.sort_by_key(|(namespace, pod, _)| (*namespace, *pod));
        let of_namespaces = samples.chunk_by(|(a, ..), (b, ..)| a == b);
        let namespaces = of_namespaces.filter_map(|samples| {
            Some((samples.first()?.0.into(), NamespaceSamples::of(samples.chunk_by(|a, b| a.1 == b.1))))
        });
        Self {
            namespaces: namespaces.collect(),
            newest: samples.iter().map(|(_, _, sample)| sample.time).max(),
        }
    }
}

/// What one signal last said.
///
/// A failed query keeps the samples of the one before, each with its own time, so a hiccup shorter than [`STALE_AFTER`] is not
/// seen and a longer one turns them into the failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The time the numbers are taken over; zero for a gauge.
    pub window: Duration,
    /// How the values of several pods of one replica become one.
    pub fold: Fold,
    /// The instant of the last query, answered or not.
    pub asked_at: Timestamp,
    /// The samples of the last answered query.
    pub samples: Arc<PodSamples>,
    /// Why the last query failed, if it did.
    pub error: Option<SourceError>,
}

impl Reading {
    /// Returns a pod's sample if it is young enough at `now`.
    pub fn sample(&self, namespace: &str, pod: &str, now: Timestamp) -> Option<Sample> {
        self.samples.get(namespace, pod).filter(|sample| sample.is_fresh(now))
    }

    /// Returns the failure that stands at `now`: the last query failed and what was known before has gone stale.
    pub fn failure(&self, now: Timestamp) -> Option<&SourceError> {
        let error = self.error.as_ref()?;
        (!self.samples.newest().is_some_and(|newest| is_fresh(newest, now))).then_some(error)
    }
}

/// What every collected signal last said; never changed, only replaced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    readings: HashMap<String, Reading>,
}

impl Snapshot {
    /// Returns what a signal said; `None` while it has not been asked, or answered, for the first time.
    pub fn reading(&self, signal: &str) -> Option<&Reading> {
        self.readings.get(signal)
    }

    /// Iterates over all signals and what they said.
    pub fn readings(&self) -> impl Iterator<Item = (&str, &Reading)> {
        self.readings.iter().map(|(signal, reading)| (signal.as_str(), reading))
    }
}

impl FromIterator<(String, Reading)> for Snapshot {
    fn from_iter<I: IntoIterator<Item = (String, Reading)>>(readings: I) -> Self {
        Self { readings: readings.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    #[test]
    fn a_failure_stands_only_when_the_samples_before_it_are_stale() {
        let sample = Sample { value: MilliValue::from_whole(3), time: at(0) };
        let error = SourceError::Unreachable {
            source_name: "prometheus at x".to_owned(),
            cause: "refused".to_owned(),
        };
        let reading = Reading {
            window: Duration::ZERO,
            fold: Fold::Sum,
            asked_at: at(15),
            samples: Arc::new([("ns", "p", sample)].into_iter().collect()),
            error: Some(error.clone()),
        };
        assert_eq!(reading.sample("ns", "p", at(60)), Some(sample), "60 s are still fresh");
        assert_eq!(reading.failure(at(60)), None);
        assert_eq!(reading.sample("ns", "p", at(61)), None);
        assert_eq!(reading.failure(at(61)), Some(&error));
        assert_eq!(reading.sample("ns", "other", at(0)), None);
    }

    #[test]
    fn samples_are_counted_once_per_pod() {
        let sample = |value| Sample { value: MilliValue::from_whole(value), time: at(0) };
        let samples: PodSamples =
            [("a", "p", sample(1)), ("a", "p", sample(2)), ("b", "p", sample(3))].into_iter().collect();
        assert_eq!(samples.len(), 2);
        assert_eq!(samples.get("a", "p"), Some(sample(2)), "the last counts");
        assert_eq!(samples.iter().collect::<Vec<_>>(), [("a", "p", sample(2)), ("b", "p", sample(3))]);
    }
}
