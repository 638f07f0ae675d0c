//! [`RoleBasedGroupScalingAdapter`]: the object that holds the count of one role while it is bound.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// What a scaling adapter asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource)]
#[kube(
    group = "workloads.x-k8s.io",
    version = "v1alpha2",
    kind = "RoleBasedGroupScalingAdapter",
    namespaced,
    status = "RoleBasedGroupScalingAdapterStatus",
    schema = "disabled",
    shortname = "rbgsa"
)]
#[serde(rename_all = "camelCase")]
pub struct RoleBasedGroupScalingAdapterSpec {
    /// Replicas of the role; the truth while the adapter is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The role that it scales.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_target_ref: Option<ScaleTargetRef>,
}

/// A role of a group in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// The group's name.
    #[serde(default)]
    pub name: String,
    /// The role's name.
    #[serde(default)]
    pub role: String,
}

/// What a scaling adapter reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleBasedGroupScalingAdapterStatus {
    /// `Bound` once it holds the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Replicas that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Replicas that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// The pods that an HPA would see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

impl RoleBasedGroupScalingAdapter {
    /// Returns whether the adapter holds the count already.
    pub fn is_bound(&self) -> bool {
        self.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
    }

    /// Returns whether the adapter is made for that role.
    pub fn is_of(&self, group: &str, role: &str) -> bool {
        self.spec.scale_target_ref.as_ref().is_some_and(|target| target.name == group && target.role == role)
    }
}
