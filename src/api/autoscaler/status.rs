//! [`RoleBasedGroupAutoscalerStatus`]: what was seen and decided, role by role.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::scaling::{Condition, MetricStatus, RoleHistory, Step};

/// What was seen and decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct RoleBasedGroupAutoscalerStatus {
    /// The generation of the spec that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The roles in one line: `prefill=2/8 decode=4/8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Each role of the policy that the group has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleStatus>,
    /// Conditions of the whole group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What was seen and decided for one role; counts are replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct RoleStatus {
    /// The role.
    pub name: String,
    /// The count that the group asks for.
    #[serde(default)]
    pub replicas: i32,
    /// Replicas whose pods are all ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Replicas with a pending pod.
    #[serde(default)]
    pub pending_replicas: i32,
    /// The count decided on.
    #[serde(default)]
    pub desired_replicas: i32,
    /// The formula's answer, before limits.
    #[serde(default)]
    pub recommended_replicas: i32,
    /// The step in which the count moves.
    #[serde(default)]
    pub gang_replicas: i32,
    /// Pods of one replica.
    #[serde(default)]
    pub pods_per_replica: i32,
    /// When the count was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "io",
        schemars(with = "Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>")
    )]
    pub last_scale_time: Option<Timestamp>,
    /// The schedule that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_schedule: Option<String>,
    /// One entry per metric of the policy, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricStatus>,
    /// The stages that changed the number, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decision: Vec<Step>,
    /// `AbleToScale`, `ScalingActive` and `ScalingLimited`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What the next decision needs to know of earlier ones; never seen before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<RoleHistory>,
}
