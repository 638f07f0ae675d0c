//! Pass two once more, for what `capacity` leaves: nobody is raised for replicas that do not come.
//!
//! Pass one is made again with what `capacity` lets roles have, and a role that it raised before goes back to what it asks for
//! now, never below its floor. Otherwise partners would get GPUs for replicas that do not come, and the next decision would
//! take them away again. What partners lose beyond that is for the look ahead (see [`crate::scaling::settle`]).

use super::{LOWERED, balance, change};
use crate::{
    policy::Policy,
    scaling::{
        decision::Stage,
        draft::{GroupDraft, RoleDraft},
        ratio::{Balance, Side},
    },
};

/// Takes back what was raised for replicas that do not come, and runs pass two once more.
pub(crate) fn refit(group: &mut GroupDraft<'_>) {
    if group.policy.ratios.is_empty() {
        return;
    }
    // Each turn but the last leaves less to some role that capacity cut.
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
        let Some(cap) = draft.cap else { continue };
        let left = cap.min(draft.proposal.replicas);
        // A count off the grid is not lowered to it here: it counts as the next multiple.
        (side.replicas, side.high) = (side.replicas.min(left), side.high.min(side.gang.ceil_to_gang(left)));
        cut.push(role);
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
