//! Stage `metrics`: the HPA's formula per metric; the largest answer wins.
//!
//! - Each metric is answered exactly as autoscaling/v2 answers it (`proposedReplicas`).
//! - One exception: an answer below the current count although the ratio was above 1 before missing replicas were
//!   filled in counts as the current count.
//! - A failed metric bars lowering, not raising, as in the HPA. A total whose sources did not all answer is a lower
//!   bound: it counts as at least the current count, and bars lowering too.
//! - When nothing may be raised and a failed metric bars lowering, the pass ends as the HPA's: the current count stays
//!   and no recommendation is stored.
//! - No metrics at all (the bounds are equal): the current count, which the bounds hold.

mod evaluation;
mod float;
mod fraction;
mod grouping;
mod replicas;
mod tokens;
mod total;

use std::borrow::Cow;

use evaluation::{Evaluation, failed_status};
pub(crate) use float::{Tolerances, built_in_limit, grown, shrunk};

use super::{
    decision::{Condition, Stage},
    draft::{Failure, MetricResult, RoleDraft, RoleState},
    observation::{Reading, RoleObservation},
};
use crate::{
    policy::{Metric, MetricSource, RolePolicy, Target, Tolerance},
    units::Replicas,
};

/// The condition that says whether a count can be computed.
pub(crate) const SCALING_ACTIVE: &str = "ScalingActive";

/// Runs the stage on one role.
pub(crate) fn apply(draft: &mut RoleDraft<'_>) {
    if draft.state != RoleState::Active {
        return;
    }
    let current = draft.current();
    if draft.policy.metrics.is_empty() {
        draft.pass_failed = true;
        draft.active =
            Some(Condition::new(SCALING_ACTIVE, true, "FixedReplicas", "the policy sets a fixed count"));
        return;
    }
    let tolerances = tolerances(draft);
    let mut best: Option<(i64, usize, Evaluation)> = None;
    let mut failed = 0;
    for (index, metric) in draft.policy.metrics.iter().enumerate() {
        let mut result = MetricResult::default();
        match evaluate(draft, metric, index, tolerances) {
            Ok(evaluation) => {
                result.status = evaluation.status(metric);
                result.partial = evaluation.partial.is_some();
                result.idle = evaluation.idle;
                let count = counts_as(&evaluation, current);
                if best.as_ref().is_none_or(|(best, ..)| *best == 0 || count > *best) {
                    best = Some((count, index, evaluation));
                }
            }
            Err(failure) => {
                failed += 1;
                result.status = failed_status(metric, &failure.message);
                result.failure = Some(failure);
            }
        }
        draft.results.push(result);
    }
    if failed < draft.results.len() || draft.next.answered_at.is_none() {
        draft.next.answered_at = Some(draft.now);
    }
    if failed > 0 || draft.results.iter().any(|result| result.partial) {
        draft.proposal.bar_lowering(current);
    }
    let Some((count, winner, evaluation)) = best else { return pass_failed(draft) };
    let lower = count < i64::from(current.get());
    let count = Replicas::new(u32::try_from(count.max(0)).unwrap_or(u32::MAX));
    draft.recommended = count;
    if failed > 0 && lower {
        return pass_failed(draft);
    }
    let metric = &draft.policy.metrics[winner];
    let from: Cow<'static, str> = format!("the count was computed from {}", metric.name).into();
    draft.active = Some(Condition::new(SCALING_ACTIVE, true, "ValidMetricFound", from));
    draft.proposal.move_to(Stage::Metrics, count, "MetricsProposal", || evaluation.words(metric, count));
}

/// Ends the pass as the HPA's fails: the current count, the first failure as the reason, nothing stored.
fn pass_failed(draft: &mut RoleDraft<'_>) {
    draft.pass_failed = true;
    if let Some(failure) = draft.results.iter().find_map(|result| result.failure.as_ref()) {
        let message = format!("the replica count could not be computed: {}", failure.message);
        draft.active = Some(Condition::new(SCALING_ACTIVE, false, failure.reason, message));
    }
}

/// The number as it enters the comparison: never below the current count while the load is above target or a source is
/// silent.
fn counts_as(evaluation: &Evaluation, current: Replicas) -> i64 {
    let count = i64::from(evaluation.proposed);
    if evaluation.above_target || evaluation.partial.is_some() {
        count.max(current.get().into())
    } else {
        count
    }
}

fn tolerances(draft: &RoleDraft<'_>) -> Tolerances {
    let both = draft.settings.tolerance;
    let behavior = draft.policy.behavior.as_ref();
    let up = behavior.and_then(|behavior| behavior.up.tolerance);
    let down = behavior.and_then(|behavior| behavior.down.tolerance);
    Tolerances { up: up.map_or(both, Tolerance::get), down: down.map_or(both, Tolerance::get) }
}

fn evaluate(
    draft: &RoleDraft<'_>,
    metric: &Metric,
    index: usize,
    tolerances: Tolerances,
) -> Result<Evaluation, Failure> {
    let fail = |error: String| Failure {
        reason: reason(&metric.source),
        message: wrap(metric, &draft.policy.namespace, &error),
    };
    if let Target::Unusable(why) = metric.target {
        return Err(Failure { reason: reason(&metric.source), message: why.to_owned() });
    }
    let Some(reading) = draft.seen.readings.get(index) else { return Err(fail("no reading".to_owned())) };
    let answer = match (reading, &metric.source) {
        (Reading::Failed(error), source) => {
            Err(format!("unable to fetch metrics from {} metrics API: {error}", api(source)))
        }
        (Reading::Replicas(samples), source) => replicas::evaluate(
            &replicas::Question {
                seen: draft.seen,
                current: draft.current(),
                samples,
                cpu: matches!(source, MetricSource::Resource { .. }) && metric.name == "cpu",
                api: api(source),
                settings: draft.settings,
                tolerances,
                now: draft.now,
            },
            metric.target,
        )
        .map_err(|error| match source {
            MetricSource::Signal { .. } if !samples.answered => error + &nobody_tells(draft.seen),
            _ => error,
        }),
        (Reading::Total(total), source) => {
            total::evaluate(source, metric.target, total, draft.seen, draft.current(), tolerances)
        }
        (Reading::Tokens(reading), MetricSource::TokenUtilization { lookahead }) => {
            tokens(draft.policy, *lookahead, metric.target, reading, draft)
        }
        (Reading::Tokens(_), _) => Err("token rates do not answer this metric".to_owned()),
    };
    answer.map_err(fail)
}

/// Who should tell a signal to the collector when nobody does, and what to look at.
fn nobody_tells(seen: &RoleObservation) -> String {
    const NAMED: usize = 3;
    let mut silent: Vec<_> =
        seen.replicas.iter().filter(|replica| !replica.is_ignored()).map(|replica| &*replica.name).collect();
    let more = silent.len().saturating_sub(NAMED);
    silent.truncate(NAMED);
    let (silent, more) = match (silent.join(", "), more) {
        (names, _) if names.is_empty() => return String::new(),
        (names, 0) => (names, String::new()),
        (names, more) => (names, format!(" and {more} more")),
    };
    format!(
        ": no replica tells it to the collector, silent: {silent}{more}; see that the pods serve metrics and are scraped"
    )
}

fn tokens(
    policy: &RolePolicy,
    lookahead: std::time::Duration,
    target: Target,
    reading: &super::TokenReading,
    draft: &RoleDraft<'_>,
) -> Result<Evaluation, String> {
    let Target::AverageValue(target) = target else {
        return Err("token_utilization needs a target".to_owned());
    };
    tokens::evaluate(policy.throughput, lookahead, target, reading, draft.seen, draft.current())
}

/// The API of a source, as the HPA names it.
const fn api(source: &MetricSource) -> &'static str {
    match source {
        MetricSource::Resource { .. } => "resource",
        MetricSource::Pods { .. } | MetricSource::Object(_) | MetricSource::Signal { .. } => "custom",
        MetricSource::External { .. }
        | MetricSource::RoleTotal { .. }
        | MetricSource::TokenUtilization { .. } => "external",
    }
}

/// The reason of `ScalingActive` for a source that has no answer.
const fn reason(source: &MetricSource) -> &'static str {
    match source {
        MetricSource::Resource { container: None } => "FailedGetResourceMetric",
        MetricSource::Resource { container: Some(_) } => "FailedGetContainerResourceMetric",
        MetricSource::Pods { .. } | MetricSource::Signal { .. } | MetricSource::TokenUtilization { .. } => {
            "FailedGetPodsMetric"
        }
        MetricSource::Object(_) => "FailedGetObjectMetric",
        MetricSource::External { .. } | MetricSource::RoleTotal { .. } => "FailedGetExternalMetric",
    }
}

/// Puts the HPA's words around an error. Those on Object metrics are in its own odd order.
fn wrap(metric: &Metric, namespace: &str, error: &str) -> String {
    let name = &metric.name;
    match &metric.source {
        MetricSource::Resource { .. } => format!("unable to get metrics for resource {name}: {error}"),
        MetricSource::Object(object) => {
            format!("unable to get metric {name}: {} on {namespace} {}/{error}", object.kind, object.name)
        }
        MetricSource::External { selector } => {
            format!("unable to get external metric {namespace}/{name}/{selector}: {error}")
        }
        MetricSource::RoleTotal { role } => format!("unable to get metric {name} of role {role}: {error}"),
        MetricSource::Pods { .. } | MetricSource::Signal { .. } | MetricSource::TokenUtilization { .. } => {
            format!("unable to get metric {name}: {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::ReplicaObservation;

    #[test]
    fn who_is_silent_is_named_when_nobody_tells_a_signal() {
        let seen = |count: usize| RoleObservation {
            replicas: (0..count)
                .map(|number| ReplicaObservation {
                    name: format!("d-{number}"),
                    ..ReplicaObservation::default()
                })
                .collect(),
            ..RoleObservation::default()
        };
        for (count, want) in [(1, "silent: d-0;"), (3, "silent: d-0, d-1, d-2;"), (5, "d-1, d-2 and 2 more;")]
        {
            let told = nobody_tells(&seen(count));
            assert!(told.contains(want), "{count}: {told}");
        }
        assert_eq!(nobody_tells(&seen(0)), "", "without replicas nobody is silent");
    }
}
