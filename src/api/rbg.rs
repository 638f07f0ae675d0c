//! RoleBasedGroups as our programs read them: labels, the identity of a replica, and trimmed types.
//!
//! Only the fields that scaling needs are here; everything else an object carries is ignored when read. So these types
//! must never be written back whole: replicas are written through a scale subresource or a JSON patch.

#[cfg(feature = "io")]
mod group;
#[cfg(feature = "io")]
mod scaling_adapter;
#[cfg(feature = "io")]
mod template;

use std::collections::BTreeMap;

#[cfg(feature = "io")]
pub use group::{
    Component, CustomComponentsPattern, LeaderWorkerPattern, Role, RoleBasedGroup, RoleBasedGroupSpec,
    RoleBasedGroupStatus, RoleStatus, RollingUpdate, RolloutStrategy, ScalingAdapterSwitch,
    StandalonePattern, WorkloadKind,
};
#[cfg(feature = "io")]
pub use scaling_adapter::{
    RoleBasedGroupScalingAdapter, RoleBasedGroupScalingAdapterSpec, RoleBasedGroupScalingAdapterStatus,
    ScaleTargetRef,
};
#[cfg(feature = "io")]
pub use template::{RoleTemplate, Template, TemplateError, TemplateRef};

/// Label of a pod: the name of its RoleBasedGroup.
pub const GROUP_NAME: &str = "rbg.workloads.x-k8s.io/group-name";
/// Annotation of a group that asks for gang scheduling: `"true"`.
pub const GANG_SCHEDULING: &str = "rbg.workloads.x-k8s.io/group-gang-scheduling";
/// Label of a pod: the PodGroup that coscheduling (scheduler-plugins) counts it to.
pub const POD_GROUP: &str = "scheduling.x-k8s.io/pod-group";
/// Annotation of a pod: the PodGroup that Volcano counts it to.
pub const VOLCANO_GROUP: &str = "scheduling.k8s.io/group-name";
/// Label of a pod: the name of its role.
pub const ROLE_NAME: &str = "rbg.workloads.x-k8s.io/role-name";
/// Label of a pod: the replica that it is a part of, such as `demo-prefill-0`.
pub const ROLE_INSTANCE_NAME: &str = "rbg.workloads.x-k8s.io/role-instance-name";
/// Label of a pod: the ordinal of its replica.
pub const ROLE_INSTANCE_INDEX: &str = "rbg.workloads.x-k8s.io/role-instance-index";
/// Label of a pod: its place in its replica; 0 is the leader.
pub const COMPONENT_INDEX: &str = "rbg.workloads.x-k8s.io/component-index";
/// Annotation of a role: the kind of workload that runs it, as `group/version/kind`.
pub const ROLE_WORKLOAD_TYPE: &str = "rbg.workloads.x-k8s.io/role-workload-type";
/// Label of a LeaderWorkerSet pod: the ordinal of its replica.
pub const LWS_GROUP_INDEX: &str = "leaderworkerset.sigs.k8s.io/group-index";
/// Label of a LeaderWorkerSet pod: its place in its replica; 0 is the leader.
pub const LWS_WORKER_INDEX: &str = "leaderworkerset.sigs.k8s.io/worker-index";

/// Returns what pods of one replica have in common: the role instance, or a LeaderWorkerSet's group, or the pod alone.
pub fn replica_key<'a>(labels: &'a BTreeMap<String, String>, pod: &'a str) -> &'a str {
    labels.get(ROLE_INSTANCE_NAME).or_else(|| labels.get(LWS_GROUP_INDEX)).map_or(pod, String::as_str)
}

/// Returns the place of a pod in its replica (0 is the leader), or `None` where the workload has no such notion.
pub fn component_index(labels: &BTreeMap<String, String>) -> Option<u32> {
    labels.get(COMPONENT_INDEX).or_else(|| labels.get(LWS_WORKER_INDEX))?.parse().ok()
}

/// Returns the name of the scaling adapter that belongs to a role: `<group>-<role>`.
pub fn scaling_adapter_name(group: &str, role: &str) -> String {
    format!("{group}-{role}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_one_replica_share_a_key() {
        struct Case {
            name: &'static str,
            labels: &'static [(&'static str, &'static str)],
            want: (&'static str, Option<u32>),
        }
        let cases = [
            Case { name: "no labels: each pod is a replica", labels: &[], want: ("pod-0", None) },
            Case {
                name: "role instance",
                labels: &[(ROLE_INSTANCE_NAME, "demo-prefill-0"), (COMPONENT_INDEX, "1")],
                want: ("demo-prefill-0", Some(1)),
            },
            Case {
                name: "leader-worker set",
                labels: &[(LWS_GROUP_INDEX, "3"), (LWS_WORKER_INDEX, "0")],
                want: ("3", Some(0)),
            },
            Case {
                name: "role instance before leader-worker set",
                labels: &[(LWS_GROUP_INDEX, "3"), (ROLE_INSTANCE_NAME, "demo-0")],
                want: ("demo-0", None),
            },
            Case {
                name: "an index that is no number",
                labels: &[(COMPONENT_INDEX, "leader")],
                want: ("pod-0", None),
            },
        ];
        for Case { name, labels, want } in cases {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!((replica_key(&labels, "pod-0"), component_index(&labels)), want, "{name}");
        }
    }
}
