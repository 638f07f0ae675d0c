//! custom.metrics.k8s.io by signals: answered from the collector's snapshot, for the live pods that a selector matches, and for the
//! objects that stand for pods of groups.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rbg_autoscaler::metrics::{
    Reading, STALE_AFTER, Sample,
    collector::Collector,
    matcher::{Comparison, Matcher},
};

use crate::{
    answers::{Basis, Made},
    object::{self, Kind},
    pods::{Pod, PodCache},
    reply::{ObjectValue, ValueList},
    request::{CustomRequest, ObjectName, RequestError},
    selector::{Operator, Requirement, Selector},
    telemetry::{Missing, Telemetry},
    total::Gatherer,
};

/// How long the first reader of a signal waits for its first answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Answers a request about pods or about an object that stands for some, if it is one and the metric is a signal; `None` when
/// somebody else must know.
///
/// Pods without a value are counted when an answer is made, not each time it is given.
pub async fn answer(
    collector: &Collector,
    pods: &PodCache,
    telemetry: &Telemetry,
    request: &CustomRequest,
    now: Timestamp,
) -> Option<Result<Made, RequestError>> {
    let known = collector.signal(&request.metric)?;
    if let Some(kind) = Kind::of(&request.resource) {
        let gatherer = Gatherer { collector, pods, telemetry, now };
        return Some(object::answer(&gatherer, &known, kind, request).await);
    }
    let namespace = request.namespace.as_deref().filter(|_| is_pods(request))?;
    Some(signal(collector, pods, telemetry, request, namespace, now).await)
}

/// Says whether a request is about pods, by their plural or singular name.
pub fn is_pods(request: &CustomRequest) -> bool {
    request.resource.group.is_empty() && matches!(request.resource.resource.as_str(), "pods" | "pod")
}

async fn signal(
    collector: &Collector,
    pods: &PodCache,
    telemetry: &Telemetry,
    request: &CustomRequest,
    namespace: &str,
    now: Timestamp,
) -> Result<Made, RequestError> {
    let metric = request.metric.as_str();
    if !pods.is_synced() {
        return Err(unavailable("the pods of the cluster are not listed yet".to_owned()));
    }
    // Before the pods are looked at: what changes meanwhile makes another number.
    let generation = pods.generation(namespace);
    let selected = match &request.name {
        ObjectName::All => pods.select(namespace, &request.label_selector),
        ObjectName::One(name) => {
            pods.get(namespace, name).map(|pod| (name.clone(), pod)).into_iter().collect()
        }
    };
    if selected.is_empty() {
        return Err(no_pod(request, namespace));
    }
    let narrowed = narrowed(collector, metric, &request.metric_selector)?;
    let asked = narrowed.as_deref().unwrap_or(metric);
    let Some(reading) = collector.reading(asked, PATIENCE).await else {
        return Err(unavailable(format!("{metric}: no answer yet")));
    };
    if let Some(failure) = reading.failure(now) {
        return Err(unavailable(format!("{metric}: {failure}")));
    }
    let window_seconds = Some(reading.window.as_secs()).filter(|seconds| *seconds > 0);
    let items: Vec<_> = selected
        .iter()
        .filter_map(|(name, pod)| {
            let sample = live_sample(&reading, namespace, name, pod, now);
            let told = |why| match collector.failure(namespace, name) {
                Some(failure) => Missing::Unscraped(failure.class()),
                None => why,
            };
            let sample = sample.map_err(told).inspect_err(|why| telemetry.missing(metric, *why)).ok()?;
            Some(ObjectValue {
                kind: "Pod",
                api_version: "/v1",
                namespace: Some(namespace),
                name,
                time: sample.time,
                window_seconds,
                value: sample.value,
            })
        })
        .collect();
    if let (ObjectName::One(name), true) = (&request.name, items.is_empty()) {
        let why = collector.failure(namespace, name).map_or_else(
            || "no engine metrics of this pod within the last 60 s".to_owned(),
            |failure| format!("this pod could not be scraped: {failure}"),
        );
        let message = format!("the server could not find the metric {metric} for pods {name}: {why}");
        return Err(RequestError::not_found(message));
    }
    let oldest = items.iter().map(|item| item.time).min();
    let basis = oldest.zip(generation).map(|(oldest, generation)| Basis {
        until: oldest.checked_add(STALE_AFTER).unwrap_or(now),
        pods: Some((namespace.to_owned(), generation)),
        samples: Some((asked.to_owned(), Arc::downgrade(&reading.samples))),
        answered: None,
    });
    let list = ValueList { version: request.version, metric, selector: &request.metric_selector, items };
    Ok(Made { body: list.to_json()?.into(), basis })
}

/// The name of the signal over those series only that the metric's selector selects; `None` without one.
///
/// Errors: 400 for a signal or a selector that cannot be narrowed, 503 when there are too many different ones.
pub fn narrowed(
    collector: &Collector,
    metric: &str,
    selector: &Selector,
) -> Result<Option<String>, RequestError> {
    if selector.is_empty() {
        return Ok(None);
    }
    let only = selector.requirements().iter().map(matcher).collect::<Result<_, _>>()?;
    let signal = collector.signal(metric).and_then(|signal| signal.narrowed(only));
    let Some(signal) = signal else {
        let message = format!(
            "{metric} is a query of its own, one value per pod: leave out the metric's selector, or put it into the query"
        );
        return Err(RequestError::bad_request(message));
    };
    let name = signal.name.clone();
    if collector.derive(signal) {
        Ok(Some(name))
    } else {
        Err(unavailable(format!("{metric}: too many different metric selectors are in use")))
    }
}

/// A requirement of a selector as a condition on series.
fn matcher(requirement: &Requirement) -> Result<Matcher, RequestError> {
    let label = requirement.key.clone();
    let (comparison, is_negative) = match requirement.operator {
        Operator::Equals | Operator::DoubleEquals => (equal(requirement), false),
        Operator::NotEquals => (equal(requirement), true),
        Operator::In => (Comparison::OneOf(requirement.values.clone()), false),
        Operator::NotIn => (Comparison::OneOf(requirement.values.clone()), true),
        Operator::Exists => (Comparison::Equal(String::new()), true),
        Operator::DoesNotExist => (Comparison::Equal(String::new()), false),
        Operator::GreaterThan | Operator::LessThan => {
            let sign = if requirement.operator == Operator::LessThan { "<" } else { ">" };
            let message = format!(
                "metricLabelSelector: the selector's operator {sign} on label {label} cannot be expressed in PromQL"
            );
            return Err(RequestError::bad_request(message));
        }
    };
    Ok(Matcher { label, comparison, is_negative })
}

fn equal(requirement: &Requirement) -> Comparison {
    Comparison::Equal(requirement.values.first().cloned().unwrap_or_default())
}

/// A pod's fresh sample, unless it is from another pod that had the name before.
pub fn live_sample(
    reading: &Reading,
    namespace: &str,
    name: &str,
    pod: &Pod,
    now: Timestamp,
) -> Result<Sample, Missing> {
    let sample = reading.samples.get(namespace, name).ok_or(Missing::Absent)?;
    if !sample.is_fresh(now) {
        return Err(Missing::Stale);
    }
    // Starts have whole seconds; a sample of the very second is the pod's own.
    let is_older = pod.started.is_some_and(|started| sample.time.as_second() < started.as_second());
    if is_older { Err(Missing::OlderThanPod) } else { Ok(sample) }
}

fn no_pod(request: &CustomRequest, namespace: &str) -> RequestError {
    let metric = &request.metric;
    RequestError::not_found(match &request.name {
        ObjectName::One(name) => {
            format!(
                "the server could not find the metric {metric} for pods {name}: no such pod in namespace {namespace}"
            )
        }
        ObjectName::All => format!(
            "the server could not find the metric {metric} for pods: no pod in namespace {namespace} matches the selector"
        ),
    })
}

/// A 503 whose message is the cause.
pub fn unavailable(message: String) -> RequestError {
    RequestError { code: 503, reason: "ServiceUnavailable", message }
}
