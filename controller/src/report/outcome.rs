//! [`Outcome`]: all that a status would say and that is worth writing, in a few bytes.
//!
//! Most decisions come to the same as the one before. A status says so in many words, and comparing it with the stored one
//! reads all of both; an outcome that equals the one that the stored status was found good for says it at once.

use std::hash::{DefaultHasher, Hash, Hasher};

use rbg_autoscaler::{
    api::autoscaler::RoleBasedGroupAutoscalerStatus,
    policy::Mode,
    scaling::{Condition, Decision, MetricStatus, RoleHistory, RoleObservation, Stage, Step},
};

use super::{conditions::Group, due, status};
use crate::observe::{Observed, Unwritable};

/// What a decision has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Stands for everything that makes a status worth writing but figures.
    mark: u64,
    /// The figures of metrics.
    figures: Vec<i64>,
}

impl Outcome {
    /// Returns the outcome of a decision on a policy of that generation.
    ///
    /// `None` where only the status itself can tell: there is something to write, or so much to say that it is cut.
    pub fn of(
        generation: Option<i64>,
        mode: Mode,
        known: &Group,
        observed: &Observed,
        decision: &Decision,
    ) -> Option<Self> {
        let roles = || decision.roles.iter().flatten();
        if !decision.writes.is_empty() || status::is_large(roles().map(|role| (&*role.metrics, &*role.steps)))
        {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (generation, std::mem::discriminant(&mode)).hash(&mut hasher);
        mark_group(known, &mut hasher);
        mark_conditions(&decision.conditions, &mut hasher);
        for (place, decided) in decision.roles.iter().enumerate() {
            let seen = observed.observation.roles.get(place).and_then(Option::as_ref);
            let (Some(seen), Some(decided)) = (seen, decided) else {
                false.hash(&mut hasher);
                continue;
            };
            mark_seen(seen, &mut hasher);
            let target = match observed.targets.get(place).and_then(Option::as_ref) {
                None => 0_u8,
                Some(Ok(_)) => 1,
                Some(Err(Unwritable::Rival(_))) => 2,
                Some(Err(_)) => 3,
            };
            (target, decided.desired_replicas, decided.recommended_replicas).hash(&mut hasher);
            (decided.active_schedule, &decided.shortages).hash(&mut hasher);
            mark_conditions(&decided.conditions, &mut hasher);
            for Step { stage, from, to, reason, message: _ } in &decided.steps {
                (stage, from, to, reason).hash(&mut hasher);
            }
            for metric in &decided.metrics {
                mark_metric(metric, &mut hasher);
            }
            mark_history(&decided.history, &decided.steps, &mut hasher);
        }
        let metrics = roles().flat_map(|role| &role.metrics);
        Some(Self { mark: hasher.finish(), figures: figures(metrics) })
    }

    /// Returns the outcome that a stored status was found good for: its mark, and the figures that are stored.
    #[must_use]
    pub fn stored(self, status: &RoleBasedGroupAutoscalerStatus) -> Self {
        let metrics = status.roles.iter().flat_map(|role| &role.metrics);
        Self { figures: figures(metrics), ..self }
    }

    /// Returns whether a decision comes to the same as this one, figures aside.
    pub fn is_same(&self, other: &Self) -> bool {
        self.mark == other.mark && self.figures.len() == other.figures.len()
    }

    /// Returns whether a figure moved so far from this one that it is worth writing.
    pub fn moved(&self, now: &Self) -> bool {
        self.figures.iter().zip(&now.figures).any(|(before, now)| due::far(*before, *now))
    }
}

fn figures<'m>(metrics: impl Iterator<Item = &'m MetricStatus>) -> Vec<i64> {
    let mut all = Vec::with_capacity(8);
    for value in metrics.filter_map(|metric| metric.current.as_ref()) {
        all.extend(due::figures(value).into_iter().flatten());
    }
    all
}

fn mark_group(known: &Group, hasher: &mut DefaultHasher) {
    let Group {
        invalid,
        conflict,
        missing_group,
        missing_roles,
        adapter_required,
        write_failed,
        inline_gone,
        inline_refused,
        gangless,
        unguarded,
        limit: _,
        notes: _,
    } = known;
    (invalid, conflict, missing_group, missing_roles, adapter_required).hash(hasher);
    (write_failed, inline_gone, inline_refused, gangless, unguarded).hash(hasher);
}

/// Texts hold figures that move all the time.
fn mark_conditions(conditions: &[Condition], hasher: &mut DefaultHasher) {
    conditions.len().hash(hasher);
    for Condition { type_, status, reason, message: _, last_transition_time: _ } in conditions {
        (type_, status, reason).hash(hasher);
    }
}

fn mark_seen(seen: &RoleObservation, hasher: &mut DefaultHasher) {
    (seen.spec_replicas, seen.ready_replicas(), status::pending(seen), seen.pods_per_replica).hash(hasher);
}

fn mark_metric(metric: &MetricStatus, hasher: &mut DefaultHasher) {
    let shown = metric.current.as_ref().map(|current| {
        (current.average_utilization.is_some(), current.average_value.is_some(), current.value.is_some())
    });
    (shown, &metric.error, metric.proposed_replicas, metric.missing_replicas).hash(hasher);
}

/// What a restart would lose; recommendations only while a window holds the count back.
fn mark_history(history: &RoleHistory, steps: &[Step], hasher: &mut DefaultHasher) {
    let rollback = history
        .rollback
        .map(|rollback| (rollback.attempts, rollback.at, rollback.until, rollback.replicas, rollback.room));
    (history.idle_since, rollback, history.rollout_since, history.refused_since).hash(hasher);
    if steps.iter().any(|step| step.stage == Stage::Stabilize) {
        for known in history.recommendations.iter().flatten() {
            (known.replicas, known.time).hash(hasher);
        }
    }
}
