//! [`RoleDraft`] and [`GroupDraft`]: a decision in the making, handed from stage to stage.

use jiff::Timestamp;

use super::{
    decision::{Condition, MetricStatus},
    history::RoleHistory,
    observation::{Observation, Reservation, RoleObservation, Settings},
    proposal::Proposal,
    ratio::Balance,
};
use crate::{
    policy::{Bounds, Policy, RolePolicy},
    units::Replicas,
};

/// A decision on one role in the making. Stages read `policy`, `seen` and `past`, and write the rest.
#[derive(Debug)]
pub(crate) struct RoleDraft<'a> {
    /// The role's policy.
    pub policy: &'a RolePolicy,
    /// The controller's settings.
    pub settings: &'a Settings,
    /// What is seen of the role.
    pub seen: &'a RoleObservation,
    /// What earlier decisions left.
    pub past: &'a RoleHistory,
    /// The time of the decision.
    pub now: Timestamp,
    /// The count that the group asks for.
    current: Replicas,
    /// The bounds of the time, after schedules.
    pub bounds: Bounds,
    /// The schedule that holds for this role, by its place in the policy.
    pub schedule: Option<usize>,
    /// What kind of decision this is; set by `bounds`.
    pub state: RoleState,
    /// The number on its way.
    pub proposal: Proposal,
    /// The formula's answer, before limits.
    pub recommended: Replicas,
    /// One per metric of the policy; empty when none was looked at.
    pub results: Vec<MetricResult>,
    /// Whether the HPA's pass would end here: no number was computed, so nothing is stored, and the windows and limits
    /// do not apply.
    pub pass_failed: bool,
    /// Whether the fallback spoke.
    pub in_fallback: bool,
    /// How `limit` cut the number.
    pub rate: RateLimit,
    /// The condition `AbleToScale`.
    pub able: Option<Condition>,
    /// The condition `ScalingActive`.
    pub active: Option<Condition>,
    /// The condition `ScalingLimited`.
    pub limited: Option<Condition>,
    /// Reasons of `CapacityLimited` that this role gives.
    pub shortages: Vec<&'static str>,
    /// The wake signal that does not answer, in words.
    pub silent_wake: Option<String>,
    /// What `capacity` lets the role have, where it asks for more.
    pub cap: Option<Replicas>,
    /// Where pods of new replicas were placed, by the count that they belong to.
    pub placed: Vec<(Replicas, Reservation)>,
    /// What the next decision needs; starts as a copy of `past`. The pipeline adds the scale event.
    pub next: RoleHistory,
    /// When time alone may change the answer.
    pub due: Due,
}

impl<'a> RoleDraft<'a> {
    /// Returns the decision to keep the count, which no stage has looked at yet.
    pub fn begin(
        policy: &'a RolePolicy,
        settings: &'a Settings,
        seen: &'a RoleObservation,
        current: Replicas,
        past: &'a RoleHistory,
        now: Timestamp,
    ) -> Self {
        Self {
            policy,
            settings,
            seen,
            past,
            now,
            current,
            bounds: policy.bounds,
            schedule: None,
            state: RoleState::Active,
            proposal: Proposal::keep(current),
            recommended: current,
            results: Vec::new(),
            pass_failed: false,
            in_fallback: false,
            rate: RateLimit::None,
            able: None,
            active: None,
            limited: None,
            shortages: Vec::new(),
            silent_wake: None,
            cap: None,
            placed: Vec::new(),
            next: past.clone(),
            due: Due::nothing(now),
        }
    }

    /// The count that the group asks for.
    pub const fn current(&self) -> Replicas {
        self.current
    }

    /// Notes that `capacity` lets the role have no more than that.
    pub fn cap_at(&mut self, most: Replicas) {
        self.cap = Some(self.cap.map_or(most, |cap| cap.min(most)));
    }

    /// Whether every metric was looked at and none failed or was partial.
    pub fn is_complete(&self) -> bool {
        self.results.len() == self.policy.metrics.len()
            && self.results.iter().all(|result| result.failure.is_none() && !result.partial)
    }
}

/// What kind of decision is made on a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RoleState {
    /// All stages.
    #[default]
    Active,
    /// Zero replicas with a minimum above zero and no scaleToZero: left alone, its ratios suspended.
    Disabled,
    /// The count is outside the bounds: it goes to the bound, `metrics` to `limit` are skipped.
    OutOfBounds,
    /// Zero replicas with scaleToZero: only `zero` decides.
    Asleep,
}

/// What one metric came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetricResult {
    /// As shown.
    pub status: MetricStatus,
    /// Why it has no answer.
    pub failure: Option<Failure>,
    /// Whether a total is only a lower bound: it may raise, never lower.
    pub partial: bool,
    /// Whether it answered zero, completely.
    pub idle: bool,
}

/// Why a metric has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The reason of `ScalingActive`, such as `FailedGetPodsMetric`.
    pub reason: &'static str,
    /// The HPA's text.
    pub message: String,
}

/// How `limit` cut the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RateLimit {
    /// No rate policy has a say: the number is the stabilized one, inside the bounds.
    #[default]
    None,
    /// The number rises, and no further than a rate policy lets it.
    Within {
        /// The largest number that the policy lets pass.
        limit: Replicas,
        /// What the policy that was chosen allows.
        allowance: Allowance,
    },
    /// A rate policy (or the HPA's built-in limit without behavior) held it back.
    Held {
        /// The stabilized number, cut to the bounds only.
        unlimited: Replicas,
        /// What the policy that was chosen allows.
        allowance: Allowance,
    },
}

/// What a rate policy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// selectPolicy Disabled: nothing, ever.
    Disabled,
    /// The chosen policy: that many replicas per period from the count at its start. Zero (a percentage of nothing)
    /// allows nothing.
    PerPeriod {
        /// Replicas.
        replicas: u32,
        /// The policy's period.
        period: std::time::Duration,
    },
    /// Without behavior: the built-in limit, which knows no period.
    BuiltIn,
}

/// The earliest time at which time alone may change the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    now: Timestamp,
    at: Option<Timestamp>,
}

impl Due {
    /// Nothing is due.
    pub const fn nothing(now: Timestamp) -> Self {
        Self { now, at: None }
    }

    /// Something is due at that time, unless that has passed.
    pub fn at(&mut self, time: Timestamp) {
        if time > self.now {
            self.at = Some(self.at.map_or(time, |at| at.min(time)));
        }
    }

    /// Something is due that long after `start`.
    pub fn after(&mut self, start: Timestamp, span: std::time::Duration) {
        if let Ok(time) = start.checked_add(span) {
            self.at(time);
        }
    }

    /// Takes over what is due elsewhere.
    pub fn join(&mut self, other: Self) {
        if let Some(at) = other.at {
            self.at(at);
        }
    }

    /// Returns the earliest time.
    pub const fn time(self) -> Option<Timestamp> {
        self.at
    }
}

/// A decision on one group in the making.
#[derive(Debug)]
pub(crate) struct GroupDraft<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// What is seen.
    pub seen: &'a Observation,
    /// In the order of the policy's roles; `None` for a role that the group lacks.
    pub roles: Vec<Option<RoleDraft<'a>>>,
    /// The numbers that the roles' own stages came to, as `ratio` found them; `None` without ratios.
    pub asked: Option<Balance>,
    /// Conditions of the whole group, in the order in which stages add them.
    pub conditions: Vec<Condition>,
    /// When time alone may change the answer (beyond what the roles say).
    pub due: Due,
    /// Room that is taken beyond what is seen.
    pub reserved: Vec<Reservation>,
}

impl<'a> GroupDraft<'a> {
    /// Returns the decision to keep every count, which no stage has looked at yet.
    pub fn begin(
        policy: &'a Policy,
        seen: &'a Observation,
        history: &'a [RoleHistory],
        now: Timestamp,
    ) -> Self {
        let roles = policy.roles.iter().enumerate().map(|(index, role)| {
            let seen_role = seen.roles.get(index)?.as_ref()?;
            let past = history.get(index).unwrap_or(&NEVER_SEEN);
            Some(RoleDraft::begin(role, &seen.settings, seen_role, seen_role.spec_replicas, past, now))
        });
        Self {
            policy,
            seen,
            roles: roles.collect(),
            asked: None,
            conditions: Vec::new(),
            due: Due::nothing(now),
            reserved: Vec::new(),
        }
    }

    /// Returns the decision after this one at the same time, which no stage has looked at yet: its counts are written, their
    /// history is as given, and nothing else has changed.
    pub fn again<'b>(&self, written: &'b [RoleHistory]) -> GroupDraft<'b>
    where
        'a: 'b,
    {
        let roles = self.roles.iter().zip(written).map(|(draft, past)| {
            let draft = draft.as_ref()?;
            let count = draft.proposal.replicas;
            Some(RoleDraft::begin(draft.policy, draft.settings, draft.seen, count, past, draft.now))
        });
        let placed = self.roles.iter().flatten().flat_map(|draft| &draft.placed);
        GroupDraft {
            policy: self.policy,
            seen: self.seen,
            roles: roles.collect(),
            asked: None,
            conditions: Vec::new(),
            due: Due::nothing(self.due.now),
            reserved: self.reserved.iter().chain(placed.map(|(_, room)| room)).cloned().collect(),
        }
    }
}

/// The history of a role that no decision has seen.
static NEVER_SEEN: RoleHistory = RoleHistory {
    recommendations: None,
    scale_events: Vec::new(),
    answered_at: None,
    idle_since: None,
    rollback: None,
    rollout_since: None,
    refused_since: None,
};
