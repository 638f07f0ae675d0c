//! [`RoleSpec`]: how one role is scaled; less `name`, also the inline form inside a RoleBasedGroup.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use serde::{Deserialize, Serialize};

use super::metric::{MetricEntry, WakeMetricSpec, behavior};
use crate::units::{GatewayDuration, MilliValue};

/// How one role is scaled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct RoleSpec {
    /// The role of the group.
    pub name: String,
    /// The least replicas; one gang when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// The most replicas.
    pub max_replicas: i32,
    /// What the count is computed from; may be absent when the bounds are equal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricEntry>,
    /// What one replica sustains, as measured; for `token_utilization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<ThroughputSpec>,
    /// How fast the count may move; autoscaling/v2, verbatim, where "Pods" counts replicas.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "behavior")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
    /// The step in which the count moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gang: Option<GangSpec>,
    /// What holds when no metric answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FallbackSpec>,
    /// When the role sleeps at zero, and what wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_to_zero: Option<ScaleToZeroSpec>,
}

/// What one replica sustains, as measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct ThroughputSpec {
    /// Prompt tokens per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_per_second: Option<MilliValue>,
    /// Generated tokens per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_tokens_per_second: Option<MilliValue>,
}

/// The step in which the count moves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct GangSpec {
    /// Replicas that are added or removed together.
    pub replicas: i32,
}

/// What holds when no metric answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct FallbackSpec {
    /// How long no metric has answered.
    pub after: GatewayDuration,
    /// The count that the role then has at least.
    pub replicas: i32,
}

/// When the role sleeps at zero, and what wakes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct ScaleToZeroSpec {
    /// How long everything has been zero before the role sleeps.
    pub idle_after: GatewayDuration,
    /// Any of these above its target (0 by default) wakes the role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wake_on: Vec<WakeMetricSpec>,
    /// The count that it wakes to; the least replicas when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_to: Option<i32>,
}
