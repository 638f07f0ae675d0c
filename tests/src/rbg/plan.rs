//! Which pods of a role to delete and which to create. Pure.
//!
//! Highest ordinals go first. A changed template is rolled out one replica at a time (or `maxUnavailable`), from the highest
//! ordinal down to the partition, always by making the pods anew. Old templates are not kept: a lost pod below the partition
//! comes back with the new one.

#[cfg(test)]
mod cases;
mod replica;
mod rollout;

use std::collections::{BTreeMap, BTreeSet};

use replica::{Replica, status};
use rollout::next_outdated;

use super::{
    blueprint::{Blueprint, WantedPod},
    observed::ObservedPod,
    types::{Role, RoleStatus},
};

/// What to do, in this order.
#[derive(Debug, Default)]
pub struct Plan {
    /// Pods to delete, first to last.
    pub delete: Vec<ObservedPod>,
    /// Pods to create, lowest ordinal first.
    pub create: Vec<WantedPod>,
    /// The role's status as the pods are now.
    pub status: RoleStatus,
}

/// Returns what brings the pods of a role closer to its blueprint.
pub fn plan(role: &Role, blueprint: &Blueprint, pods: &[ObservedPod]) -> Plan {
    let mut by_ordinal: BTreeMap<Option<u32>, Vec<&ObservedPod>> = BTreeMap::new();
    for pod in pods {
        by_ordinal.entry(pod.ordinal).or_default().push(pod);
    }
    let replicas: Vec<Replica> = (0..role.replicas)
        .map(|ordinal| {
            let pods = by_ordinal.remove(&Some(ordinal)).unwrap_or_default();
            Replica::new(blueprint.pods(ordinal), pods, &blueprint.revision)
        })
        .collect();
    let surplus: Vec<Replica> =
        by_ordinal.into_values().map(|pods| Replica::new(Vec::new(), pods, &blueprint.revision)).collect();
    let in_order = role.pod_management_policy.as_deref() == Some("OrderedReady");

    let mut plan = Plan { status: status(role, replicas.iter().chain(&surplus)), ..Plan::default() };
    for replica in surplus.iter().rev() {
        plan.delete.extend(replica.alive().cloned());
        if in_order {
            break;
        }
    }
    for replica in &replicas {
        plan.repair(replica, blueprint.recreate_whole);
        if in_order && !replica.ready {
            break;
        }
    }
    for pod in next_outdated(role, &replicas) {
        if !plan.delete.contains(pod) {
            plan.delete.push(pod.clone());
        }
    }
    plan
}

impl Plan {
    /// Replaces failed pods and creates missing ones. A replica that had another size is left to the rollout.
    fn repair(&mut self, replica: &Replica, recreate_whole: bool) {
        let failed = replica.alive().any(|pod| pod.failed);
        if failed {
            self.delete.extend(replica.alive().filter(|pod| recreate_whole || pod.failed).cloned());
        }
        let another_size =
            replica.is_outdated() && replica.pods.iter().any(|pod| pod.size != replica.wanted.len());
        if replica.complete || another_size || (failed && recreate_whole) {
            return;
        }
        let names: BTreeSet<&str> = replica.pods.iter().map(|pod| pod.name.as_str()).collect();
        self.create.extend(replica.wanted.iter().filter(|pod| !names.contains(pod.name.as_str())).cloned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::manifest::Role,
        cases::{Case, check, pods, with, without},
        *,
    };

    #[test]
    fn counts_are_reached_from_the_lowest_and_left_from_the_highest_ordinal() {
        let role = |count| Role::standalone("r", count);
        let pair = |count| Role::leader_worker("r", count, 2);
        let ordered = |count| role(count).field("podManagementPolicy", json!("OrderedReady"));
        check(vec![
            Case {
                name: "settled",
                role: role(2),
                pods: pods(&role(2), 0..2),
                delete: &[],
                create: &[],
                status: [2; 3],
            },
            Case {
                name: "new",
                role: pair(2),
                pods: vec![],
                delete: &[],
                create: &["g-r-0-0", "g-r-0-1", "g-r-1-0", "g-r-1-1"],
                status: [0; 3],
            },
            Case {
                name: "fewer",
                role: role(8),
                pods: pods(&role(8), 0..11),
                delete: &["g-r-10", "g-r-9", "g-r-8"],
                create: &[],
                status: [11; 3],
            },
            Case {
                name: "fewer pairs",
                role: pair(1),
                pods: pods(&pair(1), 0..2),
                delete: &["g-r-1-1", "g-r-1-0"],
                create: &[],
                status: [2; 3],
            },
            Case {
                name: "none",
                role: role(0),
                pods: pods(&role(1), 0..1),
                delete: &["g-r-0"],
                create: &[],
                status: [1; 3],
            },
            Case {
                name: "already going",
                role: role(0),
                pods: with(pods(&role(1), 0..1), "g-r-0", |pod| (pod.terminating, pod.ready) = (true, false)),
                delete: &[],
                create: &[],
                status: [1, 0, 1],
            },
            Case {
                name: "one by one up",
                role: ordered(3),
                pods: pods(&role(3), 0..1),
                delete: &[],
                create: &["g-r-1"],
                status: [1; 3],
            },
            Case {
                name: "one by one down",
                role: ordered(0),
                pods: pods(&role(3), 0..3),
                delete: &["g-r-2"],
                create: &[],
                status: [3; 3],
            },
        ]);
    }

    #[test]
    fn lost_and_failed_pods_come_back() {
        let role = Role::standalone("r", 2);
        let pair = Role::leader_worker("r", 2, 2);
        let pattern = json!({"size": 2, "template": {}, "restartPolicyConfig": {"type": "None"}});
        let lone = pair.clone().field("leaderWorkerPattern", pattern);
        let fail = |pod: &mut ObservedPod| (pod.failed, pod.ready) = (true, false);
        check(vec![
            Case {
                name: "lost",
                role: role.clone(),
                pods: pods(&role, [1]),
                delete: &[],
                create: &["g-r-0"],
                status: [1; 3],
            },
            Case {
                name: "lost worker",
                role: pair.clone(),
                pods: without(pods(&pair, 0..2), "g-r-0-1"),
                delete: &[],
                create: &["g-r-0-1"],
                status: [2, 1, 2],
            },
            Case {
                name: "still going",
                role: role.clone(),
                pods: with(pods(&role, 0..2), "g-r-0", |pod| (pod.terminating, pod.ready) = (true, false)),
                delete: &[],
                create: &[],
                status: [2, 1, 2],
            },
            Case {
                name: "failed",
                role: role.clone(),
                pods: with(pods(&role, 0..2), "g-r-0", fail),
                delete: &["g-r-0"],
                create: &[],
                status: [2, 1, 2],
            },
            Case {
                name: "failed worker takes all",
                role: pair.clone(),
                pods: with(pods(&pair, 0..2), "g-r-1-1", fail),
                delete: &["g-r-1-1", "g-r-1-0"],
                create: &[],
                status: [2, 1, 2],
            },
            Case {
                name: "failed worker alone",
                role: lone.clone(),
                pods: with(pods(&lone, 0..2), "g-r-1-1", fail),
                delete: &["g-r-1-1"],
                create: &[],
                status: [2, 1, 2],
            },
        ]);
    }
}
