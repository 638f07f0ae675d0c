//! Stage `ratio`: proportions between roles.
//!
//! Pass one raises poor sides, pass two lowers rich ones (see [`balance`]); `capacity` runs pass two once more. What
//! the text leaves open:
//!
//! - What `capacity` keeps from a role, nobody is raised for, and what roles were raised for that goes back (see [`refit`]).
//! - A role that the group lacks, or that is disabled, takes no part: its ratios are suspended. If the counts violate
//!   one nevertheless, `RatioSatisfied` says so.
//! - "Never below running replicas" protects the highest replica with all its pods running, and so all below it: the
//!   highest ordinals are removed first. A replica that loads runs; one that waits for a node or an image does not.
//!   What the role's own stages take away protects nothing: only replicas of the count that they left are looked at, also
//!   when the role was raised since.
//!   Where no pods are known, every replica that the workload reports is taken as running.
//! - Several bounds may ask one role for different counts; the step names the one that decided.
//! - `RatioSatisfied` is judged on the final numbers and names, for each pair that misses, what stopped either side.

mod balance;
mod refit;
mod verdict;

use std::cmp::Reverse;

pub(crate) use balance::{Balance, Demand, Side};
pub(crate) use refit::{is_raised, refit};
pub(crate) use verdict::judge;

use super::{
    decision::Stage,
    draft::{GroupDraft, RoleDraft, RoleState},
    observation::{Phase, RoleObservation},
};
use crate::{policy::Policy, units::Replicas};

pub(crate) const RAISED: &str = "RatioRaised";
pub(crate) const LOWERED: &str = "RatioLowered";

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

/// The numbers of the group as the two passes see them.
pub(crate) fn balance(group: &GroupDraft<'_>) -> Balance {
    let asked = |role: usize| group.asked.as_ref().and_then(|asked| asked.side(role));
    let sides = group.roles.iter().enumerate().map(|(role, draft)| side(draft.as_ref()?, asked(role)));
    Balance::new(&group.policy.ratios, sides.collect())
}

fn side(draft: &RoleDraft<'_>, asked: Option<Side>) -> Option<Side> {
    let number = draft.proposal.replicas;
    let own = asked.map_or(number, |asked| asked.replicas.min(number));
    (draft.state != RoleState::Disabled).then(|| Side {
        replicas: number,
        gang: draft.policy.gang,
        low: draft.proposal.floor.max(draft.bounds.min).max(running(draft.seen, own.min(draft.current()))),
        high: draft.proposal.ceiling.min(draft.bounds.max),
    })
}

/// How many of the first `most` replicas must stay so that none of them that runs is removed.
fn running(seen: &RoleObservation, most: Replicas) -> Replicas {
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
