//! The status of a policy: what was seen, decided and written, bounded in size.

use jiff::Timestamp;
use rbg_autoscaler::{
    api::autoscaler::{RoleBasedGroupAutoscalerStatus, RoleStatus},
    cause::chain,
    policy::Policy,
    scaling::{Condition, Decision, MetricStatus, Phase, RoleDecision, RoleHistory, RoleObservation, Step},
    units::Replicas,
};

use super::conditions::{bounded, since};
use crate::{
    apply::{ApplyError, Written},
    observe::{Observed, Unwritable},
};

/// The largest status as JSON; beyond it, what is for people goes and histories stay.
const MAX_BYTES: usize = 64 * 1024;

/// What there is to tell of one decision.
#[derive(Debug)]
pub struct Told<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// What was seen.
    pub observed: &'a Observed,
    /// What was decided.
    pub decision: &'a Decision,
    /// What became of the writes.
    pub written: &'a [Written],
    /// The histories after the writes.
    pub histories: &'a [RoleHistory],
}

/// Returns a status. Without a decision the roles stay as they were told last.
pub fn status(
    before: &RoleBasedGroupAutoscalerStatus,
    generation: Option<i64>,
    told: Option<&Told<'_>>,
    conditions: Vec<Condition>,
    now: Timestamp,
) -> RoleBasedGroupAutoscalerStatus {
    let roles = told.map_or_else(|| before.roles.clone(), |told| roles(before, told, now));
    let summary: Vec<_> = roles
        .iter()
        .map(|role| format!("{}={}/{}", role.name, role.ready_replicas, role.desired_replicas))
        .collect();
    let mut status = RoleBasedGroupAutoscalerStatus {
        observed_generation: generation,
        summary: (!summary.is_empty()).then(|| bounded(summary.join(" "))),
        roles,
        conditions: since(conditions, &before.conditions, now),
    };
    fit(&mut status);
    status
}

fn roles(before: &RoleBasedGroupAutoscalerStatus, told: &Told<'_>, now: Timestamp) -> Vec<RoleStatus> {
    let mut roles = Vec::with_capacity(told.policy.roles.len());
    for (index, policy) in told.policy.roles.iter().enumerate() {
        let seen = told.observed.observation.roles.get(index).and_then(Option::as_ref);
        let decided = told.decision.roles.get(index).and_then(Option::as_ref);
        let (Some(seen), Some(decided)) = (seen, decided) else { continue };
        let known = before.roles.iter().find(|known| known.name == policy.name);
        let written = told.written.iter().find(|written| written.write.role == policy.name);
        let done = written.filter(|written| written.outcome.is_ok());
        let schedule = decided.active_schedule.and_then(|place| told.policy.schedules.get(place));
        roles.push(RoleStatus {
            name: policy.name.clone(),
            replicas: number(done.map_or(seen.spec_replicas, |written| written.write.to)),
            ready_replicas: length(seen.ready_replicas()),
            pending_replicas: length(pending(seen)),
            desired_replicas: number(decided.desired_replicas),
            recommended_replicas: number(decided.recommended_replicas),
            gang_replicas: i32::try_from(policy.gang.get()).unwrap_or(i32::MAX),
            pods_per_replica: i32::try_from(seen.pods_per_replica).unwrap_or(i32::MAX),
            last_scale_time: done.map(|_| now).or_else(|| known?.last_scale_time),
            active_schedule: schedule.map(|schedule| schedule.name.clone()),
            metrics: decided.metrics.iter().map(bounded_metric).collect(),
            decision: decided.steps.iter().map(bounded_step).collect(),
            conditions: role_conditions(known, decided, told, index, written, now),
            history: told.histories.get(index).cloned(),
        });
    }
    roles
}

pub(super) fn pending(seen: &RoleObservation) -> usize {
    seen.replicas.iter().filter(|replica| replica.phase == Phase::Pending && !replica.deleted).count()
}

/// Conditions that the decision did not judge stay as they were, as the HPA leaves them.
fn role_conditions(
    known: Option<&RoleStatus>,
    decided: &RoleDecision,
    told: &Told<'_>,
    index: usize,
    written: Option<&Written>,
    now: Timestamp,
) -> Vec<Condition> {
    let before = known.map_or(&[][..], |known| &known.conditions);
    let mut conditions = decided.conditions.clone();
    if let Some(able) = able_to_scale(told, index, written) {
        conditions.retain(|condition| condition.type_ != able.type_);
        conditions.insert(0, able);
    }
    for condition in before {
        if conditions.iter().all(|judged| judged.type_ != condition.type_) {
            conditions.push(condition.clone());
        }
    }
    since(conditions, before, now)
}

/// What the write says of `AbleToScale`, if there was one or none was possible.
fn able_to_scale(told: &Told<'_>, index: usize, written: Option<&Written>) -> Option<Condition> {
    if let Some(Err(unwritable)) = told.observed.targets.get(index).and_then(Option::as_ref) {
        let reason = if matches!(unwritable, Unwritable::Rival(_)) { "Conflict" } else { "FailedGetScale" };
        return Some(Condition::new("AbleToScale", false, reason, unwritable.to_string()));
    }
    let written = written?;
    match &written.outcome {
        Ok(_) => {
            let message = format!("replicas were set from {} to {}", written.write.from, written.write.to);
            Some(Condition::new("AbleToScale", true, "SucceededRescale", message))
        }
        // The world moved on: the next decision tells.
        Err(ApplyError::Moved(_) | ApplyError::Postponed) => None,
        Err(error) => Some(Condition::new("AbleToScale", false, "FailedUpdateScale", chain(error))),
    }
}

fn bounded_metric(metric: &MetricStatus) -> MetricStatus {
    let mut metric = metric.clone();
    metric.error = metric.error.map(bounded);
    metric
}

fn bounded_step(step: &Step) -> Step {
    let mut step = step.clone();
    step.message = bounded(step.message);
    step
}

/// Whether the metrics and steps of all roles may not fit into a status.
pub(super) fn is_large<'s>(roles: impl Iterator<Item = (&'s [MetricStatus], &'s [Step])>) -> bool {
    let items: usize = roles.map(|(metrics, steps)| metrics.len() + steps.len() + 1).sum();
    items >= 32
}

/// Drops what is for people until the status fits; histories are what the next decision needs.
fn fit(status: &mut RoleBasedGroupAutoscalerStatus) {
    let is_too_large = |status: &RoleBasedGroupAutoscalerStatus| {
        serde_json::to_vec(status).is_ok_and(|json| json.len() > MAX_BYTES)
    };
    // Most are far below; a rough count saves writing each as JSON.
    if !is_large(status.roles.iter().map(|role| (&*role.metrics, &*role.decision))) || !is_too_large(status) {
        return;
    }
    for role in status.roles.iter_mut().rev() {
        role.decision.clear();
        for metric in &mut role.metrics {
            *metric = MetricStatus {
                name: metric.name.clone(),
                error: metric.error.take(),
                ..MetricStatus::default()
            };
        }
    }
    if is_too_large(status) {
        status.roles.iter_mut().for_each(|role| role.metrics.clear());
    }
}

fn number(replicas: Replicas) -> i32 {
    i32::try_from(replicas.get()).unwrap_or(i32::MAX)
}

fn length(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
