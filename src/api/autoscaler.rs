//! [`RoleBasedGroupAutoscalerSpec`]: the policy object as users write it, and its status.
//!
//! Wire types only: nothing here judges. [`crate::policy::Policy`] is the validated form.

mod metric;
mod role;
mod status;
mod validate;

use serde::{Deserialize, Serialize};

pub use metric::{MetricEntry, WakeMetricSpec};
pub use role::{FallbackSpec, GangSpec, RoleSpec, ScaleToZeroSpec, ThroughputSpec};
pub use status::{RoleBasedGroupAutoscalerStatus, RoleStatus};
pub(crate) use validate::read as read_policy;
pub use validate::{InputError, Problem};

use crate::units::GatewayDuration;

/// The API group of our objects and documents.
pub const API_GROUP: &str = "rbg-autoscaler.dev";
/// The group and version of our objects and documents.
pub const API_VERSION: &str = "rbg-autoscaler.dev/v1alpha1";
/// The kind of the policy object.
pub const KIND: &str = "RoleBasedGroupAutoscaler";

/// How the roles of one RoleBasedGroup are scaled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "io",
    derive(kube::CustomResource, schemars::JsonSchema),
    kube(
        group = "rbg-autoscaler.dev",
        version = "v1alpha1",
        kind = "RoleBasedGroupAutoscaler",
        plural = "rolebasedgroupautoscalers",
        shortname = "rbga",
        status = "RoleBasedGroupAutoscalerStatus",
        derive = "PartialEq",
        namespaced
    )
)]
pub struct RoleBasedGroupAutoscalerSpec {
    /// The group whose roles are scaled; in the same namespace.
    pub group_ref: GroupRef,
    /// What is done with a decision; `Enforce` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Directions that are frozen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hold: Vec<Direction>,
    /// The roles that are scaled; 1 to 16.
    pub roles: Vec<RoleSpec>,
    /// Bounds on the proportion of two roles' replicas; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratios: Vec<RatioSpec>,
    /// What happens when the cluster has no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacitySpec>,
    /// Other bounds at certain times; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleSpec>,
}

/// Names the group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct GroupRef {
    /// The name of the RoleBasedGroup.
    pub name: String,
}

/// What is done with a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub enum Mode {
    /// Decide and write.
    #[default]
    Enforce,
    /// Decide and report, write nothing.
    Recommend,
    /// Do nothing.
    Disabled,
}

/// A direction of scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub enum Direction {
    /// More replicas.
    Up,
    /// Fewer replicas.
    Down,
}

/// A bound on the proportion of two roles' replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct RatioSpec {
    /// The first and the second role.
    pub roles: Vec<String>,
    /// The least replicas of the first per replicas of the second, as `1:4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// The most replicas of the first per replicas of the second, as `1:1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
}

/// What happens when the cluster has no room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct CapacitySpec {
    /// Whether room is looked for before gangs are created; `Optimistic` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<CapacityMode>,
    /// How long a gang may stay unschedulable before it is taken back; `10m` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_timeout: Option<GatewayDuration>,
    /// How long to wait after gangs were taken back; twice as long each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<BackoffSpec>,
}

/// Whether room is looked for before gangs are created; `Optimistic` when absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub enum CapacityMode {
    /// Create, and roll back what stays unschedulable.
    #[default]
    Optimistic,
    /// Create only whole gangs that fit now.
    Fit,
}

/// How long to wait after gangs were taken back; doubles from `initial` to `max`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct BackoffSpec {
    /// The first wait; `1m` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<GatewayDuration>,
    /// The longest wait; `30m` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<GatewayDuration>,
}

/// Other bounds at certain times of the week.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct ScheduleSpec {
    /// The schedule's name.
    pub name: String,
    /// The days of `from`; every day when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// The wall time at which it begins, as `08:30`.
    pub from: String,
    /// The wall time at which it ends, as `19:00`; on the next day when not after `from`.
    pub to: String,
    /// An IANA time zone; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The bounds that hold meanwhile, per role.
    pub roles: Vec<ScheduledBounds>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Bounds of one role while a schedule holds; an unset one keeps the policy's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct ScheduledBounds {
    /// The role.
    pub name: String,
    /// The least replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// The most replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
}
