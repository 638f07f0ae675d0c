//! [`Observation`]: everything that one decision sees of the world, typed and joined so that deciding is cheap.
//!
//! Roles stand in the order of the policy, samples in the order of the replicas. [`super::observe`] builds the parts
//! from pods and raw samples.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};

use crate::units::{MilliValue, Replicas};

/// What one decision sees.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// In the order of the policy's roles; `None` for a role that the group lacks.
    pub roles: Vec<Option<RoleObservation>>,
    /// The cluster's room; `None` = nothing is known of it.
    pub capacity: Option<Arc<CapacityObservation>>,
    /// Settings of the controller, the HPA's own by default.
    pub settings: Settings,
}

/// Settings of the controller that enter a decision; the defaults are kube-controller-manager's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How far a ratio may be from 1 before it counts.
    pub tolerance: f64,
    /// How long after its start a replica's CPU is not trusted.
    pub cpu_initialization_period: Duration,
    /// How long after its start a replica that was never ready is taken as starting.
    pub initial_readiness_delay: Duration,
    /// The down window of a role without `behavior`, and of a behavior that leaves it unset.
    pub downscale_stabilization: Duration,
    /// The scale-up limit of a role without `behavior`: the count times this …
    pub scale_up_factor: f64,
    /// … or this, whichever is more.
    pub scale_up_minimum: f64,
    /// Whether requests at the level of the pod win over those of its containers.
    pub pod_level_resources: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tolerance: 0.1,
            cpu_initialization_period: Duration::from_secs(300),
            initial_readiness_delay: Duration::from_secs(30),
            downscale_stabilization: Duration::from_secs(300),
            scale_up_factor: 2.0,
            scale_up_minimum: 4.0,
            pod_level_resources: true,
        }
    }
}

/// What is seen of one role.
#[derive(Clone, Debug, Default)]
pub struct RoleObservation {
    /// The count that the group asks for.
    pub spec_replicas: Replicas,
    /// The count that the workload reports.
    pub status_replicas: Replicas,
    /// Pods of one replica; at least 1.
    pub pods_per_replica: u32,
    /// Whether a new template is being rolled out.
    pub rolling_out: bool,
    /// The replicas that exist.
    pub replicas: Vec<ReplicaObservation>,
    /// The pods of one replica, leader first, as (how many, spec); empty = as existing pods.
    pub templates: Vec<(u32, PodSpec)>,
    /// The i-th answers the policy's i-th metric; a missing one counts as failed.
    pub readings: Vec<Reading>,
    /// The i-th answers the policy's i-th wake signal; a missing one counts as failed.
    pub wake: Vec<Reading>,
}

impl RoleObservation {
    /// Returns how many replicas run with all their pods ready; those being deleted count, as the HPA counts them.
    pub fn running_ready(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.is_running_ready()).count()
    }

    /// Returns how many replicas serve: running, all pods ready, not being deleted.
    pub fn ready_replicas(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.is_running_ready() && !replica.deleted).count()
    }
}

/// The fold of one replica's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaObservation {
    /// The role instance, the LeaderWorkerSet's group, or the pod.
    pub name: String,
    /// The replica's ordinal; `None` where the workload has none.
    pub ordinal: Option<u32>,
    /// Whether any pod is being deleted.
    pub deleted: bool,
    /// The phase of all its pods together.
    pub phase: Phase,
    /// The fold of the pods' Ready conditions; `None` when a pod has none.
    pub ready: Option<Readiness>,
    /// The latest start; `None` when a pod has not started.
    pub started: Option<Timestamp>,
    /// Since when a pod has been unschedulable (the earliest).
    pub unschedulable_since: Option<Timestamp>,
    /// What the scheduler says of it.
    pub unschedulable_message: Option<String>,
    /// How many of its pods exist.
    pub pods: u32,
    /// How many of its pods have a node.
    pub bound_pods: u32,
}

impl ReplicaObservation {
    /// Whether it runs and all its pods are ready.
    pub fn is_running_ready(&self) -> bool {
        self.phase == Phase::Running && self.ready.is_some_and(|ready| ready.status == ReadyStatus::True)
    }

    /// Whether the HPA ignores it: being deleted, or failed.
    pub fn is_ignored(&self) -> bool {
        self.deleted || self.phase == Phase::Failed
    }
}

/// The phase of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// A pod is pending or does not exist yet.
    #[default]
    Pending,
    /// All pods run.
    Running,
    /// A pod failed.
    Failed,
    /// Anything else: succeeded, or unknown.
    Other,
}

/// A Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Its status.
    pub status: ReadyStatus,
    /// When it last changed; `None` = not told, taken as long ago.
    pub since: Option<Timestamp>,
}

/// The status of a Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyStatus {
    /// All pods are ready.
    True,
    /// A pod is not ready.
    False,
    /// A node does not answer.
    Unknown,
}

/// What a source answered for one metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// It could not be read.
    Failed(String),
    /// Samples of replicas: signals, Pods, Resource and ContainerResource metrics.
    Replicas(ReplicaSamples),
    /// Values that are summed: Object, External, another role's total.
    Total(Total),
    /// What `token_utilization` is computed from.
    Tokens(TokenReading),
}

impl Default for Reading {
    fn default() -> Self {
        Self::Failed("no reading".to_owned())
    }
}

/// Samples of one metric, joined to the role's replicas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaSamples {
    /// In the order of [`RoleObservation::replicas`]; `None` = missing.
    pub samples: Vec<Option<Sample>>,
    /// Samples of pods that the role does not have; they stay in the sum, as the HPA keeps them.
    pub strays: Vec<Sample>,
    /// Whether the source listed anything at all.
    pub answered: bool,
    /// For a Utilization target: the requests of each replica, or why they cannot be told.
    pub requests: Option<Result<Vec<i64>, String>>,
}

/// One sample of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The value, folded over the replica's pods.
    pub value: MilliValue,
    /// When it was taken (the oldest of its pods).
    pub time: Timestamp,
    /// Over how long it was measured (the longest of its pods).
    pub window: Duration,
}

/// Values that are summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// The values; empty = the source answered nothing.
    pub values: Vec<MilliValue>,
    /// How many sources should have answered.
    pub expected: Option<u32>,
    /// How many did.
    pub reported: Option<u32>,
    /// The pods that did not answer, when they are known.
    pub silent: Vec<String>,
    /// When the newest value was taken.
    pub time: Option<Timestamp>,
}

impl Total {
    /// Returns how many sources answered: as told, else as many as there are values.
    pub fn answered(&self) -> u32 {
        self.reported.unwrap_or_else(|| u32::try_from(self.values.len()).unwrap_or(u32::MAX))
    }

    /// Returns how many sources should have answered and did not; `None` when nobody tells how many there are.
    pub fn unanswered(&self) -> Option<u32> {
        self.expected.map(|expected| expected.saturating_sub(self.answered()))
    }
}

/// What `token_utilization` is computed from; all figures are of the whole role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenReading {
    /// Prompt tokens per second.
    pub prompt: RatePair,
    /// Generated tokens per second.
    pub generation: RatePair,
    /// Prompt tokens that wait.
    pub pending_tokens: Option<MilliValue>,
    /// The trend of the work over two minutes, in billionths of a replica's worth per second.
    pub slope_nanos_per_second: Option<i64>,
    /// How many replicas should have answered.
    pub expected: Option<u32>,
    /// How many did.
    pub reported: Option<u32>,
    /// The pods that did not answer, when they are known.
    pub silent: Vec<String>,
    /// When the newest value was taken.
    pub time: Option<Timestamp>,
}

/// A rate over a short and a long window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RatePair {
    /// Over max(30 s, 2.5 × scrape interval).
    pub short: Option<MilliValue>,
    /// Over max(120 s, 4 × scrape interval).
    pub long: Option<MilliValue>,
}

/// The room of the cluster.
#[derive(Clone, Debug, Default)]
pub struct CapacityObservation {
    /// The nodes; `None` = unknown, which is not "no room".
    pub nodes: Option<Arc<Vec<Node>>>,
    /// Why the nodes are not known, for people.
    pub unknown: Option<String>,
    /// Bound or pending pods, own ones too, as far as `taken` does not stand for them.
    pub pods: Vec<Arc<Pod>>,
    /// What bound pods that are not listed take, summed by node.
    pub taken: Arc<Vec<Reservation>>,
    /// Room that earlier decisions took and whose pods are not seen yet.
    pub reserved: Vec<Reservation>,
}

/// Room on a node that something takes: pods that are there, or an earlier decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reservation {
    /// The node.
    pub node: String,
    /// What is taken, by resource, in thousandths; `pods` is one of them.
    pub requests: Vec<(String, MilliValue)>,
    /// The host ports that are taken, as (number, protocol).
    pub ports: Vec<(i32, String)>,
}
