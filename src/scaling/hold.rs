//! Stage `hold`: frozen directions and rollouts.
//!
//! - Mode Disabled freezes both directions; Recommend freezes nothing (its decision is shown, not written).
//! - A frozen direction is frozen for everything but a rollback, corrections of counts outside the bounds included.
//! - A role that rolls out is not lowered for an hour from when that was first seen; then the rollout is taken as stuck.
//! - Roles of a ratio sleep together: if one of them is kept awake here, the others stay awake as well.
//! - `Paused` is there while anything is frozen on purpose, or nothing is written.

use super::{
    decision::{Condition, Stage},
    draft::{GroupDraft, RoleDraft},
    partners::partners,
    zero::IDLE,
};
use crate::{
    policy::{Mode, Policy},
    units::Replicas,
};

const HELD_UP: &str = "HeldUp";
const HELD_DOWN: &str = "HeldDown";
const ROLLOUT_IN_PROGRESS: &str = "RolloutInProgress";
/// How long a rollout keeps a role from being lowered.
const ROLLOUT: std::time::Duration = std::time::Duration::from_secs(3600);

/// Runs the stage on one group.
pub(crate) fn apply(group: &mut GroupDraft<'_>) {
    let disabled = group.policy.mode == Mode::Disabled;
    let (up, down) = (disabled || group.policy.hold_up, disabled || group.policy.hold_down);
    for draft in group.roles.iter_mut().flatten() {
        freeze(draft, up, down, if disabled { "off (mode Disabled)" } else { "on hold" });
        roll_out(draft);
    }
    stay_together(group);
    group.conditions.extend(paused(group.policy));
}

fn freeze(draft: &mut RoleDraft<'_>, up: bool, down: bool, why: &str) {
    let (current, number) = (draft.current(), draft.proposal.replicas);
    if up {
        draft.proposal.bar_raising(current);
    }
    if down {
        draft.proposal.bar_lowering(current);
    }
    let (reason, direction) = if number > current { (HELD_UP, "raising") } else { (HELD_DOWN, "lowering") };
    let to = draft.proposal.allowed(number);
    draft.proposal.move_to(Stage::Hold, to, reason, || format!("{direction} is {why}: {number} → {to}"));
}

fn roll_out(draft: &mut RoleDraft<'_>) {
    if !draft.seen.rolling_out {
        draft.next.rollout_since = None;
        return;
    }
    let since = draft.past.rollout_since.unwrap_or(draft.now);
    draft.next.rollout_since = Some(since);
    let Ok(end) = since.checked_add(ROLLOUT) else { return };
    if draft.now >= end {
        return;
    }
    let (current, number) = (draft.current(), draft.proposal.replicas);
    draft.proposal.bar_lowering(current);
    if number < current {
        draft.due.at(end);
    }
    let to = draft.proposal.allowed(number);
    draft.proposal.move_to(Stage::Hold, to, ROLLOUT_IN_PROGRESS, || {
        format!("rolling out since {since}, not lowered before {end}: {number} → {to}")
    });
}

/// Takes back a sleep that a partner was kept from.
fn stay_together(group: &mut GroupDraft<'_>) {
    let sleeps =
        |draft: &RoleDraft<'_>| draft.current() > Replicas::ZERO && draft.proposal.replicas == Replicas::ZERO;
    let can_sleep =
        |role: usize| group.policy.roles.get(role).is_some_and(|role| role.scale_to_zero.is_some());
    for set in partners(group, can_sleep) {
        let awake = set.iter().copied().find(|role| {
            let draft = group.roles.get(*role).and_then(Option::as_ref);
            draft.is_some_and(|draft| draft.proposal.replicas > Replicas::ZERO)
        });
        let Some(awake) = awake.and_then(|role| group.policy.roles.get(role)) else { continue };
        for role in set {
            let Some(draft) = group.roles.get_mut(role).and_then(Option::as_mut) else { continue };
            if !sleeps(draft) {
                continue;
            }
            let to = draft
                .proposal
                .steps
                .iter()
                .rev()
                .find(|step| step.reason == IDLE)
                .map_or_else(|| draft.current(), |step| step.from);
            draft.proposal.move_to(Stage::Hold, to, HELD_DOWN, || {
                format!("sleeps only together with {}, which is held: 0 → {to}", awake.name)
            });
        }
    }
}

fn paused(policy: &Policy) -> Option<Condition> {
    let (reason, message) = match (policy.mode, policy.hold_up, policy.hold_down) {
        (Mode::Disabled, ..) => ("Disabled", "mode is Disabled: nothing is scaled"),
        (Mode::Recommend, ..) => ("Recommend", "mode is Recommend: decisions are shown, nothing is written"),
        (Mode::Enforce, true, true) => ("Held", "raising and lowering are on hold"),
        (Mode::Enforce, true, false) => (HELD_UP, "raising is on hold"),
        (Mode::Enforce, false, true) => (HELD_DOWN, "lowering is on hold"),
        (Mode::Enforce, false, false) => return None,
    };
    Some(Condition::new("Paused", true, reason, message))
}

#[cfg(test)]
mod tests;
