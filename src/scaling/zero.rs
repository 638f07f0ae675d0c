//! Stage `zero`: sleeping at zero, and waking.
//!
//! Only roles with `scaleToZero`; only this stage goes below their minimum, which is the floor while awake. What the text
//! leaves open:
//!
//! - Idle is: every metric and every wake signal answered zero, completely, and all replicas are ready, none of them
//!   being deleted. Anything else ends the idle time, a replica that loads again included.
//! - Sleep is one step from any count: an idle role serves nobody, so neither windows nor rate limits keep it up.
//! - Asleep, one silent wake signal of several is silence: the role may only sleep while each of them is zero, so each
//!   of them may be the one that would wake it. Silence counts from the last time that all answered.
//! - A role wakes to `wakeTo`, or its minimum of the time, within its bounds of the time.
//! - Roles of a ratio are one: they sleep when each awake one has been idle for its `idleAfter`, and while one is awake
//!   or wakes, the others wake. A write that was lost halfway is thus completed by the next decision.

mod wake;

use jiff::Timestamp;

use super::{
    decision::{Condition, Stage},
    draft::{GroupDraft, RoleDraft, RoleState},
    metrics::SCALING_ACTIVE,
    partners::partners,
};
use crate::{
    policy::ScaleToZero,
    units::{GatewayDuration, Replicas},
};

pub(crate) const IDLE: &str = "Idle";
const WOKEN: &str = "Woken";
const WAKE_SIGNAL_LOST: &str = "WakeSignalLost";
/// How long wake signals may be silent where the policy has no fallback.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(180);

/// How one role stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// At zero, and why it wakes.
    Asleep(Option<(&'static str, String)>),
    /// Up, and why it may sleep.
    Awake(Option<String>),
}

/// Runs the stage on one group.
pub(crate) fn apply(group: &mut GroupDraft<'_>) {
    let standings: Vec<_> = group.roles.iter_mut().map(|role| role.as_mut().and_then(standing)).collect();
    for set in partners(group, |role| standings.get(role).is_some_and(Option::is_some)) {
        let of = |role: usize| standings.get(role).and_then(Option::as_ref);
        let stays_up = set.iter().copied().find(|role| matches!(of(*role), Some(Standing::Awake(None))));
        let waker = set.iter().copied().find(|role| matches!(of(*role), Some(Standing::Asleep(Some(_)))));
        let other = waker.or(stays_up);
        let other_name = other.and_then(|role| group.policy.roles.get(role)).map_or("", |role| &role.name);
        for role in set {
            let Some(draft) = group.roles.get_mut(role).and_then(Option::as_mut) else { continue };
            match of(role) {
                Some(Standing::Awake(Some(idle))) if other.is_none() => sleep(draft, idle),
                Some(Standing::Asleep(Some((reason, why)))) => wake(draft, reason, why),
                Some(Standing::Asleep(None)) if other.is_some() => {
                    wake(draft, WOKEN, &format!("wakes with {other_name}"));
                }
                _ => {}
            }
        }
    }
}

/// How the role stands; none without `scaleToZero`. Keeps the history of idleness and of silence.
fn standing(draft: &mut RoleDraft<'_>) -> Option<Standing> {
    let rule = draft.policy.scale_to_zero.as_ref()?;
    if draft.state == RoleState::Disabled {
        return None;
    }
    let signals = wake::read(draft.policy, draft.seen);
    draft.silent_wake.clone_from(&signals.silent);
    if draft.current() > Replicas::ZERO {
        let idle = signals.zero
            && draft.is_complete()
            && draft.results.iter().all(|result| result.idle)
            && ready(draft);
        return Some(Standing::Awake(sleepy(draft, rule, idle)));
    }
    draft.next.idle_since = None;
    let asked = draft.past.answered_at.unwrap_or(draft.now);
    draft.next.answered_at = Some(if signals.answered { draft.now } else { asked });
    draft.active = Some(match &signals.silent {
        None => Condition::new(
            SCALING_ACTIVE,
            true,
            "ValidMetricFound",
            "asleep at zero; every wake signal answers",
        ),
        Some(silent) => Condition::new(
            SCALING_ACTIVE,
            false,
            "FailedGetExternalMetric",
            format!("asleep at zero; {silent}"),
        ),
    });
    if let Some(above) = signals.above {
        return Some(Standing::Asleep(Some((WOKEN, above))));
    }
    let lost = silence(draft, asked, signals.answered);
    let why = lost.then(|| (WAKE_SIGNAL_LOST, signals.silent.unwrap_or_else(|| "no wake signal".to_owned())));
    Some(Standing::Asleep(why))
}

/// Whether all replicas are there and serve.
fn ready(draft: &RoleDraft<'_>) -> bool {
    let spec = usize::try_from(draft.current().get()).unwrap_or(usize::MAX);
    draft.seen.ready_replicas() == spec && draft.seen.replicas.len() == spec
}

/// Notes since when the role has been idle; returns why it may sleep.
fn sleepy(draft: &mut RoleDraft<'_>, rule: &ScaleToZero, idle: bool) -> Option<String> {
    if !idle {
        draft.next.idle_since = None;
        return None;
    }
    let since = draft.past.idle_since.unwrap_or(draft.now);
    draft.next.idle_since = Some(since);
    let due = since.checked_add(rule.idle_after).ok()?;
    if draft.now < due {
        draft.due.at(due);
        return None;
    }
    if draft.proposal.allowed(Replicas::ZERO) > Replicas::ZERO {
        return None;
    }
    let after = GatewayDuration::from(rule.idle_after);
    Some(format!("idle for {} s, after {after} it sleeps", draft.now.duration_since(since).as_secs()))
}

/// Whether the wake signals have been silent for too long.
fn silence(draft: &mut RoleDraft<'_>, since: Timestamp, answered: bool) -> bool {
    let after = draft.policy.fallback.map_or(SILENCE, |fallback| fallback.after);
    let Ok(due) = since.checked_add(after) else { return false };
    if answered {
        return false;
    }
    draft.due.at(due);
    draft.now >= due
}

fn sleep(draft: &mut RoleDraft<'_>, why: &str) {
    let from = draft.proposal.replicas;
    draft.proposal.move_to(Stage::Zero, Replicas::ZERO, IDLE, || format!("{why}: {from} → 0"));
}

fn wake(draft: &mut RoleDraft<'_>, reason: &'static str, why: &str) {
    let wake_to = draft.policy.scale_to_zero.as_ref().and_then(|rule| rule.wake_to);
    let gang = draft.policy.gang;
    let least = draft.bounds.min.max(Replicas::new(gang.get()));
    let to = gang.ceil_to_gang(wake_to.unwrap_or(least).max(least)).min(draft.bounds.max);
    let from = draft.proposal.replicas;
    draft.proposal.move_to(Stage::Zero, to, reason, || format!("{why}: {from} → {to}"));
}

#[cfg(test)]
mod tests;
