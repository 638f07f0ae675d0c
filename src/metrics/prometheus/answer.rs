//! What Prometheus answers to an instant query, read as samples of pods.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    metrics::{Sample, Signal, SourceError, source::Answer},
    units::MilliValue,
};

/// Why an answer holds no samples.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoSamples {
    /// Prometheus says why.
    Refused(String),
    /// The bytes are not what they should be.
    Unreadable(String),
}

impl NoSamples {
    pub(super) fn of(self, source_name: &str) -> SourceError {
        let source_name = source_name.to_owned();
        match self {
            Self::Refused(message) => SourceError::Refused { source_name, message },
            Self::Unreadable(why) => SourceError::Unreadable { source_name, why },
        }
    }
}

/// Reads the answer to a signal's query at an instant.
pub(super) fn read(signal: &Signal, at: Timestamp, body: &[u8]) -> Result<Answer, NoSamples> {
    let reply: Reply<'_> =
        serde_json::from_slice(body).map_err(|error| NoSamples::Unreadable(error.to_string()))?;
    if reply.status != "success" {
        let kind = reply.error_type.unwrap_or_default();
        return Err(NoSamples::Refused(format!("{kind}: {}", reply.error.unwrap_or_default())));
    }
    let Some(data) = reply.data else { return Err(NoSamples::Unreadable("no data in it".to_owned())) };
    if data.result_type != "vector" {
        let why =
            format!("a {} instead of a vector; the query must give one value per pod", data.result_type);
        return Err(NoSamples::Unreadable(why));
    }
    let mut answer = join(signal, at, &data.result);
    answer.warnings = reply.warnings.into_iter().flatten().map(Cow::into_owned).collect();
    Ok(answer)
}

/// Puts the two halves of an answer together: values, and the times of the samples behind them.
fn join(signal: &Signal, at: Timestamp, vector: &[Element<'_>]) -> Answer {
    let mut times: HashMap<(&str, &str), Timestamp> = HashMap::new();
    for element in vector.iter().filter(|element| element.metric.part.as_deref() == Some("time")) {
        if let (Some(pod), Some(time)) = (element.metric.key(), element.number().and_then(timestamp)) {
            times.insert(pod, time);
        }
    }
    let (mut samples, mut dropped) = (Vec::with_capacity(vector.len()), 0);
    let mut answered: HashSet<(&str, &str)> = HashSet::new();
    for element in vector.iter().filter(|element| element.metric.part.as_deref() != Some("time")) {
        let Some((namespace, pod)) = element.metric.key() else { continue };
        answered.insert((namespace, pod));
        let unmarked = element.metric.part.is_none();
        let time = if unmarked { Some(at) } else { times.get(&(namespace, pod)).copied() };
        let value = match element.number() {
            Some(number) if number.is_nan() => signal.undefined_value(),
            Some(number) => MilliValue::from_f64_truncated(number),
            None => None,
        };
        match (value, time) {
            (Some(value), Some(time)) => samples.push((namespace, pod, Sample { value, time })),
            _ => dropped += 1,
        }
    }
    // VictoriaMetrics leaves out what is not a number; that the pod was scraped it says all the same.
    if let Some(value) = signal.undefined_value() {
        for ((namespace, pod), time) in times.into_iter().filter(|(pod, _)| !answered.contains(pod)) {
            samples.push((namespace, pod, Sample { value, time }));
        }
    }
    Answer { samples: samples.into_iter().collect(), dropped, warnings: Vec::new() }
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
    #[serde(borrow, rename = "errorType")]
    error_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    warnings: Option<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, rename = "resultType")]
    result_type: Cow<'a, str>,
    #[serde(borrow, default)]
    result: Vec<Element<'a>>,
}

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    metric: Labels<'a>,
    /// Native histograms have none.
    #[serde(borrow, default)]
    value: Option<(f64, Cow<'a, str>)>,
}

#[derive(Deserialize)]
struct Labels<'a> {
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pod: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "rbga_part")]
    part: Option<Cow<'a, str>>,
}

impl Labels<'_> {
    fn key(&self) -> Option<(&str, &str)> {
        let (namespace, pod) = (self.namespace.as_deref()?, self.pod.as_deref()?);
        (!namespace.is_empty() && !pod.is_empty()).then_some((namespace, pod))
    }
}

impl Element<'_> {
    fn number(&self) -> Option<f64> {
        self.value.as_ref()?.1.parse().ok()
    }
}

fn timestamp(seconds: f64) -> Option<Timestamp> {
    // Rounded: a float of seconds may lie a little below its millisecond.
    let milliseconds = MilliValue::from_f64_truncated(seconds + 0.0005)?;
    Timestamp::from_millisecond(milliseconds.milli()).ok()
}
