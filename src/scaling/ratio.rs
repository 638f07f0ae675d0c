//! Stage `ratio`: proportions between roles.
//!
//! Pass one raises poor sides, pass two lowers rich ones (see [`balance`]); `capacity` runs pass two once more. What
//! the text leaves open:
//!
//! - What `capacity` keeps from a role, nobody is raised for: pass one is made again with what those roles are left with,
//!   and a role that it raised before goes back to what it asks for now, never below its floor. Otherwise partners would
//!   get GPUs for replicas that do not come, and the next decision would take them away again. The same goes for replicas
//!   that a role only kept (a window held them, its formula asks for fewer) and that pass two takes.
//! - A role that the group lacks, or that is disabled, takes no part: its ratios are suspended. If the counts violate
//!   one nevertheless, `RatioSatisfied` says so.
//! - "Never below running replicas" protects the highest replica with all its pods running, and so all below it: the
//!   highest ordinals are removed first. A replica that loads runs; one that waits for a node or an image does not.
//!   What the role's own stages take away protects nothing: only replicas of the count that they left are looked at.
//!   Where no pods are known, every replica that the workload reports is taken as running.
//! - Several bounds may ask one role for different counts; the step names the one that decided.
//! - `RatioSatisfied` is judged on the final numbers and names, for each pair that misses, what stopped either side.

mod balance;
mod verdict;

use std::cmp::Reverse;

pub(crate) use balance::{Balance, Demand, Side};
pub(crate) use verdict::judge;

use super::{
    decision::Stage,
    draft::{GroupDraft, RoleDraft, RoleState},
    observation::{Phase, RoleObservation},
};
use crate::{policy::Policy, units::Replicas};

const RAISED: &str = "RatioRaised";
const LOWERED: &str = "RatioLowered";

/// Runs both passes on one group.
pub(crate) fn apply(group: &mut GroupDraft<'_>) {
    if group.policy.ratios.is_empty() {
        return;
    }
    let mut balance = balance(group);
    group.asked = Some(balance.clone());
    balance.raise();
    let raised = balance.clone();
    balance.lower();
    change(group, &raised, &balance);
}

/// Takes back what was raised for roles that capacity cut, and runs pass two once more.
pub(crate) fn refit(group: &mut GroupDraft<'_>) {
    if group.policy.ratios.is_empty() {
        return;
    }
    unraise(group);
    let before = balance(group);
    let mut balance = before.clone();
    balance.lower();
    change(group, &before, &balance);
}

/// Lets roles go back to what pass one would have raised them to, had capacity's cuts been known.
fn unraise(group: &mut GroupDraft<'_>) {
    let Some(mut asked) = group.asked.clone() else { return };
    let mut cut: Vec<usize> = Vec::new();
    for (role, (side, draft)) in asked.sides.iter_mut().zip(&group.roles).enumerate() {
        let (Some(side), Some(draft)) = (side, draft) else { continue };
        let cap = draft.cap.map(|cap| cap.min(draft.proposal.replicas)).or_else(|| kept(draft, *side));
        if let Some(left) = cap {
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

/// What is left of a role that only kept what it has, while its formula asks for less, and lost some of it to pass two.
fn kept(draft: &RoleDraft<'_>, asked: Side) -> Option<Replicas> {
    let (number, gang) = (draft.proposal.replicas, draft.policy.gang);
    let lost = number < asked.replicas && asked.replicas <= gang.ceil_to_gang(draft.current());
    let left = number.max(gang.ceil_to_gang(draft.recommended));
    (lost && left < asked.replicas).then_some(left)
}

/// Whether pass one raised a role, and it still stands above what it asked for.
pub(crate) fn is_raised(draft: &RoleDraft<'_>, asked: Option<Side>) -> bool {
    draft.proposal.steps.iter().any(|step| step.reason == RAISED)
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

/// The numbers of the group as the two passes see them.
pub(crate) fn balance(group: &GroupDraft<'_>) -> Balance {
    let sides = group.roles.iter().map(|role| role.as_ref().and_then(side)).collect();
    Balance::new(&group.policy.ratios, sides)
}

fn side(draft: &RoleDraft<'_>) -> Option<Side> {
    (draft.state != RoleState::Disabled).then(|| Side {
        replicas: draft.proposal.replicas,
        gang: draft.policy.gang,
        low: draft.proposal.floor.max(draft.bounds.min).max(running(draft.seen, draft.proposal.replicas)),
        high: draft.proposal.ceiling.min(draft.bounds.max),
    })
}

/// How many of the first `most` replicas must stay so that none of them that runs is removed.
fn running(seen: &RoleObservation, most: Replicas) -> Replicas {
    let most = seen.spec_replicas.min(most);
    if seen.replicas.is_empty() {
        return most.min(seen.status_replicas);
    }
    let (mut count, mut highest) = (0_u32, 0_u32);
    for replica in &seen.replicas {
        let runs = !replica.deleted && matches!(replica.phase, Phase::Running | Phase::Other);
        let listed = replica.ordinal.is_none_or(|ordinal| ordinal < most.get());
        if runs && listed {
            count = count.saturating_add(1);
            highest = highest.max(replica.ordinal.map_or(0, |ordinal| ordinal.saturating_add(1)));
        }
    }
    Replicas::new(count.max(highest)).min(most)
}

/// Moves each role from where it stands to where both passes left it.
fn change(group: &mut GroupDraft<'_>, raised: &Balance, lowered: &Balance) {
    let policy = group.policy;
    for (role, draft) in group.roles.iter_mut().enumerate() {
        let (Some(draft), Some(top), Some(end)) = (draft, raised.side(role), lowered.side(role)) else {
            continue;
        };
        let (from, to) = (draft.proposal.replicas, end.replicas);
        if from == to {
            continue;
        }
        let reason = if to > from { RAISED } else { LOWERED };
        draft.proposal.move_to(Stage::Ratio, to, reason, || {
            let name = &draft.policy.name;
            let up = || raising(policy, raised, role);
            let down = || lowering(policy, lowered, role);
            if to < from {
                return format!("{}: {name} {from} → {to}", down().unwrap_or_default());
            }
            let but =
                if to < top.replicas { down().map(|words| format!(", no more since {words}")) } else { None };
            format!("{}: {name} {from} → {to}{}", up().unwrap_or_default(), but.unwrap_or_default())
        });
    }
}

/// `ratio prefill:decode at most 1:1`.
fn words(policy: &Policy, demand: &Demand) -> String {
    let name = |role: usize| policy.roles.get(role).map_or("", |role| role.name.as_str());
    let (side, first, second) = if demand.is_min {
        ("at least", demand.poor, demand.rich)
    } else {
        ("at most", demand.rich, demand.poor)
    };
    format!("ratio {}:{} {side} {}", name(first), name(second), demand.bound)
}

/// Words for the demand that asked most of a role; of equals the first in the alphabet, whatever the order of pairs.
fn raising(policy: &Policy, balance: &Balance, role: usize) -> Option<String> {
    let mine = balance.demands().iter().filter(|demand| demand.poor == role);
    let asked = mine.filter_map(|demand| Some((demand.needed(balance.side(demand.rich)?.replicas), demand)));
    asked.map(|(needed, demand)| (Reverse(needed), words(policy, demand))).min().map(|(_, words)| words)
}

/// Words for the demand that left a role least.
fn lowering(policy: &Policy, balance: &Balance, role: usize) -> Option<String> {
    let mine = balance.demands().iter().filter(|demand| demand.rich == role);
    let left =
        mine.filter_map(|demand| Some((demand.supported(balance.side(demand.poor)?.replicas), demand)));
    left.map(|(supported, demand)| (supported, words(policy, demand))).min().map(|(_, words)| words)
}

#[cfg(test)]
mod tests;
