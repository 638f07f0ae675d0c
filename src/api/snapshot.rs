//! [`ScalingSnapshot`]: a document that holds everything one decision saw, and [`DecisionDocument`], its answer.
//!
//! `kubectl rbga snapshot` writes one for a live group, a bug report attaches it, `kubectl rbga decide` replays it.

mod convert;
#[cfg(test)]
mod examples;
mod export;
mod fields;
mod live;
mod parse;
mod quantities;
mod reading;
mod room;
#[cfg(test)]
mod sentences;
#[cfg(test)]
mod vectors;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Node, Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::{Deserialize, Serialize};

pub use convert::DecisionInput;
pub use live::{LiveDecision, TrailPoint};

use super::autoscaler::RoleBasedGroupAutoscalerSpec;
use crate::{
    scaling::{Condition, MetricStatus, RoleHistory, Step},
    units::{GatewayDuration, MilliValue, Replicas},
};

/// Everything one decision saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingSnapshot {
    /// `rbg-autoscaler.dev/v1alpha1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// `ScalingSnapshot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For people; not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ObjectMeta>,
    /// The time of the decision; the present when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Timestamp>,
    /// Settings of the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SnapshotSettings>,
    /// The policy object.
    pub autoscaler: AutoscalerObject,
    /// What is seen of each role of the policy.
    pub roles: BTreeMap<String, RoleSnapshot>,
    /// The room of the cluster; unknown when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacitySnapshot>,
}

/// Settings of the controller; each has the HPA's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSettings {
    /// How far a ratio may be from 1 before it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// How long after its start a replica's CPU is not trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_initialization_period: Option<GatewayDuration>,
    /// How long after its start a replica that was never ready is taken as starting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_readiness_delay: Option<GatewayDuration>,
    /// The down window where a policy sets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downscale_stabilization: Option<GatewayDuration>,
    /// The scale-up limit of roles without `behavior`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up_limit: Option<ScaleUpLimit>,
    /// Whether requests at the level of the pod win over those of its containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_level_resources: Option<bool>,
}

/// The scale-up limit of roles without `behavior`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUpLimit {
    /// The count times this …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// … or this, whichever is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
}

/// A RoleBasedGroupAutoscaler as written; its status is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalerObject {
    /// `rbg-autoscaler.dev/v1alpha1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// `RoleBasedGroupAutoscaler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name and namespace.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The policy.
    pub spec: RoleBasedGroupAutoscalerSpec,
    /// Not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
}

/// What is seen of one role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleSnapshot {
    /// Whether the group lacks this role of the policy; nothing else of it is looked at then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<bool>,
    /// The count that the group asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_replicas: Option<i32>,
    /// The count that the workload reports; `specReplicas` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_replicas: Option<i32>,
    /// Pods of one replica; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods_per_replica: Option<i32>,
    /// Whether a new template is being rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_out: Option<bool>,
    /// The role's pods, trimmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<Pod>,
    /// The pods of one replica, leader first; as existing pods when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<TemplateSnapshot>,
    /// The i-th answers the policy's i-th metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Option<ReadingSnapshot>>,
    /// The i-th answers the policy's i-th wake signal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wake: Vec<Option<ReadingSnapshot>>,
    /// What earlier decisions left; never seen before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<RoleHistory>,
}

/// Some pods of one replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateSnapshot {
    /// How many of them a replica has.
    pub count: i32,
    /// What they are.
    pub spec: PodSpec,
}

/// What a source answered for one metric: one of `error`, `samples`, `values`, or the figures of `token_utilization`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadingSnapshot {
    /// It could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Samples of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Vec<SampleSnapshot>>,
    /// How the samples of several pods of one replica become one; by the metric's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<FoldSnapshot>,
    /// Values that are summed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<MilliValue>>,
    /// How many sources should have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u32>,
    /// How many did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<u32>,
    /// The pods that did not answer, when they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
    /// When the values were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// Prompt tokens per second of the whole role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_per_second: Option<RateSnapshot>,
    /// Generated tokens per second of the whole role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_tokens_per_second: Option<RateSnapshot>,
    /// Prompt tokens that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_tokens: Option<MilliValue>,
    /// The trend of the work, in replicas' worth per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope_per_second: Option<String>,
}

/// How the samples of several pods of one replica become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FoldSnapshot {
    /// The sum: queue lengths, rates.
    Sum,
    /// The largest: shares and latencies.
    Max,
}

/// A rate over two windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateSnapshot {
    /// Over the short window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short: Option<MilliValue>,
    /// Over the long window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<MilliValue>,
}

/// One sample of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleSnapshot {
    /// The pod.
    pub pod: String,
    /// Signals and Pods metrics: the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<MilliValue>,
    /// Resource metrics: usage by container; null = reported without this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<BTreeMap<String, Option<MilliValue>>>,
    /// When it was taken; `now` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// Over how long it was measured; 60 s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<GatewayDuration>,
}

/// The room of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacitySnapshot {
    /// The nodes, trimmed; unknown when absent, which is not "no room".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<Node>>,
    /// All bound or pending pods, trimmed; own ones too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<Pod>,
    /// Room that earlier decisions took and whose pods are not bound yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<ReservationSnapshot>,
    /// What pods that are not listed take, summed by node; when it is given, the roles' own pods are part of it or listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Vec<ReservationSnapshot>>,
    /// Why the nodes are not known, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// Room on a node that an earlier decision took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservationSnapshot {
    /// The node.
    pub node: String,
    /// What was taken, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, MilliValue>,
    /// The host ports that are taken, such as `8080/TCP`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}

/// What `decide` answers; field for field as in the status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionDocument {
    /// By role.
    pub roles: BTreeMap<String, RoleDecisionDocument>,
    /// Conditions of the whole group.
    pub conditions: Vec<Condition>,
    /// What to write, in order: lowerings first.
    pub writes: Vec<WriteDocument>,
    /// When time alone may change the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck_at: Option<Timestamp>,
}

/// What was decided for one role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleDecisionDocument {
    /// The count that the group asks for.
    pub current_replicas: Replicas,
    /// The count decided on.
    pub desired_replicas: Replicas,
    /// The formula's answer, before limits.
    pub recommended_replicas: Replicas,
    /// The schedule that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_schedule: Option<String>,
    /// One entry per metric of the policy, in its order; empty when none was looked at.
    pub metrics: Vec<MetricStatus>,
    /// The stages that changed the number.
    pub decision: Vec<Step>,
    /// `AbleToScale`, `ScalingActive` and `ScalingLimited`, as far as they were judged.
    pub conditions: Vec<Condition>,
    /// The next input, as if `writes` succeeded.
    pub history: RoleHistory,
}

/// A count to write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteDocument {
    /// The role.
    pub role: String,
    /// The count that the decision was made from.
    pub from: Replicas,
    /// The count decided on.
    pub to: Replicas,
}
