//! Observe: what one decision sees, from the caches and the metrics that were collected.
//!
//! Also says where each role's count is written, because that belongs to the same moment: a decision is only ever
//! applied to the objects that it was made from.

mod document;
mod gang_scheduling;
mod readings;
mod room;
mod tokens;

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;
use rbg_autoscaler::{
    api::{
        autoscaler::RoleBasedGroupAutoscaler,
        rbg::{Role, RoleBasedGroup, RoleStatus, scaling_adapter_name},
        replica::{ReplicaFold, RolePod},
        snapshot::ScalingSnapshot,
    },
    metrics::Snapshot,
    policy::{Policy, RolePolicy},
    scaling::{Observation, RoleHistory, RoleObservation, Settings},
    units::Replicas,
};

pub use self::{
    gang_scheduling::ineffective_gang_scheduling,
    room::{may_roll_back, see_room},
    tokens::{signals_of_tokens, token_signals},
};
use crate::{
    apply::Target,
    ask::{Answers, Place},
    cache::{World, pods::RolePods, store::ObjectKey},
};

/// What the engines said, and what can be asked of them at all.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// What every collected signal last said.
    pub snapshot: Arc<Snapshot>,
    /// The signals that exist.
    pub known: Arc<HashSet<String>>,
}

impl Metrics {
    /// Returns whether a signal exists that has not been asked, or has not answered or failed, for the first time.
    pub fn is_awaited(&self, signal: &str) -> bool {
        self.known.contains(signal) && self.snapshot.reading(signal).is_none()
    }

    /// Returns whether these are the very same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.snapshot, &other.snapshot) && Arc::ptr_eq(&self.known, &other.known)
    }
}

/// What one decision sees, and where it would be written.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// What the decision sees.
    pub observation: Observation,
    /// Where each role's count is written, in the order of the policy; `None` for a role that the group lacks.
    pub targets: Vec<Option<Result<Target, Unwritable>>>,
}

/// Why the count of a role cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The role asks for a scaling adapter that is not there, or does not hold the count yet.
    #[error("the RoleBasedGroupScalingAdapter {0} does not exist or is not bound yet")]
    NoScalingAdapter(String),
    /// A set rewrites the group, so that a count written into it would not last.
    #[error("a RoleBasedGroupSet rewrites this group; give the role scalingAdapter: {{enable: true}}")]
    NeedsScalingAdapter,
    /// Another autoscaler scales the role's workload or scaling adapter.
    #[error(
        "the HorizontalPodAutoscaler {0} scales this role; delete it, or take the role out of the policy"
    )]
    Rival(String),
}

/// What everybody's decisions see.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// What the API server told.
    pub world: &'a World,
    /// What the engines said.
    pub metrics: &'a Metrics,
}

/// Returns what a decision on a group sees; `answers` are those of the metrics APIs to this policy.
pub fn observe(
    sources: Sources<'_>,
    key: &ObjectKey,
    group: &RoleBasedGroup,
    policy: &Policy,
    answers: &Answers,
    now: Timestamp,
) -> Observed {
    let Sources { world, metrics } = sources;
    let settings = Settings::default();
    let scene = Scene { world, metrics, key, group, answers, settings, now };
    let mut observed =
        Observed { observation: Observation { settings, ..Observation::default() }, ..Observed::default() };
    for role_policy in &policy.roles {
        let Some((place, role)) = group.role(&role_policy.name) else {
            observed.observation.roles.push(None);
            observed.targets.push(None);
            continue;
        };
        let (spec_replicas, target) = scene.target(place, role);
        observed.observation.roles.push(Some(scene.role(role_policy, role, spec_replicas)));
        observed.targets.push(Some(target));
    }
    observed
}

/// What was seen of one policy and is to be told as a document.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The policy's object.
    pub autoscaler: &'a RoleBasedGroupAutoscaler,
    /// The policy.
    pub policy: &'a Policy,
    /// What was observed.
    pub observed: &'a Observed,
    /// The histories that the decision started from.
    pub before: &'a [RoleHistory],
    /// The time of the decision.
    pub now: Timestamp,
}

/// Returns what a decision saw as a document: a decision on it is the live one.
pub fn document(
    sources: Sources<'_>,
    key: &ObjectKey,
    group: &RoleBasedGroup,
    answers: &Answers,
    seen: Seen<'_>,
) -> ScalingSnapshot {
    let Sources { world, metrics } = sources;
    let settings = seen.observed.observation.settings;
    let scene = Scene { world, metrics, key, group, answers, settings, now: seen.now };
    scene.document(seen.autoscaler, &seen.policy.roles, seen.observed, seen.before)
}

/// What one group is seen with.
struct Scene<'a> {
    world: &'a World,
    metrics: &'a Metrics,
    key: &'a ObjectKey,
    group: &'a RoleBasedGroup,
    answers: &'a Answers,
    settings: Settings,
    now: Timestamp,
}

impl<'a> Scene<'a> {
    /// The count that a role asks for, and where it is written, unless somebody else writes it.
    fn target(&self, place: usize, role: &Role) -> (Replicas, Result<Target, Unwritable>) {
        let (replicas, target) = self.own_target(place, role);
        // The workload has the name of the scaling adapter.
        let workload = scaling_adapter_name(&self.key.name, &role.name);
        match self.world.rivals.of(&ObjectKey::new(self.key.namespace.as_str(), workload)) {
            Some(rival) => (replicas, Err(Unwritable::Rival(rival.to_owned()))),
            None => (replicas, target),
        }
    }

    /// The same without others. A bound scaling adapter is the truth.
    fn own_target(&self, place: usize, role: &Role) -> (Replicas, Result<Target, Unwritable>) {
        if !role.has_scaling_adapter() {
            let target = if self.group.is_of_a_set() {
                Err(Unwritable::NeedsScalingAdapter)
            } else {
                Ok(Target::Group { place })
            };
            return (count(role.replicas), target);
        }
        let name = scaling_adapter_name(&self.key.name, &role.name);
        let adapter = self
            .world
            .scaling_adapters
            .get(&ObjectKey::new(self.key.namespace.as_str(), name.as_str()))
            .filter(|adapter| adapter.is_of(&self.key.name, &role.name) && adapter.is_bound());
        let Some((adapter, replicas)) = adapter.and_then(|adapter| Some((adapter, adapter.spec.replicas?)))
        else {
            return (count(role.replicas), Err(Unwritable::NoScalingAdapter(name)));
        };
        let resource_version = adapter.metadata.resource_version.clone().unwrap_or_default();
        (count(replicas), Ok(Target::ScalingAdapter { name, resource_version }))
    }

    fn role(&self, policy: &RolePolicy, role: &Role, spec_replicas: Replicas) -> RoleObservation {
        let pods = self.pods(&role.name);
        let fold = ReplicaFold::of(pods, role.pods_per_replica());
        let status = self.group.role_status(&role.name);
        let metrics = policy.metrics.iter().enumerate();
        let readings = metrics
            .map(|(index, metric)| {
                self.reading(metric, &Place::Metric(role.name.clone(), index), policy, &fold)
            })
            .collect();
        let wake_on = policy.scale_to_zero.iter().flat_map(|rule| &rule.wake_on).enumerate();
        let wake = wake_on
            .map(|(index, signal)| self.wake(signal, &Place::Wake(role.name.clone(), index)))
            .collect();
        RoleObservation {
            spec_replicas,
            status_replicas: status.map_or(spec_replicas, |status| count(status.replicas)),
            pods_per_replica: role.pods_per_replica(),
            rolling_out: is_rolling_out(role, status, pods),
            replicas: fold.replicas,
            templates: Vec::new(),
            readings,
            wake,
        }
    }

    fn pods(&self, role: &str) -> &'a [RolePod] {
        self.world.pods.of(self.key, role).map_or(&[], RolePods::as_slice)
    }

    fn fold(&self, role: &str) -> ReplicaFold<'a> {
        let pods_per_replica = self.group.role(role).map_or(1, |(_, role)| role.pods_per_replica());
        ReplicaFold::of(self.pods(role), pods_per_replica)
    }
}

fn count(replicas: i32) -> Replicas {
    Replicas::new(u32::try_from(replicas).unwrap_or(0))
}

/// Whether replicas that exist, above the partition, still run an older template.
///
/// Where the group does not count updated replicas, the revisions of its pods tell.
fn is_rolling_out(role: &Role, status: Option<&RoleStatus>, pods: &[RolePod]) -> bool {
    let replicas = status.map_or(role.replicas, |status| status.replicas);
    if let Some(updated) = status.and_then(|status| status.updated_replicas) {
        return updated < replicas.saturating_sub(role.partition(replicas));
    }
    let mut revisions = pods.iter().filter(|pod| !pod.is_deleted()).filter_map(RolePod::revision);
    let first = revisions.next();
    // Replicas below a partition keep the old template on purpose.
    role.partition(replicas) == 0 && revisions.any(|revision| Some(revision) != first)
}

#[cfg(test)]
mod tests;
