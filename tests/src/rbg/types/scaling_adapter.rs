//! The scaling adapter of a role.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// What a scaling adapter should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(group = "workloads.x-k8s.io", version = "v1alpha2", kind = "RoleBasedGroupScalingAdapter")]
#[kube(plural = "rolebasedgroupscalingadapters", namespaced, schema = "disabled", derive = "PartialEq")]
#[kube(status = "RoleBasedGroupScalingAdapterStatus")]
#[serde(rename_all = "camelCase")]
pub struct RoleBasedGroupScalingAdapterSpec {
    /// Replicas the role should have; the truth while the adapter is bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The role.
    pub scale_target_ref: ScaleTargetRef,
}

/// The role that a scaling adapter is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleTargetRef {
    /// Name of the group.
    pub name: String,
    /// Name of the role.
    pub role: String,
}

/// What a scaling adapter is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleBasedGroupScalingAdapterStatus {
    /// `Bound` once the role was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Replicas the role was last given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Replicas of the role that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Which pods an HPA looks at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// When it last changed the role's count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
}
