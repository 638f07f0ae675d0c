//! Pass two once more, for what `capacity` leaves: nobody is raised for replicas that do not come.
//!
//! Pass one is made again with what some roles are left with, and a role that it raised before goes back to what it asks for
//! now, never below its floor. Otherwise partners would get GPUs for replicas that do not come, and the next decision would
//! take them away again. Such roles are:
//!
//! - Those that capacity cut.
//! - Those that pass two lowers since: what a cut takes from its partners is cut from them too, and from theirs.
//! - Those that only kept what they have, lost some of it to pass two, and would not ask for it again: a down window held
//!   it, raising is disabled, an up window or a rate bars it, or the load is within the tolerance and any count is kept.

use super::{LOWERED, balance, change};
use crate::{
    policy::Policy,
    scaling::{
        decision::Stage,
        draft::{GroupDraft, RoleDraft},
        gang,
        history::{ScaleEvent, events},
        limit, metrics,
        observation::RoleObservation,
        ratio::{Balance, Side},
        stabilize,
    },
    units::Replicas,
};

/// Takes back what was raised for replicas that do not come, and runs pass two once more.
pub(crate) fn refit(group: &mut GroupDraft<'_>) {
    if group.policy.ratios.is_empty() {
        return;
    }
    // Each turn but the last cuts one more role.
    for _ in 0..=group.roles.len() {
        unraise(group);
        let before = balance(group);
        let mut balance = before.clone();
        balance.lower();
        change(group, &before, &balance);
        if before.sides == balance.sides {
            return;
        }
    }
}

/// Lets roles go back to what pass one would have raised them to, had it been known what is left of others.
fn unraise(group: &mut GroupDraft<'_>) {
    let Some(mut asked) = group.asked.clone() else { return };
    let mut cut: Vec<usize> = Vec::new();
    for (role, (side, draft)) in asked.sides.iter_mut().zip(&group.roles).enumerate() {
        let (Some(side), Some(draft)) = (side, draft) else { continue };
        let capped = draft.cap.map(|cap| cap.min(draft.proposal.replicas));
        if let Some(left) = capped.or_else(|| followed(draft)).or_else(|| kept(draft, *side)) {
            // A count off the grid is not lowered to it here: it counts as the next multiple.
            (side.replicas, side.high) =
                (side.replicas.min(left), side.high.min(side.gang.ceil_to_gang(left)));
            cut.push(role);
        }
    }
    if cut.is_empty() || !asked.raise() {
        return;
    }
    let policy = group.policy;
    for (role, draft) in group.roles.iter_mut().enumerate() {
        let (Some(draft), Some(side)) = (draft, asked.side(role)) else { continue };
        let (from, to) = (draft.proposal.replicas, draft.proposal.allowed(side.replicas));
        if to < from && is_raised(draft, Some(side)) {
            draft.proposal.move_to(Stage::Ratio, to, LOWERED, || {
                let name = &draft.policy.name;
                format!("{}: {name} {from} → {to}", lacking(policy, &asked, &cut, role))
            });
        }
    }
}

/// What is left of a role that was lowered since `capacity` began, from what it asked for or from what it was raised to.
fn followed(draft: &RoleDraft<'_>) -> Option<Replicas> {
    let number = draft.proposal.replicas;
    (number < draft.offered?).then_some(number)
}

/// What is left of a role that only kept what it has, lost some of it to pass two, and would not ask for all of it again.
fn kept(draft: &RoleDraft<'_>, asked: Side) -> Option<Replicas> {
    let number = draft.proposal.replicas;
    let lost = number < asked.replicas && asked.replicas <= draft.policy.gang.ceil_to_gang(draft.current());
    let left = lost.then(|| number.max(asked_again(draft, number)))?;
    (left < asked.replicas).then_some(left)
}

/// What the role's own stages would come to right after it was lowered to `left`.
fn asked_again(draft: &RoleDraft<'_>, left: Replicas) -> Replicas {
    let seen = RoleObservation { spec_replicas: left, ..draft.seen.clone() };
    let mut past = draft.next.clone();
    if let Some(behavior) = &draft.policy.behavior {
        let event = ScaleEvent { from: draft.current(), to: left, time: draft.now };
        events::store(&mut past.scale_events, event, behavior);
    }
    let mut next = RoleDraft::begin(draft.policy, draft.settings, &seen, &past, draft.now);
    next.bounds = draft.bounds;
    if draft.results.is_empty() {
        next.proposal.replicas = draft.recommended;
    } else {
        metrics::apply(&mut next);
    }
    stabilize::apply(&mut next);
    limit::apply(&mut next);
    gang::apply(&mut next);
    next.proposal.replicas
}

/// Whether pass one raised a role, and it still stands above what it asked for.
pub(crate) fn is_raised(draft: &RoleDraft<'_>, asked: Option<Side>) -> bool {
    draft.proposal.steps.iter().any(|step| step.reason == super::RAISED)
        && asked.is_some_and(|asked| draft.proposal.replicas > asked.replicas)
}

/// Why a role is no longer raised: `prefill gets no more than 6`.
fn lacking(policy: &Policy, asked: &Balance, cut: &[usize], role: usize) -> String {
    let of_mine =
        |other: &&usize| asked.demands().iter().any(|demand| demand.poor == role && demand.rich == **other);
    let mut partners: Vec<_> = cut.iter().filter(of_mine).collect();
    if partners.is_empty() {
        partners = cut.iter().filter(|other| **other != role).collect();
    }
    let words = partners.into_iter().filter_map(|other| {
        let name = &policy.roles.get(*other)?.name;
        Some(format!("{name} gets no more than {}", asked.side(*other)?.replicas))
    });
    let mut words: Vec<_> = words.collect();
    words.sort_unstable();
    words.join(", ")
}

#[cfg(test)]
mod tests;
