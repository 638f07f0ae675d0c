//! Gangs that stay unschedulable: which are taken back, and which only look like it.
//!
//! A gang is the replicas with ordinals from k × size to (k + 1) × size. It is taken back when one of its replicas has
//! been unschedulable for longer than the timeout, and neither it nor a higher gang has a ready replica. Removing
//! replicas removes the highest ordinals, so the gangs above it go with it, whatever they wait for; what is bound but
//! not ready in them holds GPUs and serves nobody. A gang with a ready replica, or below one, is never touched.
//!
//! Nothing is taken back from the minimum: a gang of it that is stuck stays, and does not take higher ones along.
//!
//! Without ordinals nobody can say which replicas form a gang: the unschedulable replicas, rounded up to gangs, are taken
//! back, as long as every ready replica has a place in what remains.
//!
//! Only replicas that the count asks for, and goes on to ask for, are looked at; those beyond it, or being deleted, are on
//! their way out: a ready replica that goes anyway protects no gang below it. A ready replica that is being deleted still
//! protects its gang: it may be replaced in place.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{draft::RoleDraft, observation::ReplicaObservation};
use crate::units::Replicas;

/// What is to be done about unschedulable gangs of one role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The count to go back to, and why.
    pub take_back: Option<(Replicas, String)>,
    /// Why a gang that is stuck is not taken back.
    pub partial: Option<String>,
    /// When the next gang may have waited for long enough.
    pub due: Option<Timestamp>,
    /// What waits for a node until then, in words.
    pub waits: Option<String>,
}

/// How one gang stands.
#[derive(Clone, Debug, Default)]
struct Gang {
    ready: u32,
    /// The replica that has been unschedulable for longest.
    waiting: Option<(Timestamp, String, Option<String>)>,
}

/// Judges the gangs of one role.
pub(super) fn judge(draft: &RoleDraft<'_>, timeout: Duration) -> Verdict {
    let mut verdict = if has_ordinals(draft) { by_gang(draft, timeout) } else { by_count(draft, timeout) };
    verdict.waits = verdict.due.and_then(|due| waiting(draft, due));
    verdict
}

/// What waits for a node beyond the minimum, what the scheduler says to it, and until when it may.
fn waiting(draft: &RoleDraft<'_>, due: Timestamp) -> Option<String> {
    let is_more = |replica: &ReplicaObservation| {
        replica.ordinal.is_none_or(|ordinal| ordinal >= draft.bounds.min.get())
    };
    let waiting: Vec<_> =
        own(draft).filter(|replica| waiting_since(replica).is_some() && is_more(replica)).collect();
    let words = waiting.iter().find_map(|replica| replica.unschedulable_message.as_deref());
    let tail = words.map(|words| format!(" ({})", clip(words))).unwrap_or_default();
    (!waiting.is_empty()).then(|| {
        format!(
            "{}, to be taken back at {due:.0}{tail}",
            wait_for_a_node(u32::try_from(waiting.len()).unwrap_or(u32::MAX))
        )
    })
}

/// Returns `1 replica waits for a node`, or as many as there are.
pub(super) fn wait_for_a_node(count: u32) -> String {
    match count {
        1 => "1 replica waits for a node".to_owned(),
        count => format!("{count} replicas wait for a node"),
    }
}

/// Returns the least count above which there are only whole gangs that wait for a node and have nothing ready.
pub(super) fn pending_above(draft: &RoleDraft<'_>) -> Replicas {
    let (current, gang) = (draft.current(), draft.policy.gang);
    if !has_ordinals(draft) {
        let waiting =
            own(draft).filter(|replica| replica.unschedulable_since.is_some() && !is_ready(replica)).count();
        let waiting = gang.floor_to_gang(Replicas::new(u32::try_from(waiting).unwrap_or(u32::MAX)));
        return Replicas::new(gang.ceil_to_gang(current).get().saturating_sub(waiting.get())).min(current);
    }
    let gangs = gangs(draft);
    let mut above = kept(draft);
    for index in (0..above.get().div_ceil(gang.get())).rev() {
        if gangs.get(&index).is_none_or(|gang| gang.ready > 0 || gang.waiting.is_none()) {
            break;
        }
        above = Replicas::new(index.saturating_mul(gang.get()));
    }
    above
}

fn by_gang(draft: &RoleDraft<'_>, timeout: Duration) -> Verdict {
    let (current, size) = (draft.current(), draft.policy.gang.get());
    let gangs = gangs(draft);
    let protected = gangs.iter().rev().find(|(_, gang)| gang.ready > 0).map(|(index, _)| *index);
    let mut verdict = Verdict::default();
    for (index, gang) in &gangs {
        let Some((since, name, message)) = &gang.waiting else { continue };
        let Some(due) = due(*since, timeout) else { continue };
        let waited = draft.now.duration_since(*since).as_secs();
        let first = index.saturating_mul(size);
        let members = members(first, size, current);
        if draft.now < due {
            if protected.is_none_or(|protected| *index > protected) {
                verdict.due = Some(verdict.due.map_or(due, |earlier| earlier.min(due)));
            }
        } else if let Some(protected) = protected.filter(|protected| index <= protected) {
            let place = if protected == *index { "of it" } else { "above" };
            let ready: u32 = gangs.range(index..).map(|(_, gang)| gang.ready).sum();
            let are = if ready == 1 { "is" } else { "are" };
            let stay = if members.starts_with("replicas") { "stay" } else { "stays" };
            verdict.partial.get_or_insert_with(|| {
                format!(
                    "{name} has been unschedulable for {waited} s, but {ready} {place} {are} ready: {members} {stay}"
                )
            });
        } else {
            let tail = message.as_deref().map(|message| format!(" ({})", clip(message))).unwrap_or_default();
            let why = format!("{members} unschedulable for {waited} s{tail}");
            if first < draft.bounds.min.get() {
                verdict
                    .partial
                    .get_or_insert_with(|| format!("{why}, kept at the minimum {}", draft.bounds.min));
                continue;
            }
            verdict.take_back = Some((Replicas::new(first), why));
            break;
        }
    }
    verdict
}

fn by_count(draft: &RoleDraft<'_>, timeout: Duration) -> Verdict {
    let (current, gang) = (draft.current(), draft.policy.gang);
    let mut verdict = Verdict::default();
    let (mut stuck, mut ready, mut message) = (0_u32, 0_u32, None);
    for replica in own(draft) {
        ready += u32::from(is_ready(replica));
        let Some(due) = waiting_since(replica).and_then(|since| due(since, timeout)) else { continue };
        if draft.now < due {
            verdict.due = Some(verdict.due.map_or(due, |earlier| earlier.min(due)));
        } else {
            stuck += 1;
            message = message.or(replica.unschedulable_message.as_deref());
        }
    }
    if stuck == 0 {
        return verdict;
    }
    let less = gang.ceil_to_gang(Replicas::new(stuck)).get();
    let left = Replicas::new(gang.ceil_to_gang(current).get().saturating_sub(less));
    let needed = gang.ceil_to_gang(Replicas::new(ready)).max(gang.ceil_to_gang(draft.bounds.min));
    let to = left.max(needed);
    let tail = message.map(|message| format!(" ({})", clip(message))).unwrap_or_default();
    let waited = format!("{stuck} replicas unschedulable for longer than {} s{tail}", timeout.as_secs());
    if to < current {
        verdict.take_back = Some((to, waited));
    } else {
        let why = format!("{waited}, kept: {ready} are ready, at least {}", draft.bounds.min);
        verdict.partial = Some(why);
    }
    verdict
}

/// When a replica that waits since then has waited for longer than the timeout.
fn due(since: Timestamp, timeout: Duration) -> Option<Timestamp> {
    since.checked_add(timeout).and_then(|due| due.checked_add(Duration::from_millis(1))).ok()
}

/// The gangs that have replicas, by place.
fn gangs(draft: &RoleDraft<'_>) -> BTreeMap<u32, Gang> {
    let mut gangs: BTreeMap<u32, Gang> = BTreeMap::new();
    for replica in own(draft) {
        let gang = gangs.entry(replica.ordinal.unwrap_or(0) / draft.policy.gang.get()).or_default();
        gang.ready += u32::from(is_ready(replica));
        if let Some(since) = waiting_since(replica)
            && gang.waiting.as_ref().is_none_or(|(earliest, ..)| since < *earliest)
        {
            gang.waiting = Some((since, replica.name.clone(), replica.unschedulable_message.clone()));
        }
    }
    gangs
}

/// The replicas that the count asks for and goes on to ask for.
fn own<'d>(draft: &'d RoleDraft<'_>) -> impl Iterator<Item = &'d ReplicaObservation> {
    let kept = kept(draft).get();
    draft.seen.replicas.iter().filter(move |replica| replica.ordinal.is_none_or(|ordinal| ordinal < kept))
}

/// How many replicas there are that the number so far does not take away.
fn kept(draft: &RoleDraft<'_>) -> Replicas {
    draft.current().min(draft.proposal.replicas)
}

fn has_ordinals(draft: &RoleDraft<'_>) -> bool {
    draft.seen.replicas.iter().all(|replica| replica.ordinal.is_some())
}

fn is_ready(replica: &ReplicaObservation) -> bool {
    replica.is_running_ready()
}

fn waiting_since(replica: &ReplicaObservation) -> Option<Timestamp> {
    replica.unschedulable_since.filter(|_| !replica.deleted)
}

fn members(first: u32, size: u32, current: Replicas) -> String {
    let last = first.saturating_add(size).min(current.get()).saturating_sub(1);
    if last <= first { format!("replica {first}") } else { format!("replicas {first} to {last}") }
}

/// The scheduler's words, kept short.
fn clip(message: &str) -> String {
    const MOST: usize = 120;
    if message.chars().count() <= MOST {
        return message.trim_end_matches('.').to_owned();
    }
    let mut short: String = message.chars().take(MOST).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests;
