//! [`Decision`]: what was decided, why, and what to remember; in the words of `status`.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{MetricTarget, MetricValueStatus};
use serde::{Deserialize, Serialize};

use super::{history::RoleHistory, observation::Reservation};
use crate::units::Replicas;

/// What was decided for the roles of one group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// In the order of the policy's roles; `None` for a role that the group lacks.
    pub roles: Vec<Option<RoleDecision>>,
    /// Conditions of the whole group.
    pub conditions: Vec<Condition>,
    /// What to write: lowerings first, then raisings; empty unless the mode is Enforce.
    pub writes: Vec<Write>,
    /// When time alone may change the decision.
    pub recheck_at: Option<Timestamp>,
    /// The room that the writes take, pod by pod; it counts as taken until those pods are seen.
    pub reserved: Vec<Placement>,
}

/// The room that one pod of a new replica takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The role, by its place in the policy.
    pub role: usize,
    /// The least count of the role that has this replica.
    pub replicas: Replicas,
    /// Where the pod was put, and what it takes there.
    pub room: Reservation,
}

/// What was decided for one role.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleDecision {
    /// The count that the group asks for.
    pub current_replicas: Replicas,
    /// The count decided on.
    pub desired_replicas: Replicas,
    /// The formula's answer, before limits.
    pub recommended_replicas: Replicas,
    /// The schedule that holds, by its place in the policy.
    pub active_schedule: Option<usize>,
    /// One entry per metric of the policy, in its order; empty when none was looked at.
    pub metrics: Vec<MetricStatus>,
    /// The stages that changed the number.
    pub steps: Vec<Step>,
    /// `AbleToScale`, `ScalingActive` and `ScalingLimited`, as far as they were judged.
    pub conditions: Vec<Condition>,
    /// Reasons of `CapacityLimited` that this role gives.
    pub shortages: Vec<&'static str>,
    /// The next input, as if `writes` succeeded.
    pub history: RoleHistory,
}

/// A count to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The role, by its place in the policy.
    pub role: usize,
    /// The count that the decision was made from.
    pub from: Replicas,
    /// The count decided on.
    pub to: Replicas,
}

/// A stage of the decision, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "each is described in its own module")]
pub enum Stage {
    Bounds,
    Metrics,
    Fallback,
    Stabilize,
    Limit,
    Gang,
    Zero,
    Ratio,
    Hold,
    Capacity,
}

/// One change of the number on its way from the current count to the desired one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct Step {
    /// Which stage changed the number.
    pub stage: Stage,
    /// The number before.
    #[cfg_attr(feature = "io", schemars(with = "i32"))]
    pub from: Replicas,
    /// The number after.
    #[cfg_attr(feature = "io", schemars(with = "i32"))]
    pub to: Replicas,
    /// Why, as one PascalCase word.
    pub reason: Cow<'static, str>,
    /// Why, in words with the numbers.
    pub message: String,
}

/// What one metric said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct MetricStatus {
    /// The signal, metric or resource.
    pub name: String,
    /// What was measured, before missing replicas are filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<MetricValueStatus>,
    /// The target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<MetricTarget>,
    /// The count that the HPA's formula answers for this metric alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_replicas: Option<i32>,
    /// Replicas without a sample (or sources of a total that did not answer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_replicas: Option<i32>,
    /// The time of the newest sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "io",
        schemars(with = "Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>")
    )]
    pub last_sample_time: Option<Timestamp>,
    /// Why the metric has no answer, or only a partial one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A condition as Kubernetes writes it; who stores it adds the time of transition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct Condition {
    /// The condition's name.
    #[serde(rename = "type")]
    pub type_: Cow<'static, str>,
    /// `True`, `False` or `Unknown`.
    pub status: Cow<'static, str>,
    /// Why, as one PascalCase word.
    pub reason: Cow<'static, str>,
    /// Why, in words.
    pub message: Cow<'static, str>,
    /// When `status` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "io",
        schemars(with = "Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>")
    )]
    pub last_transition_time: Option<Timestamp>,
}

impl Condition {
    /// Returns a condition that is true or false.
    pub fn new(
        type_: &'static str,
        status: bool,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            type_: Cow::Borrowed(type_),
            status: Cow::Borrowed(if status { "True" } else { "False" }),
            reason: Cow::Borrowed(reason),
            message: message.into(),
            last_transition_time: None,
        }
    }

    /// Returns a condition that nobody can judge.
    pub fn unknown(type_: &'static str, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Cow::Borrowed("Unknown"), ..Self::new(type_, false, reason, message) }
    }
}
