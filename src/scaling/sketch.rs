//! [`Sketch`]: a small group for the tests of stages, drawn in a few words.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{from_value, json};

use super::{
    CapacityObservation, Decision, Observation, Phase, Readiness, ReadyStatus, ReplicaObservation,
    RoleHistory, RoleObservation, Stage, decide, draft::GroupDraft, draft::RoleDraft,
};
use crate::{
    policy::{Fold, Metric, MetricSource, Policy, Ratio, RatioBound, RolePolicy, Target},
    units::{GangSize, MilliValue, Replicas},
};

/// A group of roles and what is seen of it.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    pub policy: Policy,
    pub seen: Observation,
    pub past: Vec<RoleHistory>,
    pub now: Timestamp,
}

impl Sketch {
    /// Returns a group of these roles: name, current count, gang; 0 to 100 replicas, all of them ready.
    pub fn of(roles: &[(&str, u32, u32)]) -> Self {
        let policies = roles.iter().map(|(name, _, gang)| {
            let mut role = RolePolicy::bounded((*name).to_owned(), Replicas::ZERO, Replicas::new(100));
            role.gang = GangSize::new(*gang).expect("not zero");
            role
        });
        let seen = roles.iter().map(|(name, current, _)| {
            let replicas = (0..*current).map(|ordinal| ready(name, ordinal)).collect();
            Some(RoleObservation {
                spec_replicas: Replicas::new(*current),
                status_replicas: Replicas::new(*current),
                pods_per_replica: 1,
                replicas,
                ..RoleObservation::default()
            })
        });
        Self {
            policy: Policy::of_roles("demo".to_owned(), policies.collect()),
            seen: Observation { roles: seen.collect(), ..Observation::default() },
            past: vec![RoleHistory::default(); roles.len()],
            now: at(0),
        }
    }

    /// Bounds the replicas of one role per those of another, as `("1:4", "1:1")`; empty = no bound.
    pub fn ratio(mut self, first: usize, second: usize, min: &str, max: &str) -> Self {
        let bound = |text: &str| {
            let (first, second) = text.split_once(':')?;
            Some(RatioBound { first: first.parse().ok()?, second: second.parse().ok()? })
        };
        self.policy.ratios.push(Ratio { first, second, min: bound(min), max: bound(max) });
        self
    }

    /// Gives a role a metric.
    pub fn metric(mut self, role: usize) -> Self {
        self.policy.roles[role].metrics.push(Metric {
            name: "queue_length".to_owned(),
            source: MetricSource::Signal { fold: Fold::Sum },
            target: Target::AverageValue(MilliValue::from_whole(10)),
        });
        self
    }

    /// Bounds a role.
    pub fn bounds(mut self, role: usize, min: u32, max: u32) -> Self {
        self.policy.roles[role].bounds.min = Replicas::new(min);
        self.policy.roles[role].bounds.max = Replicas::new(max);
        self
    }

    /// Gives the cluster nodes with so many free GPUs each, and every role pods of so many GPUs.
    pub fn cluster(mut self, nodes: &[u32], templates: &[(u32, u32)]) -> Self {
        let node = |(at, gpus): (usize, &u32)| {
            let allocatable = json!({"nvidia.com/gpu": gpus.to_string(), "cpu": "64", "pods": "110"});
            json!({"metadata": {"name": format!("n{at}")}, "status": {"allocatable": allocatable}})
        };
        let nodes = nodes
            .iter()
            .enumerate()
            .map(node)
            .map(|node| from_value(node).expect("a node"))
            .collect::<Vec<_>>();
        let nodes = Some(nodes.into());
        self.seen.capacity = Some(CapacityObservation { nodes, ..CapacityObservation::default() }.into());
        for (role, (count, gpus)) in templates.iter().enumerate() {
            let requests = json!({"nvidia.com/gpu": gpus.to_string()});
            let spec = json!({"containers": [{"name": "engine", "resources": {"requests": requests}}]});
            self.role(role).templates = vec![(*count, from_value(spec).expect("a pod spec"))];
            self.role(role).pods_per_replica = *count;
            for replica in &mut self.role(role).replicas {
                (replica.pods, replica.bound_pods) = (*count, *count);
            }
        }
        self
    }

    /// What is seen of a role.
    pub fn role(&mut self, role: usize) -> &mut RoleObservation {
        self.seen.roles[role].as_mut().expect("a role")
    }

    /// Decides.
    pub fn decide(&self) -> Decision {
        decide(&self.policy, &self.seen, &self.past, self.now)
    }

    /// The counts of a decision written, before any pod is seen to change; what was placed is reserved.
    pub fn written(&self, decision: &Decision) -> Self {
        let mut after = self.clone();
        for (index, role) in decision.roles.iter().enumerate() {
            let role = role.as_ref().expect("a role");
            after.role(index).spec_replicas = role.desired_replicas;
            after.past[index] = role.history.clone();
        }
        if let Some(capacity) = &mut after.seen.capacity {
            let reserved = decision.reserved.iter().map(|placed| placed.room.clone());
            Arc::make_mut(capacity).reserved.extend(reserved);
        }
        after
    }

    /// The decision to keep every count.
    pub fn draft(&self) -> GroupDraft<'_> {
        GroupDraft::begin(&self.policy, &self.seen, &self.past, self.now)
    }
}

/// That many seconds after the sketch's present.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let present: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a timestamp");
    present + SignedDuration::from_secs(seconds)
}

/// A replica that serves.
pub(crate) fn ready(role: &str, ordinal: u32) -> ReplicaObservation {
    ReplicaObservation {
        name: format!("demo-{role}-{ordinal}"),
        ordinal: Some(ordinal),
        phase: Phase::Running,
        ready: Some(Readiness { status: ReadyStatus::True, since: None }),
        started: Some(at(-3600)),
        pods: 1,
        bound_pods: 1,
        ..ReplicaObservation::default()
    }
}

/// A replica that loads: all its pods run, none is ready.
pub(crate) fn loading(role: &str, ordinal: u32) -> ReplicaObservation {
    let ready = Some(Readiness { status: ReadyStatus::False, since: None });
    ReplicaObservation { ready, ..self::ready(role, ordinal) }
}

/// A replica that the scheduler found no room for, that many seconds ago.
pub(crate) fn unschedulable(role: &str, ordinal: u32, seconds: i64) -> ReplicaObservation {
    ReplicaObservation {
        phase: Phase::Pending,
        started: None,
        unschedulable_since: Some(at(-seconds)),
        unschedulable_message: Some("0/3 nodes are available: 3 Insufficient nvidia.com/gpu".to_owned()),
        bound_pods: 0,
        ..loading(role, ordinal)
    }
}

/// Lets the roles want so many replicas.
pub(crate) fn propose(group: &mut GroupDraft<'_>, numbers: &[u32]) {
    for (draft, number) in group.roles.iter_mut().flatten().zip(numbers) {
        draft.proposal.move_to(Stage::Metrics, Replicas::new(*number), "MetricsProposal", String::new);
        draft.recommended = Replicas::new(*number);
    }
}

/// The numbers, role by role.
pub(crate) fn numbers(group: &GroupDraft<'_>) -> Vec<u32> {
    group.roles.iter().flatten().map(|role| role.proposal.replicas.get()).collect()
}

/// The steps of a role as `stage from→to reason: message`.
pub(crate) fn steps(role: &RoleDraft<'_>) -> Vec<String> {
    role.proposal
        .steps
        .iter()
        .map(|step| format!("{:?} {}→{} {}: {}", step.stage, step.from, step.to, step.reason, step.message))
        .collect()
}
