//! The scaling adapter of a role: what it says, and who wins. Pure.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
    jiff::Timestamp,
};

use super::{
    blueprint::{common_labels, identity},
    labels,
    types::{
        Role, RoleBasedGroup, RoleBasedGroupScalingAdapter, RoleBasedGroupScalingAdapterSpec,
        RoleBasedGroupScalingAdapterStatus, RoleStatus, ScaleTargetRef, Workload,
    },
};

/// Returns the adapter of a role, with the role's count, as it is created.
pub fn wanted(group: &RoleBasedGroup, role: &Role) -> RoleBasedGroupScalingAdapter {
    let (name, _) = identity(group);
    let mut set = role.scaling_adapter.clone().unwrap_or_default().labels;
    set.insert(labels::GROUP_NAME.to_owned(), name.to_owned());
    set.insert(labels::ROLE_NAME.to_owned(), role.name.clone());
    RoleBasedGroupScalingAdapter {
        metadata: ObjectMeta {
            name: Some(labels::scaling_adapter_name(name, &role.name)),
            labels: Some(set),
            owner_references: Some(vec![OwnerReference {
                api_version: "workloads.x-k8s.io/v1alpha2".to_owned(),
                kind: "RoleBasedGroup".to_owned(),
                name: name.to_owned(),
                uid: group.metadata.uid.clone().unwrap_or_default(),
                block_owner_deletion: Some(true),
                controller: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: RoleBasedGroupScalingAdapterSpec {
            replicas: i32::try_from(role.replicas).ok(),
            scale_target_ref: ScaleTargetRef { name: name.to_owned(), role: role.name.clone() },
        },
        status: None,
    }
}

/// Tells whether an adapter has found its role.
pub fn is_bound(adapter: &RoleBasedGroupScalingAdapter) -> bool {
    adapter.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"))
}

/// Returns the count a role must have because of its adapter: what a bound adapter says, else nothing.
pub fn demanded(role: &Role, adapter: Option<&RoleBasedGroupScalingAdapter>) -> Option<u32> {
    let adapter = adapter.filter(|adapter| role.has_scaling_adapter() && is_bound(adapter))?;
    u32::try_from(adapter.spec.replicas?).ok()
}

/// Returns an adapter's status: bound to a role that has `role.replicas`. `now` is noted when that count is news.
pub fn status(
    group: &RoleBasedGroup,
    role: &Role,
    role_status: &RoleStatus,
    old: Option<&RoleBasedGroupScalingAdapterStatus>,
    now: Timestamp,
) -> RoleBasedGroupScalingAdapterStatus {
    let replicas = i32::try_from(role.replicas).ok();
    let scaled = old.is_some_and(|old| old.phase.is_some() && old.replicas != replicas);
    let last = old.and_then(|old| old.last_scale_time.clone());
    RoleBasedGroupScalingAdapterStatus {
        phase: Some("Bound".to_owned()),
        replicas,
        ready_replicas: i32::try_from(role_status.ready_replicas).ok(),
        selector: Some(selector(group, role)),
        last_scale_time: if scaled { Some(Time(now)) } else { last },
    }
}

/// Returns the pods that an HPA looks at: all of the role, or only the leaders where there are some.
fn selector(group: &RoleBasedGroup, role: &Role) -> String {
    let (name, namespace) = identity(group);
    if role.workload() == Workload::LeaderWorkerSet {
        let set = labels::workload_name(name, &role.name);
        return format!("{}={set},{}=0", labels::LWS_NAME, labels::LWS_WORKER_INDEX);
    }
    let common = common_labels(name, namespace, &role.name);
    let mut terms: Vec<String> = common.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if role.workload() == Workload::RoleInstanceSet && role.leader_worker_pattern.is_some() {
        terms.push(format!("{}=0", labels::COMPONENT_INDEX));
    }
    terms.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbg::manifest::{self, manifest};

    fn group(role: manifest::Role) -> (RoleBasedGroup, Role) {
        let mut group: RoleBasedGroup = serde_json::from_value(manifest("demo", [role])).unwrap();
        group.metadata.namespace = Some("default".into());
        let role = group.spec.roles[0].clone();
        (group, role)
    }

    #[test]
    fn only_a_bound_adapter_of_a_role_that_wants_one_decides() {
        let (group, role) = group(manifest::Role::standalone("decode", 2).scaling_adapter());
        let mut adapter = wanted(&group, &role);
        adapter.spec.replicas = Some(5);
        assert_eq!(demanded(&role, None), None, "none yet");
        assert_eq!(demanded(&role, Some(&adapter)), None, "not bound");
        adapter.status = Some(status(&group, &role, &RoleStatus::default(), None, Timestamp::UNIX_EPOCH));
        assert_eq!(demanded(&role, Some(&adapter)), Some(5), "bound");
        let mut without = role.clone();
        without.scaling_adapter = None;
        assert_eq!(demanded(&without, Some(&adapter)), None, "switched off");
        adapter.spec.replicas = None;
        assert_eq!(demanded(&role, Some(&adapter)), None, "no count");
    }

    #[test]
    fn selectors_find_leaders_only_where_there_are_some() {
        let hash = labels::group_hash("default", "demo");
        let common = format!(
            "rbg.workloads.x-k8s.io/group-name=demo,rbg.workloads.x-k8s.io/group-uid={hash},\
             rbg.workloads.x-k8s.io/role-name=decode"
        );
        let leader = manifest::Role::leader_worker("decode", 1, 4);
        let set = "leaderworkerset.x-k8s.io/v1/LeaderWorkerSet";
        let cases = [
            ("standalone", manifest::Role::standalone("decode", 1), common.clone()),
            ("leader-worker", leader.clone(), format!("{common},rbg.workloads.x-k8s.io/component-index=0")),
            ("stateful set", leader.clone().workload("apps/v1/StatefulSet"), common),
            (
                "leader-worker set",
                leader.workload(set),
                "leaderworkerset.sigs.k8s.io/name=demo-decode,leaderworkerset.sigs.k8s.io/worker-index=0"
                    .into(),
            ),
        ];
        for (name, role, want) in cases {
            let (group, role) = group(role);
            assert_eq!(selector(&group, &role), want, "{name}");
        }
    }

    #[test]
    fn a_new_count_is_noted_with_its_time() {
        let (group, mut role) = group(manifest::Role::standalone("decode", 2).scaling_adapter());
        let [first, later] = [1, 2].map(|second| Timestamp::from_second(second).unwrap());
        let bound = status(&group, &role, &RoleStatus::default(), None, first);
        assert_eq!((bound.replicas, bound.last_scale_time.clone()), (Some(2), None), "binding is no scaling");
        role.replicas = 4;
        let scaled = status(&group, &role, &RoleStatus::default(), Some(&bound), first);
        assert_eq!((scaled.replicas, scaled.last_scale_time.clone()), (Some(4), Some(Time(first))));
        let same = status(&group, &role, &RoleStatus::default(), Some(&scaled), later);
        assert_eq!(same, scaled, "nothing new, nothing changed");
    }
}
