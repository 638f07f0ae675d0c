//! Stage `limit`: rate policies, then the bounds, in the HPA's order, rounding and words.
//!
//! With behavior, both directions' events enter both limits; without, one step at most doubles the count or reaches
//! four. A percentage rounds up on the way up and toward zero on the way down.
//! Source: Kubernetes, HPA, scaling policies.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::{
    decision::{Condition, Stage},
    draft::{Allowance, RateLimit, RoleDraft, RoleState},
    history::{ScaleEvent, events::changes},
    metrics::{built_in_limit, grown, shrunk},
};
use crate::{
    policy::{Behavior, Bounds, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy},
    units::Replicas,
};

/// The condition that says whether the count was cut.
pub(crate) const SCALING_LIMITED: &str = "ScalingLimited";

/// Runs the stage on one role.
pub(crate) fn apply(draft: &mut RoleDraft<'_>) {
    if draft.state != RoleState::Active || (draft.pass_failed && !draft.in_fallback) {
        return;
    }
    let (current, want, bounds) = (draft.current(), draft.proposal.replicas, draft.bounds);
    let cut = if let Some(behavior) = &draft.policy.behavior {
        with_behavior(current, want, bounds, behavior, &draft.past.scale_events, draft.now)
    } else {
        let settings = draft.settings;
        let limit = built_in_limit(current, settings.scale_up_factor, settings.scale_up_minimum);
        cut_built_in(want, bounds, limit)
    };
    draft.rate = cut.rate;
    draft.limited = Some(condition(&cut, want));
    if let RateLimit::Held { .. } = cut.rate {
        due(draft, want > current);
    }
    draft.proposal.move_to(Stage::Limit, cut.replicas, cut.reason, || words(&cut, want, current, bounds));
}

/// When a limit lets more pass: once an event that enters it grows old.
pub(crate) fn due(draft: &mut RoleDraft<'_>, up: bool) {
    let Some(behavior) = &draft.policy.behavior else { return };
    let rules = if up { &behavior.up } else { &behavior.down };
    for event in &draft.past.scale_events {
        for policy in &rules.policies {
            draft.due.after(event.time, policy.period);
        }
    }
}

/// What came of the limits.
struct Cut {
    replicas: Replicas,
    reason: &'static str,
    rate: RateLimit,
}

impl Cut {
    const fn none(want: Replicas) -> Self {
        Self { replicas: want, reason: "DesiredWithinRange", rate: RateLimit::None }
    }
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// How far a direction's policies let the count go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    count: i64,
    allowance: Allowance,
}

fn with_behavior(
    current: Replicas,
    want: Replicas,
    bounds: Bounds,
    behavior: &Behavior,
    events: &[ScaleEvent],
    now: Timestamp,
) -> Cut {
    match want.cmp(&current) {
        Ordering::Greater => {
            cut_up(current, want, bounds, limit(Way::Up, current, &behavior.up, events, now))
        }
        Ordering::Less => {
            cut_down(current, want, bounds, limit(Way::Down, current, &behavior.down, events, now))
        }
        Ordering::Equal => Cut::none(want),
    }
}

fn limit(way: Way, current: Replicas, rules: &ScalingRules, events: &[ScaleEvent], now: Timestamp) -> Limit {
    let current = i64::from(current.get());
    if rules.select == SelectPolicy::Disabled {
        return Limit { count: current, allowance: Allowance::Disabled };
    }
    let of = |policy: &ScalingPolicy| {
        let (added, removed) = changes(events, policy.period, now);
        let start = current - added + removed;
        let count = match (way, policy.kind) {
            (Way::Up, PolicyKind::Replicas) => start + i64::from(policy.value),
            (Way::Up, PolicyKind::Percent) => grown(start, policy.value),
            (Way::Down, PolicyKind::Replicas) => start - i64::from(policy.value),
            (Way::Down, PolicyKind::Percent) => shrunk(start, policy.value),
        };
        let replicas = u32::try_from(count.abs_diff(start)).unwrap_or(u32::MAX);
        Limit { count, allowance: Allowance::PerPeriod { replicas, period: policy.period } }
    };
    // The largest change is the highest count on the way up and the lowest on the way down.
    let highest = (way == Way::Up) == (rules.select == SelectPolicy::Max);
    let mut chosen: Option<Limit> = None;
    for limit in rules.policies.iter().map(of) {
        let better = |best: Limit| if highest { limit.count > best.count } else { limit.count < best.count };
        if chosen.is_none_or(better) {
            chosen = Some(limit);
        }
    }
    chosen.unwrap_or(Limit { count: current, allowance: Allowance::Disabled })
}

fn cut_up(current: Replicas, want: Replicas, bounds: Bounds, limit: Limit) -> Cut {
    let allowed = replicas(limit.count.max(current.get().into()));
    if bounds.max > allowed {
        if want > allowed {
            let rate = RateLimit::Held { unlimited: want.min(bounds.max), allowance: limit.allowance };
            return Cut { replicas: allowed, reason: "ScaleUpLimit", rate };
        }
        return Cut {
            rate: RateLimit::Within { limit: allowed, allowance: limit.allowance },
            ..Cut::none(want)
        };
    } else if want > bounds.max {
        return Cut { replicas: bounds.max, reason: "TooManyReplicas", rate: RateLimit::None };
    }
    Cut::none(want)
}

fn cut_down(current: Replicas, want: Replicas, bounds: Bounds, limit: Limit) -> Cut {
    let limit_count = limit.count.min(current.get().into());
    if i64::from(bounds.min.get()) < limit_count {
        let allowed = replicas(limit_count);
        if want < allowed {
            let rate = RateLimit::Held { unlimited: want.max(bounds.min), allowance: limit.allowance };
            return Cut { replicas: allowed, reason: "ScaleDownLimit", rate };
        }
    } else if want < bounds.min {
        return Cut { replicas: bounds.min, reason: "TooFewReplicas", rate: RateLimit::None };
    }
    Cut::none(want)
}

fn cut_built_in(want: Replicas, bounds: Bounds, limit: i64) -> Cut {
    if want < bounds.min {
        return Cut { replicas: bounds.min, reason: "TooFewReplicas", rate: RateLimit::None };
    }
    let limit = replicas(limit);
    if bounds.max > limit {
        if want > limit {
            let rate = RateLimit::Held { unlimited: want.min(bounds.max), allowance: Allowance::BuiltIn };
            return Cut { replicas: limit, reason: "ScaleUpLimit", rate };
        }
        return Cut { rate: RateLimit::Within { limit, allowance: Allowance::BuiltIn }, ..Cut::none(want) };
    } else if want > bounds.max {
        return Cut { replicas: bounds.max, reason: "TooManyReplicas", rate: RateLimit::None };
    }
    Cut::none(want)
}

fn replicas(count: i64) -> Replicas {
    Replicas::new(u32::try_from(count.max(0)).unwrap_or(u32::MAX))
}

fn condition(cut: &Cut, want: Replicas) -> Condition {
    let message = match cut.reason {
        "TooManyReplicas" => "the desired replica count is more than the maximum replica count",
        "TooFewReplicas" => "the desired replica count is less than the minimum replica count",
        "ScaleUpLimit" => "the desired replica count is increasing faster than the maximum scale rate",
        "ScaleDownLimit" => "the desired replica count is decreasing faster than the maximum scale rate",
        _ => "the desired count is within the acceptable range",
    };
    Condition::new(SCALING_LIMITED, cut.replicas != want, cut.reason, message)
}

fn words(cut: &Cut, want: Replicas, current: Replicas, bounds: Bounds) -> String {
    let to = cut.replicas;
    match cut.rate {
        RateLimit::None | RateLimit::Within { .. } if cut.reason == "TooManyReplicas" => {
            format!("at most {}: {want} → {to}", bounds.max)
        }
        RateLimit::None | RateLimit::Within { .. } => format!("at least {}: {want} → {to}", bounds.min),
        RateLimit::Held { allowance: Allowance::Disabled, .. } => {
            format!("this direction is disabled: {want} → {to}")
        }
        RateLimit::Held { allowance: Allowance::BuiltIn, .. } => {
            format!("one step from {current} goes to {to} at most: {want} → {to}")
        }
        RateLimit::Held { allowance: Allowance::PerPeriod { replicas, period }, .. } => {
            let sign = if want > current { "more" } else { "fewer" };
            format!(
                "at most {replicas} {sign} per {} s, counting recent changes: {want} → {to}",
                period.as_secs()
            )
        }
    }
}

#[cfg(test)]
mod vectors;
