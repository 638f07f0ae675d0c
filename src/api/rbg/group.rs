//! [`RoleBasedGroup`]: roles, their replicas and their shape, trimmed to what scaling reads.

use std::collections::BTreeMap;

use kube::CustomResource;
use serde::{Deserialize, Serialize};

use super::{
    ROLE_WORKLOAD_TYPE,
    template::{RoleTemplate, Template, TemplateRef},
};

/// What a group asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource)]
#[kube(
    group = "workloads.x-k8s.io",
    version = "v1alpha2",
    kind = "RoleBasedGroup",
    namespaced,
    status = "RoleBasedGroupStatus",
    schema = "disabled",
    shortname = "rbg"
)]
#[serde(rename_all = "camelCase")]
pub struct RoleBasedGroupSpec {
    /// The roles, in the order of the object; JSON patches address them by their place.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Pod templates that roles may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub role_templates: Vec<RoleTemplate>,
}

/// One role: a number of like replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// The role's name, unique in the group.
    pub name: String,
    /// How many replicas it should have; the CRD's default is 1.
    #[serde(default = "one", deserialize_with = "null_as_one")]
    pub replicas: i32,
    /// The role's own annotations; one of them chooses the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Whether a scaling adapter holds the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling_adapter: Option<ScalingAdapterSwitch>,
    /// How new templates are rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_strategy: Option<RolloutStrategy>,
    /// Present when a replica is one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standalone_pattern: Option<StandalonePattern>,
    /// Present when a replica is a leader with workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_worker_pattern: Option<LeaderWorkerPattern>,
    /// Present when a replica is made of named components.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_components_pattern: Option<CustomComponentsPattern>,
    /// Our inline policy, as it was written; upstream does not know the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<serde_json::Value>,
}

/// `scalingAdapter` of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingAdapterSwitch {
    /// Whether the role has a scaling adapter.
    #[serde(default)]
    pub enable: bool,
}

/// `rolloutStrategy` of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStrategy {
    /// The rolling update's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// `rollingUpdate` of a rollout strategy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpdate {
    /// Replicas with an ordinal below it keep the old template: a number or a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<serde_json::Value>,
}

/// `standalonePattern` of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandalonePattern {
    /// The pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// Or one of the group's templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
}

/// `leaderWorkerPattern` of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderWorkerPattern {
    /// Pods of one replica, the leader among them; absent means 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
    /// Leader and workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// Or one of the group's templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    /// How the leader differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_template_patch: Option<Template>,
    /// How the workers differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_template_patch: Option<Template>,
}

/// `customComponentsPattern` of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomComponentsPattern {
    /// The components of one replica.
    #[serde(default)]
    pub components: Vec<Component>,
}

/// One component of a custom pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// The component's name.
    #[serde(default)]
    pub name: String,
    /// Its pods in one replica; absent means 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
    /// The pods.
    #[serde(default)]
    pub template: Template,
}

/// What a group reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleBasedGroupStatus {
    /// One entry per role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_statuses: Option<Vec<RoleStatus>>,
}

/// What a group reports of one role; counts are replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// The role's name.
    pub name: String,
    /// Replicas that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Replicas that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Replicas that run the newest template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
}

/// What runs the pods of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadKind {
    /// RoleInstanceSet, the default.
    RoleInstanceSet,
    /// apps/v1 Deployment: no ordinals.
    Deployment,
    /// apps/v1 StatefulSet.
    StatefulSet,
    /// leaderworkerset.x-k8s.io/v1 LeaderWorkerSet.
    LeaderWorkerSet,
}

impl Role {
    /// Returns how many pods make one replica; at least 1.
    pub fn pods_per_replica(&self) -> u32 {
        let size = match (&self.leader_worker_pattern, &self.custom_components_pattern) {
            (Some(pattern), _) => pattern.size.unwrap_or(1),
            (None, Some(pattern)) => pattern
                .components
                .iter()
                .fold(0_i32, |sum, component| sum.saturating_add(component.size.unwrap_or(1))),
            (None, None) => 1,
        };
        u32::try_from(size).unwrap_or(1).max(1)
    }

    /// Returns whether a replica has a leader that alone reports metrics.
    pub fn has_leader(&self) -> bool {
        self.leader_worker_pattern.is_some()
    }

    /// Returns whether a scaling adapter holds the count.
    pub fn has_scaling_adapter(&self) -> bool {
        self.scaling_adapter.as_ref().is_some_and(|switch| switch.enable)
    }

    /// Returns how many of so many replicas keep the old template during a rollout.
    pub fn partition(&self, replicas: i32) -> i32 {
        let update = self.rollout_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let Some(partition) = update.and_then(|update| update.partition.as_ref()) else { return 0 };
        if let Some(count) = partition.as_i64() {
            return i32::try_from(count).unwrap_or(i32::MAX).clamp(0, replicas.max(0));
        }
        let percent =
            partition.as_str().and_then(|text| text.strip_suffix('%')?.parse::<u64>().ok()).unwrap_or(0);
        let of_all = u64::try_from(replicas).unwrap_or(0).saturating_mul(percent.min(100)).div_ceil(100);
        i32::try_from(of_all).unwrap_or(replicas)
    }

    /// Returns what runs the role's pods, by its annotation.
    pub fn workload_kind(&self) -> WorkloadKind {
        let kind = self.annotations.as_ref().and_then(|annotations| annotations.get(ROLE_WORKLOAD_TYPE));
        match kind.and_then(|kind| kind.rsplit('/').next()) {
            Some("Deployment") => WorkloadKind::Deployment,
            Some("StatefulSet") => WorkloadKind::StatefulSet,
            Some("LeaderWorkerSet") => WorkloadKind::LeaderWorkerSet,
            _ => WorkloadKind::RoleInstanceSet,
        }
    }
}

impl RoleBasedGroup {
    /// Returns whether a RoleBasedGroupSet made the group and rewrites it.
    pub fn is_of_a_set(&self) -> bool {
        let owners = self.metadata.owner_references.as_deref().unwrap_or_default();
        owners.iter().any(|owner| owner.kind == "RoleBasedGroupSet")
    }

    /// Returns the place and the content of a role.
    pub fn role(&self, name: &str) -> Option<(usize, &Role)> {
        self.spec.roles.iter().enumerate().find(|(_, role)| role.name == name)
    }

    /// Returns what the group reports of a role.
    pub fn role_status(&self, name: &str) -> Option<&RoleStatus> {
        self.status.as_ref()?.role_statuses.as_ref()?.iter().find(|status| status.name == name)
    }
}

fn one() -> i32 {
    1
}

fn null_as_one<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(value: serde_json::Value) -> Role {
        serde_json::from_value(value).expect("a role")
    }

    #[test]
    fn unknown_fields_are_ignored_and_inline_text_is_kept() {
        let group: RoleBasedGroup = serde_json::from_value(json!({
            "apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup",
            "metadata": {"name": "demo", "namespace": "a"},
            "spec": {"podGroupPolicy": {}, "roles": [
                {"name": "router", "replicas": null, "standalonePattern": {"template": {"spec": {}}}},
                {"name": "decode", "replicas": 2, "autoscaling": {"maxReplicas": 8}, "dependencies": ["router"]},
            ]},
            "status": {"observedGeneration": 3, "conditions": [], "roleStatuses": [
                {"name": "decode", "replicas": 2, "readyReplicas": 1, "updatedReplicas": 2}
            ]}
        }))
        .expect("a group");
        assert_eq!(group.role("router").map(|(place, role)| (place, role.replicas)), Some((0, 1)));
        let (place, decode) = group.role("decode").expect("decode");
        assert_eq!(
            (place, decode.replicas, decode.autoscaling.clone()),
            (1, 2, Some(json!({"maxReplicas": 8})))
        );
        assert_eq!(group.role_status("decode").map(|status| status.ready_replicas), Some(1));
        assert_eq!(group.role_status("router"), None);
    }

    #[test]
    fn a_partition_is_a_number_or_a_share() {
        for (partition, want) in [
            (json!(null), 0),
            (json!(3), 3),
            (json!(30), 10),
            (json!("25%"), 3),
            (json!("100%"), 10),
            (json!("many"), 0),
        ] {
            let role = role(
                json!({"name": "a", "rolloutStrategy": {"rollingUpdate": {"partition": partition.clone()}}}),
            );
            assert_eq!(role.partition(10), want, "{partition}");
        }
    }

    #[test]
    fn the_shape_of_a_replica() {
        struct Case {
            name: &'static str,
            role: serde_json::Value,
            want: (u32, bool, WorkloadKind),
        }
        let cases = [
            Case {
                name: "standalone",
                role: json!({"name": "a", "standalonePattern": {}}),
                want: (1, false, WorkloadKind::RoleInstanceSet),
            },
            Case {
                name: "leader and three workers",
                role: json!({"name": "a", "leaderWorkerPattern": {"size": 4}}),
                want: (4, true, WorkloadKind::RoleInstanceSet),
            },
            Case {
                name: "leader-worker without a size",
                role: json!({"name": "a", "leaderWorkerPattern": {}}),
                want: (1, true, WorkloadKind::RoleInstanceSet),
            },
            Case {
                name: "components",
                role: json!({"name": "a", "customComponentsPattern": {"components": [{"name": "x", "size": 2}, {"name": "y"}]}}),
                want: (3, false, WorkloadKind::RoleInstanceSet),
            },
            Case {
                name: "a Deployment",
                role: json!({"name": "a", "annotations": {ROLE_WORKLOAD_TYPE: "apps/v1/Deployment"}}),
                want: (1, false, WorkloadKind::Deployment),
            },
            Case {
                name: "a LeaderWorkerSet",
                role: json!({"name": "a", "leaderWorkerPattern": {"size": 2},
                    "annotations": {ROLE_WORKLOAD_TYPE: "leaderworkerset.x-k8s.io/v1/LeaderWorkerSet"}}),
                want: (2, true, WorkloadKind::LeaderWorkerSet),
            },
        ];
        for Case { name, role: value, want } in cases {
            let role = role(value);
            assert_eq!((role.pods_per_replica(), role.has_leader(), role.workload_kind()), want, "{name}");
        }
    }
}
