//! What the metrics APIs answer, read into the form of a snapshot document. Pure.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rbg_autoscaler::{
    api::snapshot::{ReadingSnapshot, SampleSnapshot},
    units::{GatewayDuration, MilliValue},
};
use serde::Deserialize;

use super::question::{Question, Subject};

/// A list of metrics.k8s.io, custom.metrics.k8s.io or external.metrics.k8s.io.
#[derive(Debug, Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

/// `PodMetrics` of metrics.k8s.io/v1beta1.
#[derive(Debug, Deserialize)]
struct PodMetrics {
    metadata: Name,
    timestamp: Option<Timestamp>,
    window: Option<String>,
    #[serde(default)]
    containers: Vec<ContainerMetrics>,
}

#[derive(Debug, Deserialize)]
struct ContainerMetrics {
    name: String,
    #[serde(default)]
    usage: BTreeMap<String, MilliValue>,
}

#[derive(Debug, Default, Deserialize)]
struct Name {
    #[serde(default)]
    name: String,
}

/// `MetricValue` of custom.metrics.k8s.io, either version.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricValue {
    #[serde(default)]
    described_object: Name,
    timestamp: Option<Timestamp>,
    window_seconds: Option<u64>,
    value: MilliValue,
}

/// `ExternalMetricValue` of external.metrics.k8s.io/v1beta1.
#[derive(Debug, Deserialize)]
struct ExternalMetricValue {
    timestamp: Option<Timestamp>,
    value: MilliValue,
}

/// Reads the answer to a question.
pub(super) fn read(question: &Question, body: &str) -> Result<ReadingSnapshot, String> {
    match &question.subject {
        Subject::Resource { resource, .. } => {
            let items = items::<PodMetrics>(body)?;
            Ok(samples(items.into_iter().map(|item| of_pod(item, resource)).collect()))
        }
        Subject::Pods { .. } => {
            let items = items::<MetricValue>(body)?;
            Ok(samples(items.into_iter().map(of_metric).collect()))
        }
        Subject::Object { .. } => match <[MetricValue; 1]>::try_from(items::<MetricValue>(body)?) {
            Ok([item]) => Ok(values(vec![item.value], item.timestamp)),
            Err(items) => {
                Err(format!("the custom metrics API answered {} values for one object", items.len()))
            }
        },
        Subject::External(_) => {
            let items = items::<ExternalMetricValue>(body)?;
            let time = items.iter().filter_map(|item| item.timestamp).max();
            Ok(values(items.into_iter().map(|item| item.value).collect(), time))
        }
    }
}

fn items<T: for<'de> Deserialize<'de>>(body: &str) -> Result<Vec<T>, String> {
    let list: List<T> = serde_json::from_str(body).map_err(|error| format!("unreadable answer: {error}"))?;
    Ok(list.items)
}

fn samples(samples: Vec<SampleSnapshot>) -> ReadingSnapshot {
    ReadingSnapshot { samples: Some(samples), ..ReadingSnapshot::default() }
}

fn values(values: Vec<MilliValue>, timestamp: Option<Timestamp>) -> ReadingSnapshot {
    ReadingSnapshot { values: Some(values), timestamp, ..ReadingSnapshot::default() }
}

fn of_pod(item: PodMetrics, resource: &str) -> SampleSnapshot {
    let usage = |container: ContainerMetrics| (container.name, container.usage.get(resource).copied());
    SampleSnapshot {
        pod: item.metadata.name,
        containers: Some(item.containers.into_iter().map(usage).collect()),
        timestamp: item.timestamp,
        // Such as 15.037s.
        window: item.window.and_then(|text| {
            let window: SignedDuration = text.parse().ok()?;
            Duration::try_from(window).ok().map(GatewayDuration::from)
        }),
        ..SampleSnapshot::default()
    }
}

fn of_metric(item: MetricValue) -> SampleSnapshot {
    SampleSnapshot {
        pod: item.described_object.name,
        value: Some(item.value),
        timestamp: item.timestamp,
        window: item.window_seconds.map(GatewayDuration::from_secs),
        ..SampleSnapshot::default()
    }
}
