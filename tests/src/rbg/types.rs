//! RoleBasedGroups and scaling adapters with all the fields that RBG's own controllers know, and no others.
//!
//! What is not a field here is lost when the stand-in writes a group back, exactly as upstream loses what its Go types do not
//! name. Pod templates stay JSON: kube-apiserver checks them when it gets the pods.

mod pattern;
mod scaling_adapter;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::{apis::meta::v1::Condition, util::intstr::IntOrString};
use kube::CustomResource;
pub use pattern::{
    CustomComponent, CustomComponentsPattern, LeaderWorkerPattern, RestartPolicyConfig, StandalonePattern,
    TemplateRef,
};
pub use scaling_adapter::{
    RoleBasedGroupScalingAdapter, RoleBasedGroupScalingAdapterSpec, RoleBasedGroupScalingAdapterStatus,
    ScaleTargetRef,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::labels;

/// What a group should be.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "workloads.x-k8s.io",
    version = "v1alpha2",
    kind = "RoleBasedGroup",
    plural = "rolebasedgroups"
)]
#[kube(namespaced, status = "RoleBasedGroupStatus", schema = "disabled", derive = "PartialEq")]
#[serde(rename_all = "camelCase")]
pub struct RoleBasedGroupSpec {
    /// Roles, by name.
    pub roles: Vec<Role>,
    /// Pod templates that roles may refer to, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub role_templates: Vec<RoleTemplate>,
}

/// One role of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Name, unique in the group.
    pub name: String,
    /// Replicas: pods of a standalone role, groups of pods of a leader-worker role.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Labels of the role's workload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations; [`labels::WORKLOAD_TYPE`] chooses the kind of workload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// How a changed template reaches the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_strategy: Option<RolloutStrategy>,
    /// Roles that should be ready before this one; carried, not acted upon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// One pod per replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standalone_pattern: Option<StandalonePattern>,
    /// A leader and workers per replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_worker_pattern: Option<LeaderWorkerPattern>,
    /// Pods of several kinds per replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_components_pattern: Option<CustomComponentsPattern>,
    /// Ports of the role's Service; carried, not acted upon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_ports: Vec<Value>,
    /// Sidecars; carried, not acted upon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engine_runtimes: Vec<Value>,
    /// Whether the role has a scaling adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling_adapter: Option<ScalingAdapterSwitch>,
    /// Seconds a pod must be ready before it counts as available.
    #[serde(default)]
    pub min_ready_seconds: i32,
    /// `Parallel` (default) or `OrderedReady`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_management_policy: Option<String>,
}

impl Role {
    /// Tells which kind of workload runs the role.
    pub fn workload(&self) -> Workload {
        match self.annotations.get(labels::WORKLOAD_TYPE).map(String::as_str) {
            Some("apps/v1/Deployment") => Workload::Deployment,
            Some("apps/v1/StatefulSet") => Workload::StatefulSet,
            Some("leaderworkerset.x-k8s.io/v1/LeaderWorkerSet") => Workload::LeaderWorkerSet,
            _ => Workload::RoleInstanceSet,
        }
    }

    /// Tells whether the role is scaled through a scaling adapter.
    pub fn has_scaling_adapter(&self) -> bool {
        self.scaling_adapter.as_ref().is_some_and(|switch| switch.enable)
    }
}

/// The kinds of workload that may run a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// RBG's own, and the default.
    RoleInstanceSet,
    /// `apps/v1/Deployment`.
    Deployment,
    /// `apps/v1/StatefulSet`.
    StatefulSet,
    /// `leaderworkerset.x-k8s.io/v1/LeaderWorkerSet`.
    LeaderWorkerSet,
}

/// A named pod template of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoleTemplate {
    /// Name, unique in the group.
    pub name: String,
    /// Pod template.
    pub template: Value,
}

/// How a changed template reaches the pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStrategy {
    /// Always `RollingUpdate`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// Parameters of a rollout; counts are of replicas, or percent of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpdate {
    /// `RecreatePod`, `InPlaceIfPossible` or `InPlaceOnly`; the stand-in always makes pods anew.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Ordinals below it keep the old template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<IntOrString>,
    /// Replicas that may be down at once, 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// Replicas above the count while rolling out; carried, not acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrString>,
    /// Stops the rollout where it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Parameters of updates in place; carried, not acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_place_update_strategy: Option<InPlaceUpdateStrategy>,
}

/// Parameters of updates in place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InPlaceUpdateStrategy {
    /// Seconds between a pod's being taken out of service and its update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i32>,
}

/// Whether a role has a scaling adapter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScalingAdapterSwitch {
    /// True: the group makes one and follows it.
    #[serde(default)]
    pub enable: bool,
    /// More labels for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What a group is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleBasedGroupStatus {
    /// Generation of the spec that the rest is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready` is the one kept here.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// One entry per role.
    #[serde(default)]
    pub role_statuses: Vec<RoleStatus>,
}

/// What a role is; all counts are replicas, never pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// Name of the role.
    pub name: String,
    /// Replicas of which at least one pod exists.
    pub replicas: u32,
    /// Replicas whose pods are all ready.
    pub ready_replicas: u32,
    /// Replicas made from the newest template.
    pub updated_replicas: u32,
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::rbg::crds::CRDS;

    /// A role with every field that RBG knows, at every level.
    fn whole() -> Value {
        let restart = json!({"type": "None", "baseDelaySeconds": 1, "maxDelaySeconds": 2});
        json!({
            "name": "decode", "replicas": 2, "labels": {"a": "b"}, "annotations": {"c": "d"},
            "dependencies": ["prefill"], "minReadySeconds": 1, "podManagementPolicy": "Parallel",
            "engineRuntimes": [{"profileName": "p"}], "servicePorts": [{"port": 80}],
            "scalingAdapter": {"enable": true, "labels": {"e": "f"}},
            "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdate": {
                "type": "RecreatePod", "paused": true, "partition": 1, "maxUnavailable": "10%", "maxSurge": 0,
                "inPlaceUpdateStrategy": {"gracePeriodSeconds": 3},
            }},
            "standalonePattern": {"template": {}, "templateRef": {"name": "t", "patch": {}}},
            "leaderWorkerPattern": {
                "size": 4, "template": {}, "templateRef": {"name": "t", "patch": {}}, "leaderTemplatePatch": {},
                "workerTemplatePatch": {}, "sharedServiceSelection": "All", "restartPolicy": "None",
                "restartPolicyConfig": restart,
            },
            "customComponentsPattern": {
                "restartPolicy": "None", "restartPolicyConfig": restart,
                "components": [{
                    "name": "c", "size": 2, "serviceName": "s", "labels": {"g": "h"}, "annotations": {"i": "j"},
                    "template": {},
                }],
            },
        })
    }

    /// Adds the paths of all fields of a schema or a value.
    fn paths(node: &Value, schema: bool, at: &str, into: &mut BTreeSet<String>) {
        let fields = if schema { &node["properties"] } else { node };
        for (name, field) in fields.as_object().into_iter().flatten() {
            if ["labels", "annotations"].contains(&name.as_str()) {
                into.insert(format!("{at}.{name}"));
                continue;
            }
            into.insert(format!("{at}.{name}"));
            let field =
                if schema { field.get("items").unwrap_or(field) } else { field.get(0).unwrap_or(field) };
            if !["engineRuntimes", "servicePorts"].contains(&name.as_str()) {
                paths(field, schema, &format!("{at}.{name}"), into);
            }
        }
    }

    #[test]
    fn a_role_keeps_every_field_of_the_crd_and_drops_all_others() {
        let crd: Value = serde_saphyr::from_str(CRDS[0].1).unwrap();
        let schema = crd
            .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/roles/items")
            .unwrap();
        let (mut known, mut tried) = (BTreeSet::new(), BTreeSet::new());
        paths(schema, true, "", &mut known);
        paths(&whole(), false, "", &mut tried);
        assert_eq!(tried, known, "the test tries every field of the CRD");

        let mut stored = whole();
        stored["autoscaling"] = json!({"maxReplicas": 8});
        let role: Role = serde_json::from_value(stored).unwrap();
        assert_eq!(serde_json::to_value(role).unwrap(), whole());
    }
}
