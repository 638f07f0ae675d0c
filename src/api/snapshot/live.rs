//! [`LiveDecision`]: what a controller tells of the last decision on one group.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DecisionDocument, ScalingSnapshot};
use crate::api::autoscaler::RoleBasedGroupAutoscalerStatus;

/// What a controller tells of the last decision on one group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveDecision {
    /// What the decision saw.
    pub snapshot: ScalingSnapshot,
    /// What was decided.
    pub decision: DecisionDocument,
    /// The policy's status with it, before anything was written.
    pub status: RoleBasedGroupAutoscalerStatus,
    /// How each role came there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trail: BTreeMap<String, Vec<TrailPoint>>,
}

/// A role at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrailPoint {
    /// The time, to the second.
    pub time: Timestamp,
    /// The worst metric's value over its target; absent while no metric answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f32>,
    /// The count that the group asked for.
    pub replicas: u16,
    /// Replicas whose pods were all ready.
    pub ready_replicas: u16,
    /// The count decided on.
    pub desired_replicas: u16,
}
