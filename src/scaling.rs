//! How a decision is made: [`decide`], pure, in ten stages.
//!
//! A [`Proposal`] starts as the current count and passes the stages in order. The first six look at one role alone,
//! the others at the whole group (roles of a ratio sleep, wake, grow and shrink together):
//!
//! `bounds → metrics → fallback → stabilize → limit → gang → zero → ratio → hold → capacity`
//!
//! Where what they leave would be changed by the next decision at once, `settle` writes what that comes to instead.
//!
//! Nothing here reads a clock, a file or a socket. `now` is an argument; what was decided before is [`RoleHistory`].

mod bounds;
mod capacity;
mod decision;
mod draft;
mod fallback;
mod finish;
mod fit;
mod gang;
#[cfg(test)]
mod group_laws;
mod history;
mod hold;
mod limit;
mod metrics;
mod observation;
mod partners;
mod proposal;
mod ratio;
mod rollback;
mod settle;
#[cfg(test)]
mod sketch;
mod stabilize;
mod zero;

use jiff::Timestamp;

pub use decision::{Condition, Decision, MetricStatus, Placement, RoleDecision, Stage, Step, Write};
use draft::GroupDraft;
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
    let mut group = GroupDraft::begin(policy, observation, history, now);
    stages(&mut group);
    settle::apply(&mut group);
    finish::finish(group)
}

/// Runs the ten stages.
fn stages(group: &mut GroupDraft<'_>) {
    let policy = group.policy;
    for (index, draft) in group.roles.iter_mut().enumerate() {
        let Some(draft) = draft else { continue };
        bounds::apply(draft, &policy.schedules, index);
        metrics::apply(draft);
        fallback::apply(draft);
        stabilize::apply(draft);
        limit::apply(draft);
        gang::apply(draft);
    }
    zero::apply(group);
    ratio::apply(group);
    hold::apply(group);
    capacity::apply(group);
}
