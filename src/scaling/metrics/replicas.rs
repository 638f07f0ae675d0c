//! The HPA's formula for samples of replicas: Pods, Resource and ContainerResource metrics, and our signals.
//!
//! Averages are integers in thousandths, cut toward zero; percents too. A missing replica counts as nothing on the way
//! up and at its target on the way down, a starting one as nothing on the way up; when that turns the direction
//! around, nothing moves. Sums do not overflow here (the HPA's wrap around).

use super::{
    evaluation::{Basis, Evaluation, Shown},
    float::{self, Tolerances},
    grouping::{Group, group},
};
use crate::{
    policy::Target,
    scaling::{ReplicaSamples, RoleObservation, Sample, Settings},
    units::{MilliValue, Replicas},
};

/// A metric's samples, with what is measured against.
pub(crate) struct Question<'a> {
    /// The role.
    pub seen: &'a RoleObservation,
    /// Its count.
    pub current: Replicas,
    /// The samples.
    pub samples: &'a ReplicaSamples,
    /// Whether the usage is of CPU, which is not trusted while a replica starts.
    pub cpu: bool,
    /// The API that answers, as the HPA names it.
    pub api: &'static str,
    /// The settings.
    pub settings: &'a Settings,
    /// The tolerances.
    pub tolerances: Tolerances,
    /// The time.
    pub now: jiff::Timestamp,
}

/// One sample that is held, with the request that it is measured against (0 for a value target or a stray).
#[derive(Clone, Copy)]
struct Held {
    value: i64,
    request: Option<i64>,
}

/// Answers a metric; the error is the HPA's text.
pub(crate) fn evaluate(question: &Question<'_>, target: Target) -> Result<Evaluation, String> {
    let Question { seen, samples, settings, now, .. } = *question;
    if !samples.answered {
        return Err(format!("no metrics returned from {} metrics API", question.api));
    }
    if seen.replicas.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups: Vec<Group> = seen
        .replicas
        .iter()
        .enumerate()
        .map(|(at, replica)| group(replica, sample_at(samples, at), question.cpu, settings, now))
        .collect();
    let ready_count = groups.iter().filter(|group| **group == Group::Ready).count();
    if ready_count + samples.strays.len() == 0 {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let requests: Option<&[i64]> = match (target, &samples.requests) {
        (Target::Utilization(_), Some(Err(error))) => return Err(error.clone()),
        (Target::Utilization(_), Some(Ok(requests))) => Some(requests),
        (Target::Utilization(_), None) => return Err("no requests are known for the pods".to_owned()),
        _ => None,
    };
    let request_of = |at: usize| requests.and_then(|requests| requests.get(at).copied());
    let mut held: Vec<Held> = Vec::with_capacity(groups.len() + samples.strays.len());
    for (at, group) in groups.iter().enumerate() {
        if let (Group::Ready, Some(sample)) = (group, sample_at(samples, at)) {
            held.push(Held { value: sample.value.milli(), request: request_of(at) });
        }
    }
    held.extend(samples.strays.iter().map(|sample| Held { value: sample.value.milli(), request: None }));
    let first = measure(&held, target)?;

    let missing = groups.iter().filter(|group| **group == Group::Missing).count();
    let unready = groups.iter().filter(|group| **group == Group::Unready).count();
    let current = i32::try_from(question.current.get()).unwrap_or(i32::MAX);
    let filled = missing > 0 || (unready > 0 && first.ratio > 1.0);
    let (proposed, ratio, count) = if filled {
        refill(&mut held, &groups, first.ratio, target, request_of);
        let second = measure(&held, target)?;
        (again(question, first.ratio, second.ratio, held.len()), second.ratio, held.len())
    } else if question.tolerances.contain(first.ratio) {
        (current, first.ratio, ready_count)
    } else {
        (float::ceil_times(first.ratio, ready_count), first.ratio, ready_count)
    };
    Ok(Evaluation {
        proposed,
        above_target: first.ratio > 1.0,
        shown: first.shown,
        missing: Some(missing),
        time: newest(samples),
        partial: None,
        idle: missing == 0 && unready == 0 && held.iter().all(|held| held.value == 0),
        basis: Basis::Replicas { ready: ready_count, missing, unready, ratio, count, filled },
    })
}

fn sample_at(samples: &ReplicaSamples, at: usize) -> Option<&Sample> {
    samples.samples.get(at).and_then(Option::as_ref)
}

fn newest(samples: &ReplicaSamples) -> Option<jiff::Timestamp> {
    samples.samples.iter().flatten().chain(&samples.strays).map(|sample| sample.time).max()
}

/// Puts in what is missing: on the way up nothing, on the way down the target; starting replicas only on the way up.
fn refill(
    held: &mut Vec<Held>,
    groups: &[Group],
    ratio: f64,
    target: Target,
    request_of: impl Fn(usize) -> Option<i64>,
) {
    for (at, group) in groups.iter().enumerate() {
        let request = request_of(at);
        let value = match group {
            Group::Missing if ratio < 1.0 => match target {
                Target::Utilization(percent) => share(request.unwrap_or(0), percent.max(100)),
                Target::AverageValue(value) | Target::Value(value) => value.milli(),
                Target::Unusable(_) => 0,
            },
            Group::Missing | Group::Unready if ratio > 1.0 => 0,
            _ => continue,
        };
        held.push(Held { value, request });
    }
}

/// `request × percent ÷ 100`, toward zero.
fn share(request: i64, percent: i32) -> i64 {
    i64::try_from(i128::from(request) * i128::from(percent) / 100).unwrap_or(i64::MAX)
}

/// The proposal of the second pass: the current count when the passes disagree or the number moves the wrong way.
fn again(question: &Question<'_>, first: f64, second: f64, held: usize) -> i32 {
    let current = i32::try_from(question.current.get()).unwrap_or(i32::MAX);
    let turned = (first < 1.0 && second > 1.0) || (first > 1.0 && second < 1.0);
    if question.tolerances.contain(second) || turned {
        return current;
    }
    let proposed = float::ceil_times(second, held);
    if (second < 1.0 && proposed > current) || (second > 1.0 && proposed < current) {
        current
    } else {
        proposed
    }
}

struct Measured {
    ratio: f64,
    shown: Shown,
}

/// One pass: the ratio of usage to target over the samples held.
fn measure(held: &[Held], target: Target) -> Result<Measured, String> {
    match target {
        Target::Utilization(percent) => {
            let (mut used, mut requested, mut count) = (0_i128, 0_i128, 0_i128);
            for held in held {
                if let Some(request) = held.request {
                    used += i128::from(held.value);
                    requested += i128::from(request);
                    count += 1;
                }
            }
            if requested == 0 {
                return Err("no metrics returned matched known pods".to_owned());
            }
            let utilization = used * 100 / requested;
            let utilization =
                i32::try_from(utilization).unwrap_or(if utilization < 0 { i32::MIN } else { i32::MAX });
            Ok(Measured {
                ratio: float::ratio(utilization.into(), percent.into()),
                shown: Shown {
                    utilization: Some(utilization),
                    average: Some(milli(used / count.max(1))),
                    value: None,
                },
            })
        }
        Target::AverageValue(target) | Target::Value(target) => {
            let sum: i128 = held.iter().map(|held| i128::from(held.value)).sum();
            let average = sum / i128::try_from(held.len()).unwrap_or(i128::MAX).max(1);
            let average = milli(average);
            Ok(Measured {
                ratio: float::ratio(average.milli(), target.milli()),
                shown: Shown { utilization: None, average: Some(average), value: None },
            })
        }
        Target::Unusable(reason) => Err(reason.to_owned()),
    }
}

fn milli(value: i128) -> MilliValue {
    MilliValue::from_milli(i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX }))
}

/// The count that the HPA reads as the current one.
pub(crate) fn as_i32(count: Replicas) -> i32 {
    i32::try_from(count.get()).unwrap_or(i32::MAX)
}
