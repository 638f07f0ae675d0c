//! What a role asks for after a rollback: nothing for a while, then half of what did not fit.

use super::{BACKING_OFF, limited::Limited};
use crate::{
    policy::{Capacity, Mode},
    scaling::{
        decision::Stage,
        draft::{GroupDraft, RoleDraft},
        fit,
        history::Rollback,
        observation::ReplicaObservation,
        rollback::wait_for_a_node,
    },
    units::Replicas,
};

/// Remembers that a role was rolled back to `to`.
pub(super) fn begin(group: &mut GroupDraft<'_>, role: usize, to: Replicas) {
    let Some(draft) = group.roles.get(role).and_then(Option::as_ref) else { return };
    let current = draft.current();
    let gone: Vec<&ReplicaObservation> = draft
        .seen
        .replicas
        .iter()
        .filter(|replica| replica.ordinal.is_some_and(|ordinal| ordinal >= to.get()))
        .collect();
    let room = fit::gangs(group, role, (to, current), &gone).unwrap_or(0);
    let Some(draft) = group.roles.get_mut(role).and_then(Option::as_mut) else { return };
    let attempts = draft.past.rollback.map_or(0, |rollback| rollback.attempts).saturating_add(1);
    let until = draft.now.checked_add(wait(group.policy.capacity, attempts)).unwrap_or(draft.now);
    draft.next.rollback = Some(Rollback { attempts, at: draft.now, until, replicas: current, room });
    if group.policy.mode == Mode::Enforce {
        draft.due.at(until);
    }
}

/// The wait after so many rollbacks in a row.
fn wait(capacity: Capacity, attempts: u32) -> std::time::Duration {
    let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    capacity.backoff_initial.saturating_mul(factor).min(capacity.backoff_max)
}

/// Keeps a role that was rolled back from asking for too much, or too early. What it asked for before its ratios lowered it
/// counts here: partners are not raised for what would be kept back.
///
/// Returns whether it may not ask for more since replicas of it wait for a node.
pub(super) fn apply(group: &mut GroupDraft<'_>, role: usize, limited: &mut Limited) -> bool {
    let Some(draft) = group.roles.get(role).and_then(Option::as_ref) else { return false };
    let Some(rollback) = draft.past.rollback else { return false };
    let (number, gang) = (draft.proposal.replicas, draft.policy.gang);
    // What a ratio takes away is gone before more is asked for.
    let current = draft.current().min(number);
    let asked = group.asked.as_ref().and_then(|asked| asked.side(role));
    let wanted = asked.map_or(number, |asked| asked.replicas.max(number));
    let waiting = without_node(draft, current);
    let fits = rollback.replicas <= current && waiting == 0;
    if fits || wanted <= current {
        if let Some(draft) = group.roles.get_mut(role).and_then(Option::as_mut).filter(|_| fits) {
            draft.next.rollback = None;
        }
        return false;
    }
    let counted = gang.ceil_to_gang(current).get();
    let failed = rollback.replicas.get().saturating_sub(counted).div_ceil(gang.get());
    let half = (failed / 2).max(1);
    let top =
        |gangs: u32| Replicas::new(counted.saturating_add(gangs.saturating_mul(gang.get()))).min(wanted);
    let early = || {
        let found = fit::gangs(group, role, (current, top(half)), &[])?;
        (found > rollback.room).then(|| found.min(half))
    };
    let (to, why) = if waiting > 0 {
        (current, wait_for_a_node(waiting))
    } else if draft.now >= rollback.until {
        (top(half), half_of(failed, rollback))
    } else if let Some(gangs) = early() {
        (top(gangs), format!("there is new room: {}", half_of(failed, rollback)))
    } else {
        (current, format!("nothing more until {}: {} did not fit", rollback.until, rollback.replicas))
    };
    let Some(draft) = group.roles.get_mut(role).and_then(Option::as_mut) else { return false };
    if to == current && waiting == 0 {
        draft.due.at(rollback.until);
    }
    if to < wanted {
        draft.cap_at(to);
    }
    if to < number {
        let tries = if rollback.attempts == 1 { "rollback" } else { "rollbacks" };
        let text = format!("after {} {tries}, {why}", rollback.attempts);
        limited.rolled_back(format!("{}: {text}", draft.policy.name));
        draft.proposal.bar_raising(to);
        draft.proposal.move_to(Stage::Capacity, to, BACKING_OFF, || format!("{text}: {number} → {to}"));
    }
    waiting > 0
}

/// Begins anew where replicas that a role waited for are taken away.
pub(super) fn again(group: &mut GroupDraft<'_>, role: usize) {
    let Some(draft) = group.roles.get(role).and_then(Option::as_ref) else { return };
    let to = draft.proposal.replicas;
    if to < draft.current() && without_node(draft, to) < without_node(draft, draft.current()) {
        begin(group, role, to);
    }
}

fn half_of(failed: u32, rollback: Rollback) -> String {
    let gangs = if failed == 1 { "gang" } else { "gangs" };
    format!("half of what did not fit ({failed} {gangs} up to {})", rollback.replicas)
}

/// How many of the first `current` replicas have a pod without a node, or lack a pod; those that nobody listed are taken as
/// settled if the workload reports them and they were not asked for just now.
fn without_node(draft: &RoleDraft<'_>, current: Replicas) -> u32 {
    let seen = draft.seen;
    let own = |replica: &&ReplicaObservation| {
        !replica.deleted && replica.ordinal.is_none_or(|ordinal| ordinal < current.get())
    };
    let settled = |replica: &&ReplicaObservation| replica.bound_pods >= seen.pods_per_replica.max(1);
    let listed = if seen.replicas.is_empty() {
        let just_now =
            draft.past.scale_events.iter().filter(|event| event.is_up() && event.time >= draft.now);
        just_now.map(|event| event.from).fold(seen.status_replicas, Replicas::min).get()
    } else {
        u32::try_from(seen.replicas.iter().filter(own).filter(settled).count()).unwrap_or(u32::MAX)
    };
    current.get().saturating_sub(listed)
}
