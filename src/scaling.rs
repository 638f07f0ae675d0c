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
mod finish;
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

use crate::policy::Policy;

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
                pass_failed: false,
                in_fallback: false,
                rate: RateLimit::None,
                able: None,
                active: None,
                limited: None,
                next: past.clone(),
                due: Due::nothing(now),
            };
            bounds::apply(&mut draft, &policy.schedules, index);
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
    finish::finish(group)
}
