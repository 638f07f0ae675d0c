//! Looking ahead: what the next decision would change at once is not written.
//!
//! Roles of a ratio move each other, so what one decision leaves can give the next one cause to move on: a role loses
//! waiting replicas to the ratio and would not ask for them again, so its partner was raised for nothing. Therefore the
//! stages run once more on the counts as they would be written, with their history. Where they move on, that is written
//! instead, in one write, and looked at in turn. Counts that hold stay as the stages made them.
//!
//! Only where the next decision at the same time is meant to write nothing: all roles have `behavior` (the HPA's path without
//! it goes on with each decision), none was corrected to its bounds, and none wakes (their metrics speak only afterwards).

use super::{
    decision::{Stage, Step},
    draft::{GroupDraft, RoleDraft},
    finish,
    history::RoleHistory,
    ratio, zero,
};
use crate::policy::Mode;

/// How often the stages run again at most; one look that moves on and one that does not are enough for almost all.
const MOST_LOOKS: u32 = 8;

/// Goes on, from what the stages left, to counts that hold.
pub(crate) fn apply(group: &mut GroupDraft<'_>) {
    let policy = group.policy;
    if policy.ratios.is_empty()
        || policy.mode == Mode::Disabled
        || !group.roles.iter().flatten().all(is_steady)
    {
        return;
    }
    for _ in 0..MOST_LOOKS {
        if !moves(group) {
            return;
        }
        let written: Vec<RoleHistory> =
            group.roles.iter().map(|role| role.as_ref().map(written).unwrap_or_default()).collect();
        let mut next = group.again(&written);
        super::stages(&mut next);
        if !moves(&next) {
            return;
        }
        follow(group, next);
    }
}

/// Whether the next decision on a role at the same time is meant to write nothing.
fn is_steady(draft: &RoleDraft<'_>) -> bool {
    let corrects =
        |step: &Step| step.stage == Stage::Bounds || (step.stage == Stage::Zero && step.reason != zero::IDLE);
    draft.policy.behavior.is_some() && !draft.proposal.steps.iter().any(corrects)
}

fn moves(group: &GroupDraft<'_>) -> bool {
    group.roles.iter().flatten().any(|draft| draft.proposal.replicas != draft.current())
}

/// The history as if the counts were written.
fn written(draft: &RoleDraft<'_>) -> RoleHistory {
    finish::written(draft, draft.next.clone(), true)
}

/// Moves on to what the next decision comes to. Its events and recommendations are not those of a decision of its own.
fn follow(group: &mut GroupDraft<'_>, next: GroupDraft<'_>) {
    group.due.join(next.due);
    for (draft, next) in group.roles.iter_mut().zip(next.roles) {
        let (Some(draft), Some(next)) = (draft, next) else { continue };
        let to = next.proposal.replicas;
        let (name, from) = (&draft.policy.name, draft.proposal.replicas);
        let reason = if to > from { ratio::RAISED } else { ratio::LOWERED };
        draft.proposal.force(Stage::Ratio, to, reason, || {
            let why = next.proposal.steps.last().map_or("", |step| &step.message);
            format!("{name} {from} → {to}, as the next decision would: {why}")
        });
        draft.due.join(next.due);
        draft.placed.extend(next.placed);
        draft.placed.retain(|(top, _)| *top <= to);
        let scale_events = std::mem::take(&mut draft.next.scale_events);
        let recommendations = draft.next.recommendations.take();
        draft.next = RoleHistory { recommendations, scale_events, ..next.next };
    }
    ratio::judge(group);
}

#[cfg(test)]
mod tests;
