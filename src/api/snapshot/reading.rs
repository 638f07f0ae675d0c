//! Readings of a snapshot: which form answers which metric.

use std::time::Duration;

use jiff::Timestamp;

use super::{FoldSnapshot, RateSnapshot, ReadingSnapshot, SampleSnapshot};
use crate::{
    api::{
        autoscaler::Problem,
        replica::{ReplicaFold, RequestSource},
    },
    policy::{Fold, Metric, MetricSource, Target},
    scaling::{RatePair, Reading, Sample, Settings, TokenReading, Total},
    units::{MilliValue, scaled_quantity},
};

/// The window of a sample that states none, as the HPA takes it.
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);

/// What the readings of one role are joined to.
pub(super) struct Context<'a> {
    pub fold: &'a ReplicaFold<'a>,
    pub settings: &'a Settings,
    pub now: Timestamp,
}

/// The forms that a reading may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Samples,
    Values,
    Tokens,
}

impl ReadingSnapshot {
    /// Joins this answer to one metric to a role's replicas; an answer that does not fit the metric is a failed reading.
    pub fn reading(
        self,
        metric: &Metric,
        fold: &ReplicaFold<'_>,
        settings: &Settings,
        now: Timestamp,
    ) -> Reading {
        let mut problems = Vec::new();
        let reading = of_metric(&mut problems, "the answer", metric, self, &Context { fold, settings, now });
        problems.first().map_or(reading, |problem| Reading::Failed(problem.to_string()))
    }

    /// Converts this answer to one wake signal.
    pub fn wake(self) -> Reading {
        let mut problems = Vec::new();
        let reading = of_wake(&mut problems, "the answer", self);
        problems.first().map_or(reading, |problem| Reading::Failed(problem.to_string()))
    }
}

/// Converts the answer to one metric.
pub(super) fn of_metric(
    problems: &mut Vec<Problem>,
    path: &str,
    metric: &Metric,
    wire: ReadingSnapshot,
    context: &Context<'_>,
) -> Reading {
    let form = match &metric.source {
        MetricSource::Signal { .. } | MetricSource::Pods { .. } | MetricSource::Resource { .. } => {
            Form::Samples
        }
        MetricSource::RoleTotal { .. } | MetricSource::Object(_) | MetricSource::External { .. } => {
            Form::Values
        }
        MetricSource::TokenUtilization { .. } => Form::Tokens,
    };
    if let Some(reading) = failed_or_wrong(problems, path, &metric.name, form, &wire) {
        return reading;
    }
    match &metric.source {
        MetricSource::Resource { container } => {
            let samples = wire.samples.unwrap_or_default();
            resource(problems, path, metric, container.as_deref(), &samples, context)
        }
        MetricSource::Signal { fold } | MetricSource::Pods { fold } => {
            let samples = wire.samples.unwrap_or_default();
            let mut read = Vec::with_capacity(samples.len());
            for (index, sample) in samples.iter().enumerate() {
                match sample.value {
                    Some(value) => read.push((sample.pod.as_str(), sample_of(sample, value, context.now))),
                    None => problems.push(Problem {
                        field: format!("{path}.samples[{index}].value"),
                        message: format!("is missing; write the value of {} on {}", metric.name, sample.pod),
                    }),
                }
            }
            let fold = wire.fold.map_or(*fold, Into::into);
            Reading::Replicas(context.fold.join(read, fold, !samples.is_empty()))
        }
        MetricSource::TokenUtilization { .. } => tokens(problems, path, wire),
        MetricSource::RoleTotal { .. } | MetricSource::Object(_) | MetricSource::External { .. } => {
            total(wire)
        }
    }
}

/// Converts the answer to one wake signal.
pub(super) fn of_wake(problems: &mut Vec<Problem>, path: &str, wire: ReadingSnapshot) -> Reading {
    failed_or_wrong(problems, path, "a wake signal", Form::Values, &wire).unwrap_or_else(|| total(wire))
}

/// Returns the failure that the reading tells, or a complaint about its form.
fn failed_or_wrong(
    problems: &mut Vec<Problem>,
    path: &str,
    metric: &str,
    form: Form,
    wire: &ReadingSnapshot,
) -> Option<Reading> {
    let tokens = wire.prompt_tokens_per_second.is_some()
        || wire.generation_tokens_per_second.is_some()
        || wire.pending_tokens.is_some()
        || wire.slope_per_second.is_some();
    let given = [
        (Form::Samples, "samples", wire.samples.is_some()),
        (Form::Values, "values", wire.values.is_some()),
        (Form::Tokens, "token rates", tokens),
    ];
    if wire.fold.is_some() && wire.samples.is_none() {
        let message = "says how samples of pods combine, and there are none; remove it".to_owned();
        problems.push(Problem { field: format!("{path}.fold"), message });
    }
    if let Some(error) = &wire.error {
        if let Some((_, name, _)) = given.iter().find(|(.., present)| *present) {
            let message =
                format!("stands beside {name}; keep error if {metric} could not be read, else remove it");
            problems.push(Problem { field: format!("{path}.error"), message });
        }
        return Some(Reading::Failed(error.clone()));
    }
    let want = match form {
        Form::Samples => "samples: [{pod: …, value: …}]",
        Form::Values => "values: [\"…\"]",
        Form::Tokens => "promptTokensPerSecond, generationTokensPerSecond and pendingTokens",
    };
    if let Some((other, name, _)) = given.iter().find(|(other, _, present)| *present && *other != form) {
        let field = if *other == Form::Tokens { path.to_owned() } else { format!("{path}.{name}") };
        problems.push(Problem { field, message: format!("{name} do not answer {metric}; write {want}") });
        return Some(Reading::default());
    }
    let answered = given.iter().any(|(other, _, present)| *present && *other == form);
    if !answered && form != Form::Tokens {
        problems.push(Problem {
            field: path.to_owned(),
            message: format!("says nothing about {metric}; write {want}, or error: \"why\""),
        });
        return Some(Reading::default());
    }
    None
}

impl From<FoldSnapshot> for Fold {
    fn from(fold: FoldSnapshot) -> Self {
        match fold {
            FoldSnapshot::Sum => Self::Sum,
            FoldSnapshot::Max => Self::Max,
        }
    }
}

fn sample_of(wire: &SampleSnapshot, value: MilliValue, now: Timestamp) -> Sample {
    Sample {
        value,
        time: wire.timestamp.unwrap_or(now),
        window: wire.window.map_or(DEFAULT_WINDOW, Into::into),
    }
}

fn resource(
    problems: &mut Vec<Problem>,
    path: &str,
    metric: &Metric,
    container: Option<&str>,
    samples: &[SampleSnapshot],
    context: &Context<'_>,
) -> Reading {
    let mut read = Vec::with_capacity(samples.len());
    for (index, sample) in samples.iter().enumerate() {
        let Some(containers) = &sample.containers else {
            problems.push(Problem {
                field: format!("{path}.samples[{index}].containers"),
                message: format!(
                    "is missing; write the usage of {} by container, such as {{engine: \"350m\"}}",
                    metric.name
                ),
            });
            continue;
        };
        let usage = match container {
            Some(name) => containers.get(name).copied().flatten(),
            None if containers.is_empty() => None,
            None => containers
                .values()
                .try_fold(MilliValue::ZERO, |sum, usage| usage.map(|usage| sum.saturating_add(usage))),
        };
        if let Some(usage) = usage {
            read.push((sample.pod.as_str(), sample_of(sample, usage, context.now)));
        }
    }
    let mut joined = context.fold.join_usage(read, !samples.is_empty());
    if let Target::Utilization(_) = metric.target {
        let pod_level = context.settings.pod_level_resources;
        joined.requests =
            Some(context.fold.requests(RequestSource { resource: &metric.name, container, pod_level }));
    }
    Reading::Replicas(joined)
}

fn total(wire: ReadingSnapshot) -> Reading {
    Reading::Total(Total {
        values: wire.values.unwrap_or_default(),
        expected: wire.expected,
        reported: wire.reported,
        silent: wire.silent,
        time: wire.timestamp,
    })
}

fn tokens(problems: &mut Vec<Problem>, path: &str, wire: ReadingSnapshot) -> Reading {
    let rates = |rates: Option<RateSnapshot>| {
        rates.map_or_else(RatePair::default, |rates| RatePair { short: rates.short, long: rates.long })
    };
    let slope = wire.slope_per_second.and_then(|text| {
        scaled_quantity(&text, 9)
            .map_err(|error| {
                problems
                    .push(Problem { field: format!("{path}.slopePerSecond"), message: error.to_string() });
            })
            .ok()
    });
    Reading::Tokens(TokenReading {
        prompt: rates(wire.prompt_tokens_per_second),
        generation: rates(wire.generation_tokens_per_second),
        pending_tokens: wire.pending_tokens,
        slope_nanos_per_second: slope,
        expected: wire.expected,
        reported: wire.reported,
        silent: wire.silent,
        time: wire.timestamp,
    })
}
