//! The PodGroup of a group that asks for gang scheduling: all pods of the group, or none. Pure.

use serde_json::{Value, json};

use super::{
    blueprint::{identity, owner_reference},
    labels,
    types::{Role, RoleBasedGroup},
};

/// Tells whether a group asks for gang scheduling.
pub fn is_wanted(group: &RoleBasedGroup) -> bool {
    let annotations = group.metadata.annotations.as_ref();
    annotations.and_then(|own| own.get(labels::GANG_SCHEDULING)).is_some_and(|value| value == "true")
}

/// Returns the PodGroup of a group, for server-side apply: it wants every pod that the roles ask for.
pub fn wanted(group: &RoleBasedGroup) -> Value {
    let pods = |role: &Role| {
        let size = role.leader_worker_pattern.as_ref().and_then(|pattern| pattern.size).unwrap_or(1).max(1);
        let parts = role.custom_components_pattern.as_ref().map(|pattern| {
            pattern.components.iter().map(|component| component.size.unwrap_or(1)).sum::<u32>()
        });
        role.replicas * parts.unwrap_or(size)
    };
    let members: u32 = group.spec.roles.iter().map(pods).sum();
    json!({
        "apiVersion": "scheduling.x-k8s.io/v1alpha1",
        "kind": "PodGroup",
        "metadata": {"name": identity(group).0, "ownerReferences": [owner_reference(group)]},
        "spec": {"minMember": members.max(1)},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbg::manifest::{Role, manifest};

    #[test]
    fn every_pod_of_the_group_is_a_member() {
        let roles = [Role::leader_worker("prefill", 2, 4), Role::standalone("decode", 3)];
        let mut group: RoleBasedGroup = serde_json::from_value(manifest("demo", roles)).unwrap();
        assert!(!is_wanted(&group));
        group.metadata.annotations = Some([(labels::GANG_SCHEDULING.to_owned(), "true".to_owned())].into());
        assert!(is_wanted(&group));
        assert_eq!(wanted(&group)["spec"]["minMember"], 11);
    }
}
