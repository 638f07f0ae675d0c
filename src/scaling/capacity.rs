//! Stage `capacity`: room in the cluster: rollback, backoff, fit, and then the ratios again, for what is left.
//!
//! - Rollback first (see [`super::rollback`]). It acts whatever is held, and is the only thing that lowers a count below its
//!   floor. In mode Disabled there is none; in mode Recommend it is shown, and nothing is remembered.
//! - After a rollback the role asks for nothing more until the backoff is over, which doubles with each rollback in a row,
//!   or until there is room for more gangs than there seemed to be when it was rolled back.
//! - Then it asks for half of the gangs that did not fit, rounded down, at least one, and for no more while any replica has
//!   a pod without a node. So the count closes in on what fits. Once all replicas of the count that did not fit have
//!   nodes, the rollback is forgotten. Where the ratios then take away replicas that were waited for, that is a rollback
//!   as well: otherwise nothing would wait any more, and the next decision would ask for more at once.
//! - When a role's formula asks for fewer replicas than it has, whole gangs at its end that wait for a node go at once,
//!   without windows or rate limits: they serve nobody. Not below what its floor, its minimum and its partners need.
//! - `Fit`: new gangs are placed (see [`super::fit`]); those that find no room are not asked for.

mod backoff;
mod limited;

use limited::{Limited, PARTIAL_GANG, UNKNOWN};

use super::{
    decision::Stage,
    draft::{GroupDraft, RoleDraft, RoleState},
    fit, ratio, rollback,
};
use crate::{
    policy::{CapacityMode, Mode},
    units::Replicas,
};

pub(crate) const ROLLED_BACK: &str = "RolledBack";
pub(crate) const BACKING_OFF: &str = "BackingOff";
pub(crate) const NO_FIT: &str = "NoFit";

/// Runs the stage on one group.
pub(crate) fn apply(group: &mut GroupDraft<'_>) {
    let mut limited = Limited::default();
    let mut waited_for = Vec::new();
    if group.policy.mode != Mode::Disabled {
        // A partner that the ratio lowered asks for less from here on: its backoff is judged by that.
        ratio::refit(group);
        for role in 0..group.roles.len() {
            if !roll_back(group, role, &mut limited) && backoff::apply(group, role, &mut limited) {
                waited_for.push(role);
            }
        }
        // What was raised for gangs that do not come is not needed, and takes no room from others.
        ratio::refit(group);
        pending_first(group);
        if group.policy.capacity.mode == CapacityMode::Fit {
            ratio::refit(group);
            place(group, &mut limited);
        }
    }
    ratio::refit(group);
    for role in waited_for {
        backoff::again(group, role);
    }
    reserve(group);
    ratio::judge(group);
    group.conditions.push(limited.condition());
}

/// Takes back gangs that stay unschedulable; returns whether it did.
fn roll_back(group: &mut GroupDraft<'_>, role: usize, limited: &mut Limited) -> bool {
    let policy = group.policy;
    let Some(draft) = group.roles.get_mut(role).and_then(Option::as_mut) else { return false };
    let name = &draft.policy.name;
    let verdict = rollback::judge(draft, policy.capacity.pending_timeout);
    if let Some(due) = verdict.due {
        draft.due.at(due);
    }
    if let Some(why) = verdict.waits {
        limited.waits(format!("{name}: {why}"));
    }
    if let Some(why) = verdict.partial {
        draft.shortages.push(PARTIAL_GANG);
        limited.partial(format!("{name}: {why}"));
    }
    let Some((to, why)) = verdict.take_back.filter(|(to, _)| *to < draft.proposal.replicas) else {
        return false;
    };
    let (current, number) = (draft.current(), draft.proposal.replicas);
    limited.rolled_back(format!("{name}: {why}: {current} → {to}"));
    draft.proposal.force(Stage::Capacity, to, ROLLED_BACK, || format!("{why}: {number} → {to}"));
    // Whatever barred lowering does not bring the gangs back in what follows.
    draft.proposal.floor = draft.proposal.floor.min(to);
    draft.proposal.bar_raising(to);
    draft.cap_at(to);
    backoff::begin(group, role, to);
    true
}

/// Lets gangs go that wait for a node, where the formula asks for fewer replicas than there are. Not those of a role that a
/// ratio raises: the next decision would raise it again.
fn pending_first(group: &mut GroupDraft<'_>) {
    let mut balance = ratio::balance(group);
    let mut falls = false;
    for (role, (side, draft)) in balance.sides.iter_mut().zip(&group.roles).enumerate() {
        let (Some(side), Some(draft)) = (side, draft) else { continue };
        side.high = side.replicas;
        let above = rollback::pending_above(draft);
        let waits = above < draft.current().min(draft.proposal.replicas);
        let raised = ratio::is_raised(draft, group.asked.as_ref().and_then(|asked| asked.side(role)));
        let Some(least) = demanded(draft).filter(|_| waits && !raised) else { continue };
        let to = draft.proposal.allowed(least.max(above));
        falls |= to < side.replicas;
        side.replicas = to.min(side.replicas);
    }
    if !falls || !balance.raise() {
        return;
    }
    for (side, draft) in balance.sides.iter().zip(&mut group.roles) {
        let (Some(side), Some(draft)) = (side, draft) else { continue };
        let (number, to, wanted) = (draft.proposal.replicas, side.replicas, draft.recommended);
        if to < number {
            draft.cap_at(to);
            draft.proposal.move_to(Stage::Capacity, to, ROLLED_BACK, || {
                format!("{wanted} are wanted, and what waits for a node goes first: {number} → {to}")
            });
        }
    }
}

/// What the formula asks of a role that has more than that; none where it did not answer.
fn demanded(draft: &RoleDraft<'_>) -> Option<Replicas> {
    let answered = draft.state == RoleState::Active && !draft.pass_failed && !draft.results.is_empty();
    let falls = draft.recommended < draft.current() && draft.is_complete();
    (answered && falls).then(|| draft.policy.gang.ceil_to_gang(draft.recommended.max(draft.bounds.min)))
}

/// Keeps only the new gangs that fit.
fn place(group: &mut GroupDraft<'_>, limited: &mut Limited) {
    let blind = group.seen.capacity.as_ref().and_then(|capacity| capacity.unknown.clone());
    if let Some(why) = &blind {
        limited.unknown(format!("{why}: new gangs are taken as fitting"));
    }
    for fitting in fit::group(group) {
        let Some(draft) = group.roles.get_mut(fitting.role).and_then(Option::as_mut) else { continue };
        let (name, gang, number) = (&draft.policy.name, draft.policy.gang, draft.proposal.replicas);
        let unknown = fitting.unknown.filter(|_| blind.is_none() && fitting.replicas > draft.current());
        if blind.is_some() || unknown.is_some() {
            draft.shortages.push(UNKNOWN);
        }
        if let Some(unknown) = unknown {
            limited.unknown(format!("{name}: {unknown}, taken as fitting"));
        }
        draft.placed = fitting.placed;
        let to = fitting.replicas;
        if to >= number {
            continue;
        }
        let gangs = |from: Replicas| number.get().abs_diff(from.get()).div_ceil(gang.get());
        let (wanted, refused) = (gangs(draft.current()), gangs(to));
        let why = fitting.refusal.unwrap_or_default();
        let units = if gang.get() == 1 { "replicas".to_owned() } else { format!("gangs of {gang}") };
        let words = format!("{refused} of {wanted} new {units} do not fit: {why}");
        limited.no_fit(format!("{name}: {words}"));
        draft.next.refused_since = Some(draft.past.refused_since.unwrap_or(draft.now));
        draft.proposal.move_to(Stage::Capacity, to, NO_FIT, || format!("{words}: {number} → {to}"));
        draft.proposal.bar_raising(to);
        draft.cap_at(to);
    }
}

/// Keeps the placements of the gangs that are asked for in the end, and forgets refusals that are over.
fn reserve(group: &mut GroupDraft<'_>) {
    for draft in group.roles.iter_mut().flatten() {
        let number = draft.proposal.replicas;
        draft.placed.retain(|(top, _)| *top <= number);
        let refused = draft.proposal.steps.iter().any(|step| step.reason == NO_FIT);
        if !refused {
            draft.next.refused_since = None;
        }
    }
}

#[cfg(test)]
mod tests;
