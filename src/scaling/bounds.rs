//! Stage `bounds`: the effective bounds, and counts outside of them.
//!
//! - The bounds are the policy's, or those of the first schedule that holds and names the role.
//! - A role never seen before stores its current count as a recommendation first, so that a fresh controller does not
//!   lower anything before the down window has passed.
//! - Zero replicas with a minimum above zero: asleep with scaleToZero; else disabled, left alone.
//! - Outside the bounds: to the bound, at once; no metric, window or rate limit is asked, nothing is stored.

use super::{
    decision::{Condition, Stage},
    draft::{RoleDraft, RoleState},
    history::Recommendation,
};
use crate::{policy::Schedule, units::Replicas};

/// The condition that says whether the count can be changed.
pub(crate) const ABLE_TO_SCALE: &str = "AbleToScale";

/// Runs the stage on one role, which stands at `index` in the policy.
pub(crate) fn apply(draft: &mut RoleDraft<'_>, schedules: &[Schedule], index: usize) {
    effective_bounds(draft, schedules, index);
    let current = draft.current();
    if !draft.past.is_seen() {
        draft.next.recommendations = Some(vec![Recommendation { replicas: current, time: draft.now }]);
    }
    draft.able =
        Some(Condition::new(ABLE_TO_SCALE, true, "SucceededGetScale", "the role's current count was read"));
    let bounds = draft.bounds;
    if current.get() == 0 && bounds.min.get() > 0 {
        if draft.policy.scale_to_zero.is_some() {
            draft.state = RoleState::Asleep;
            return;
        }
        draft.state = RoleState::Disabled;
        draft.active = Some(Condition::new(
            super::metrics::SCALING_ACTIVE,
            false,
            "ScalingDisabled",
            "scaling is disabled since the role has zero replicas",
        ));
        return;
    }
    let (bound, reason, words) = if current > bounds.max {
        (bounds.max, "AboveMaximum", "above the maximum")
    } else if current < bounds.min {
        (bounds.min, "BelowMinimum", "below the minimum")
    } else {
        return;
    };
    draft.state = RoleState::OutOfBounds;
    let schedule = draft.schedule.and_then(|place| schedules.get(place));
    draft.proposal.force(Stage::Bounds, bound, reason, || {
        let of = schedule.map(|schedule| format!(" of schedule {}", schedule.name)).unwrap_or_default();
        format!("{current} is {words} {bound}{of}: {current} → {bound}")
    });
}

fn effective_bounds(draft: &mut RoleDraft<'_>, schedules: &[Schedule], index: usize) {
    for (place, schedule) in schedules.iter().enumerate() {
        let Some(own) = schedule.roles.iter().find(|role| role.role == index) else { continue };
        if let Some(edge) = schedule.window.next_edge(draft.now) {
            draft.due.at(edge);
        }
        if draft.schedule.is_none() && schedule.window.contains(draft.now) {
            draft.schedule = Some(place);
            draft.bounds.min = own.min.unwrap_or(draft.bounds.min);
            draft.bounds.max = own.max.unwrap_or(draft.bounds.max);
        }
    }
    if draft.policy.scale_to_zero.is_some() {
        // Only `zero` puts such a role to sleep, so its minimum is a floor while awake.
        draft.bounds.min = draft.bounds.min.max(Replicas::new(draft.policy.gang.get()));
    }
}
