//! [`RoleHistory`]: what the next decision needs to know of earlier ones.
//!
//! The same object is the next input of a decision, `status.roles[].history` and part of a snapshot document, so that
//! restart, replay and bug report share one type. Times keep their full precision.

pub(crate) mod events;
pub(crate) mod recommendations;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::units::Replicas;

/// The most recommendations, and the most scale events, that a history keeps.
pub const MAX_ENTRIES: usize = 32;

/// What the next decision needs to know of earlier ones of one role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct RoleHistory {
    /// Raw recommendations that can still win; absent = this role was never seen, empty = seen, nothing to remember.
    #[serde(default)]
    pub recommendations: Option<Vec<Recommendation>>,
    /// Changes of the count that still enter a limit.
    #[serde(default)]
    pub scale_events: Vec<ScaleEvent>,
    /// When a metric (while asleep: a wake signal) last answered; the first look at the role when none ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "io",
        schemars(with = "Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>")
    )]
    pub answered_at: Option<Timestamp>,
    /// Since when everything has been zero with all replicas ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "io",
        schemars(with = "Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>")
    )]
    pub idle_since: Option<Timestamp>,
    /// The last time gangs were taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// Since when the role has been rolling out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "io",
        schemars(with = "Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>")
    )]
    pub rollout_since: Option<Timestamp>,
    /// Since when gangs that the role asks for have been refused for want of room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "io",
        schemars(with = "Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>")
    )]
    pub refused_since: Option<Timestamp>,
}

impl RoleHistory {
    /// Whether an earlier decision saw this role.
    pub const fn is_seen(&self) -> bool {
        self.recommendations.is_some()
    }
}

/// What the formula answered at some time, before any limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct Recommendation {
    /// The count.
    #[cfg_attr(feature = "io", schemars(with = "i32"))]
    pub replicas: Replicas,
    /// When.
    #[cfg_attr(feature = "io", schemars(with = "k8s_openapi::apimachinery::pkg::apis::meta::v1::Time"))]
    pub time: Timestamp,
}

/// A change of the count that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct ScaleEvent {
    /// The count before.
    #[cfg_attr(feature = "io", schemars(with = "i32"))]
    pub from: Replicas,
    /// The count after.
    #[cfg_attr(feature = "io", schemars(with = "i32"))]
    pub to: Replicas,
    /// When.
    #[cfg_attr(feature = "io", schemars(with = "k8s_openapi::apimachinery::pkg::apis::meta::v1::Time"))]
    pub time: Timestamp,
}

/// Gangs that were taken back because they stayed unschedulable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct Rollback {
    /// How often in a row.
    pub attempts: u32,
    /// When last.
    #[cfg_attr(feature = "io", schemars(with = "k8s_openapi::apimachinery::pkg::apis::meta::v1::Time"))]
    pub at: Timestamp,
    /// Until when no more is tried, unless room appears.
    #[cfg_attr(feature = "io", schemars(with = "k8s_openapi::apimachinery::pkg::apis::meta::v1::Time"))]
    pub until: Timestamp,
    /// The count that was asked for and did not fit.
    #[cfg_attr(feature = "io", schemars(with = "i32"))]
    pub replicas: Replicas,
    /// Whole gangs for which there seemed to be room even so; only more than that is news.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "io", schemars(with = "i32"))]
    pub room: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
