//! What remains after the stages: the decision, and the history as if its writes succeed.

use super::{
    decision::{Condition, Decision, Placement, RoleDecision, Write},
    draft::{GroupDraft, RoleDraft},
    history::{RoleHistory, ScaleEvent, events, recommendations},
    stabilize::windows,
};
use crate::policy::Mode;

/// Turns a finished draft into the decision.
pub(crate) fn finish(group: GroupDraft<'_>) -> Decision {
    let mut conditions = vec![metrics_healthy(&group)];
    conditions.extend(group.conditions);
    let mut decision = Decision { conditions, ..Decision::default() };
    let mut due = group.due;
    for (index, draft) in group.roles.into_iter().enumerate() {
        let Some(mut draft) = draft else {
            decision.roles.push(None);
            continue;
        };
        due.join(draft.due);
        let (current, desired) = (draft.current(), draft.proposal.replicas);
        let writes = desired != current && group.policy.mode == Mode::Enforce;
        if writes {
            decision.writes.push(Write { role: index, from: current, to: desired });
            let placed = draft.placed.drain(..);
            decision.reserved.extend(placed.map(|(replicas, room)| Placement {
                role: index,
                replicas,
                room,
            }));
        }
        let mut next = std::mem::take(&mut draft.next);
        if group.policy.mode != Mode::Enforce {
            // Nothing was taken back.
            next.rollback = next.rollback.and(draft.past.rollback);
        }
        let history = written(&draft, next, writes);
        decision.roles.push(Some(RoleDecision {
            current_replicas: current,
            desired_replicas: desired,
            recommended_replicas: draft.recommended,
            active_schedule: draft.schedule,
            metrics: draft.results.into_iter().map(|result| result.status).collect(),
            steps: draft.proposal.steps,
            conditions: [draft.able, draft.active, draft.limited].into_iter().flatten().collect(),
            shortages: draft.shortages,
            history,
        }));
    }
    decision.writes.sort_by_key(|write| write.to > write.from);
    decision.recheck_at = due.time();
    decision
}

/// Ends a role's history: stores the event of its write, if there is one, and drops what no longer counts.
pub(crate) fn written(draft: &RoleDraft<'_>, mut next: RoleHistory, writes: bool) -> RoleHistory {
    let (current, to, time) = (draft.current(), draft.proposal.replicas, draft.now);
    let mut kept = next.recommendations.take().unwrap_or_default();
    recommendations::prune(&mut kept, windows(draft), time);
    next.recommendations = Some(kept);
    let Some(behavior) = &draft.policy.behavior else {
        next.scale_events.clear();
        return next;
    };
    if writes {
        events::store(&mut next.scale_events, ScaleEvent { from: current, to, time }, behavior);
    }
    events::prune(&mut next.scale_events, events::retention(behavior, draft.policy.gang), time);
    next
}

/// Whether every metric that was looked at answered, and wholly; and every wake signal.
fn metrics_healthy(group: &GroupDraft<'_>) -> Condition {
    const NAME: &str = "MetricsHealthy";
    let mut looked_at = false;
    let (mut partial, mut silent) = (None, None);
    for draft in group.roles.iter().flatten() {
        if let Some(why) = &draft.silent_wake {
            silent.get_or_insert_with(|| format!("wakeOn of role {}: {why}", draft.policy.name));
        }
        for result in &draft.results {
            looked_at = true;
            let of = || format!("{} of role {}: ", result.status.name, draft.policy.name);
            if let Some(failure) = &result.failure {
                return Condition::new(NAME, false, failure.reason, of() + &failure.message);
            }
            if result.partial && partial.is_none() {
                let why = result.status.error.as_deref().unwrap_or_default();
                let why = why.strip_prefix("PartialMetric: ").unwrap_or(why);
                partial = Some(of() + why);
            }
        }
    }
    if let Some(why) = silent {
        return Condition::new(NAME, false, "WakeSignalSilent", why);
    }
    match partial {
        Some(why) => Condition::new(NAME, false, "PartialMetric", why),
        None if looked_at => Condition::new(NAME, true, "AllAnswered", "every metric answered"),
        None => Condition::unknown(NAME, "NotEvaluated", "no metric was looked at"),
    }
}
