//! How a decision is made: [`decide`], pure, in ten stages.
//!
//! A [`Proposal`] starts as the current count and passes the stages in order. The first six look at one role alone,
//! the others at the whole group (roles of a ratio sleep, wake, grow and shrink together):
//!
//! `bounds → metrics → fallback → stabilize → limit → gang → zero → ratio → hold → capacity`
//!
//! Nothing here reads a clock, a file or a socket. `now` is an argument; what was decided before is [`RoleHistory`].

mod bounds;
mod capacity;
mod decision;
mod draft;
mod fallback;
mod gang;
mod history;
mod hold;
mod limit;
mod metrics;
mod observation;
mod proposal;
mod ratio;
mod stabilize;
mod zero;

use jiff::Timestamp;

pub use decision::{Condition, Decision, MetricStatus, RoleDecision, Stage, Step, Write};
use draft::{Due, GroupDraft, RateLimit, RoleDraft, RoleState};
pub use history::{MAX_ENTRIES, Recommendation, RoleHistory, Rollback, ScaleEvent};
pub use observation::{
    CapacityObservation, Observation, Phase, RatePair, Readiness, Reading, ReadyStatus, ReplicaObservation,
    ReplicaSamples, Reservation, RoleObservation, Sample, Settings, TokenReading, Total,
};
pub use proposal::Proposal;

use crate::policy::{Mode, Policy};

/// Decides how many replicas each role of a group gets, all roles at once.
///
/// `history` stands in the order of the policy's roles; a missing entry is a role never seen before. The result is
/// the same for the same arguments, whatever the order of pods, metrics, pairs and roles.
pub fn decide(
    policy: &Policy,
    observation: &Observation,
    history: &[RoleHistory],
    now: Timestamp,
) -> Decision {
    let never_seen = RoleHistory::default();
    let mut group = GroupDraft {
        policy,
        seen: observation,
        now,
        roles: Vec::with_capacity(policy.roles.len()),
        conditions: Vec::new(),
        due: Due::nothing(now),
    };
    for (index, role) in policy.roles.iter().enumerate() {
        let draft = observation.roles.get(index).and_then(Option::as_ref).map(|seen| {
            let past = history.get(index).unwrap_or(&never_seen);
            let mut draft = RoleDraft {
                policy: role,
                settings: &observation.settings,
                seen,
                past,
                now,
                bounds: role.bounds,
                schedule: None,
                state: RoleState::Active,
                proposal: Proposal::keep(seen.spec_replicas),
                recommended: seen.spec_replicas,
                results: Vec::new(),
                rate: RateLimit::None,
                able: None,
                active: None,
                limited: None,
                next: past.clone(),
                due: Due::nothing(now),
            };
            bounds::apply(&mut draft);
            metrics::apply(&mut draft);
            fallback::apply(&mut draft);
            stabilize::apply(&mut draft);
            limit::apply(&mut draft);
            gang::apply(&mut draft);
            draft
        });
        group.roles.push(draft);
    }
    zero::apply(&mut group);
    ratio::apply(&mut group);
    hold::apply(&mut group);
    capacity::apply(&mut group);
    finish(group)
}

fn finish(group: GroupDraft<'_>) -> Decision {
    let mut decision = Decision { conditions: group.conditions, ..Decision::default() };
    let mut due = group.due;
    for (index, draft) in group.roles.into_iter().enumerate() {
        let Some(draft) = draft else {
            decision.roles.push(None);
            continue;
        };
        due.join(draft.due);
        let current = draft.current();
        let desired = draft.proposal.replicas;
        if desired != current && group.policy.mode == Mode::Enforce {
            decision.writes.push(Write { role: index, from: current, to: desired });
        }
        decision.roles.push(Some(RoleDecision {
            current_replicas: current,
            desired_replicas: desired,
            recommended_replicas: draft.recommended,
            active_schedule: draft.schedule,
            metrics: draft.results.into_iter().map(|result| result.status).collect(),
            steps: draft.proposal.steps,
            conditions: [draft.able, draft.active, draft.limited].into_iter().flatten().collect(),
            history: draft.next,
        }));
    }
    decision.writes.sort_by_key(|write| write.to > write.from);
    decision.recheck_at = due.time();
    decision
}
