//! The HPA's formula for totals: Object and External metrics, and another role's total.

use super::{
    evaluation::{Basis, Evaluation, Shown},
    float::{self, Tolerances},
    replicas::as_i32,
};
use crate::{
    policy::{MetricSource, Target},
    scaling::{RoleObservation, Total},
    units::{MilliValue, Replicas},
};

/// Answers a metric; the error is the HPA's text.
pub(crate) fn evaluate(
    source: &MetricSource,
    target: Target,
    total: &Total,
    seen: &RoleObservation,
    current: Replicas,
    tolerances: Tolerances,
) -> Result<Evaluation, String> {
    if total.values.is_empty() {
        let api = if matches!(source, MetricSource::Object(_)) { "custom" } else { "external" };
        return Err(format!("no metrics returned from {api} metrics API"));
    }
    let external = matches!(source, MetricSource::External { .. });
    let missing = total.unanswered();
    let (usage, target_value, proposed, ratio, ready, shown) = match target {
        Target::Unusable(reason) => return Err(reason.to_owned()),
        Target::Utilization(_) => return Err("a total has no utilization".to_owned()),
        Target::Value(target) => {
            let usage = sum(&total.values, external.then_some(Guard::BeforeOverflow));
            let ratio = float::ratio(usage, target.milli());
            let (proposed, ready) = by_value(seen, current, ratio, tolerances)?;
            let shown = Shown { value: Some(MilliValue::from_milli(usage)), ..Shown::default() };
            (usage, target, proposed, ratio, ready, shown)
        }
        Target::AverageValue(target) => {
            let usage = sum(&total.values, external.then_some(Guard::NegativeExplodes));
            let ratio = float::ratio_per_replica(usage, target.milli(), seen.status_replicas);
            let proposed = if tolerances.contain(ratio) {
                as_i32(seen.status_replicas)
            } else {
                float::ceil(float::ratio(usage, target.milli()))
            };
            // A sum that ran over is shown as it is, as the HPA shows it.
            let saturated = external && float::is_saturated(usage);
            let average = if saturated { i64::MAX } else { float::ceil_share(usage, seen.status_replicas) };
            let shown = Shown { average: Some(MilliValue::from_milli(average)), ..Shown::default() };
            (usage, target, proposed, ratio, None, shown)
        }
    };
    let partial = missing.filter(|missing| *missing > 0).map(|_| silence(total));
    Ok(Evaluation {
        proposed,
        above_target: ratio > 1.0,
        shown,
        missing: missing.and_then(|missing| usize::try_from(missing).ok()),
        time: total.time,
        idle: partial.is_none() && usage == 0,
        partial,
        basis: Basis::Total {
            usage: MilliValue::from_milli(usage),
            target: target_value,
            ready,
            kept: tolerances.contain(ratio),
        },
    })
}

/// The count for a target value: over the running and ready replicas, or from zero by the value alone.
fn by_value(
    seen: &RoleObservation,
    current: Replicas,
    ratio: f64,
    tolerances: Tolerances,
) -> Result<(i32, Option<usize>), String> {
    if current.get() == 0 {
        return Ok((float::ceil(ratio), None));
    }
    if tolerances.contain(ratio) {
        return Ok((as_i32(current), None));
    }
    if seen.replicas.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let ready = seen.running_ready();
    Ok((float::ceil_times(ratio, ready), Some(ready)))
}

/// How an external sum behaves at the ends of `i64`, exactly as the HPA's does.
#[derive(Clone, Copy)]
enum Guard {
    /// Stops at the largest value before it would be passed.
    BeforeOverflow,
    /// Any negative running sum becomes the largest value.
    NegativeExplodes,
}

fn sum(values: &[MilliValue], guard: Option<Guard>) -> i64 {
    let mut sum = 0_i64;
    for value in values {
        let value = value.milli();
        match guard {
            Some(Guard::BeforeOverflow) if value > 0 && sum > i64::MAX - value => return i64::MAX,
            Some(Guard::NegativeExplodes) => {
                sum = sum.wrapping_add(value);
                if sum < 0 {
                    return i64::MAX;
                }
            }
            _ => sum = sum.saturating_add(value),
        }
    }
    sum
}

fn silence(total: &Total) -> String {
    super::evaluation::silence(total.answered(), total.expected.unwrap_or(0), &total.silent)
}
