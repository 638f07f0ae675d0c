//! The status of a group. Pure.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::types::{RoleBasedGroup, RoleBasedGroupStatus, RoleStatus};

/// Returns a group's status from those of its roles. `now` is the time of a transition, if there is one.
///
/// As upstream does it, the entry of a role that was removed stays as it was.
pub fn group_status(group: &RoleBasedGroup, roles: &[RoleStatus], now: Timestamp) -> RoleBasedGroupStatus {
    let mut status = group.status.clone().unwrap_or_default();
    let generation = group.metadata.generation;
    status.observed_generation = generation.unwrap_or_default();
    for role in roles {
        match status.role_statuses.iter_mut().find(|old| old.name == role.name) {
            Some(old) => *old = role.clone(),
            None => status.role_statuses.push(role.clone()),
        }
    }
    let ready = group.spec.roles.iter().all(|role| {
        let found = roles.iter().find(|status| status.name == role.name);
        found.is_some_and(|status| status.replicas == role.replicas && status.ready_replicas == role.replicas)
    });
    let (value, reason, message) = if ready {
        ("True", "AllRolesReady", "every replica of every role is ready")
    } else {
        ("False", "RoleNotReady", "some replica of some role is not ready")
    };
    let old = status.conditions.iter().find(|old| old.type_ == "Ready" && old.status == value);
    let condition = Condition {
        type_: "Ready".to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: old.map_or(Time(now), |old| old.last_transition_time.clone()),
    };
    status.conditions.retain(|old| old.type_ != "Ready");
    status.conditions.push(condition);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbg::manifest::{Role, manifest};

    fn counts(name: &str, replicas: u32, ready_replicas: u32) -> RoleStatus {
        RoleStatus { name: name.into(), replicas, ready_replicas, updated_replicas: replicas }
    }

    #[test]
    fn ready_means_every_replica_of_every_role() {
        let group: RoleBasedGroup =
            serde_json::from_value(manifest("g", [Role::standalone("a", 1), Role::standalone("b", 2)]))
                .unwrap();
        let cases = [
            ("all", vec![counts("a", 1, 1), counts("b", 2, 2)], "True"),
            ("one not ready", vec![counts("a", 1, 1), counts("b", 2, 1)], "False"),
            ("one too many", vec![counts("a", 1, 1), counts("b", 3, 3)], "False"),
            ("one unknown", vec![counts("a", 1, 1)], "False"),
        ];
        for (name, roles, want) in cases {
            let status = group_status(&group, &roles, Timestamp::UNIX_EPOCH);
            assert_eq!(status.conditions[0].status, want, "{name}");
        }
    }

    #[test]
    fn saying_the_same_later_changes_nothing_and_removed_roles_stay() {
        let mut group: RoleBasedGroup =
            serde_json::from_value(manifest("g", [Role::standalone("a", 1), Role::standalone("b", 1)]))
                .unwrap();
        let [first, later] = [1, 2].map(|second| Timestamp::from_second(second).unwrap());
        let ready = group_status(&group, &[counts("a", 1, 1), counts("b", 1, 1)], first);
        group.status = Some(ready.clone());
        assert_eq!(group_status(&group, &[counts("a", 1, 1), counts("b", 1, 1)], later), ready);

        group.spec.roles.pop();
        let less = group_status(&group, &[counts("a", 1, 0)], later);
        assert_eq!(less.role_statuses, [counts("a", 1, 0), counts("b", 1, 1)]);
        assert_eq!(less.conditions[0].last_transition_time, Time(later));
    }
}
