//! Which outdated replicas of a role to take down now.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{
    super::{observed::ObservedPod, types::Role},
    replica::Replica,
};

/// Returns the pods of outdated replicas to take down: highest ordinal first, down to the partition. A replica that is not
/// ready costs nothing; ready ones go while no more than `maxUnavailable` are down, and the first that must wait ends it.
pub fn next_outdated<'a>(role: &Role, replicas: &'a [Replica]) -> Vec<&'a ObservedPod> {
    let update = role.rollout_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    if update.is_some_and(|update| update.paused) {
        return Vec::new();
    }
    let partition = update.and_then(|update| update.partition.as_ref());
    let partition = usize::try_from(count(partition, role.replicas, 0)).unwrap_or(usize::MAX);
    let unavailable = update.and_then(|update| update.max_unavailable.as_ref());
    let allowed = usize::try_from(count(unavailable, role.replicas, 1).max(1)).unwrap_or(usize::MAX);
    let mut down = replicas.iter().filter(|replica| !replica.ready).count();
    let mut pods = Vec::new();
    for replica in replicas.iter().skip(partition).rev().filter(|replica| replica.is_outdated()) {
        if replica.ready {
            if down >= allowed {
                break;
            }
            down += 1;
        }
        pods.extend(replica.alive());
    }
    pods
}

/// A number, or a percentage of the replicas rounded up.
fn count(value: Option<&IntOrString>, replicas: u32, default: u32) -> u32 {
    match value {
        None => default,
        Some(IntOrString::Int(number)) => u32::try_from(*number).unwrap_or(0),
        Some(IntOrString::String(text)) => {
            let percent = text.trim_end_matches('%').parse::<u32>().unwrap_or(0);
            replicas.saturating_mul(percent).div_ceil(100)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{
        super::manifest::Role,
        cases::{Case, check, pods, with},
    };
    use super::*;

    #[test]
    fn a_new_template_is_rolled_out_from_the_highest_ordinal() {
        let old = Role::standalone("r", 3);
        let new = old.clone().image("engine:2");
        let update = |fields: Value| {
            new.clone().field("rolloutStrategy", json!({"type": "RollingUpdate", "rollingUpdate": fields}))
        };
        let half = [pods(&old, 0..2), pods(&new, 2..3)].concat();
        let late = |pod: &mut ObservedPod| pod.ready = false;
        let pair = Role::leader_worker("r", 2, 2);
        let larger = Role::leader_worker("r", 2, 3);
        check(vec![
            Case {
                name: "first",
                role: new.clone(),
                pods: pods(&old, 0..3),
                delete: &["g-r-2"],
                create: &[],
                status: [3, 3, 0],
            },
            Case {
                name: "gone",
                role: new.clone(),
                pods: pods(&old, 0..2),
                delete: &[],
                create: &["g-r-2"],
                status: [2, 2, 0],
            },
            Case {
                name: "not ready yet",
                role: new.clone(),
                pods: with(half.clone(), "g-r-2", late),
                delete: &[],
                create: &[],
                status: [3, 2, 1],
            },
            Case {
                name: "next",
                role: new.clone(),
                pods: half.clone(),
                delete: &["g-r-1"],
                create: &[],
                status: [3, 3, 1],
            },
            Case {
                name: "an old one that is down costs nothing",
                role: new.clone(),
                pods: with(half.clone(), "g-r-1", late),
                delete: &["g-r-1"],
                create: &[],
                status: [3, 2, 1],
            },
            Case {
                name: "a lower one that is down holds it up",
                role: new.clone(),
                pods: with(half.clone(), "g-r-0", late),
                delete: &[],
                create: &[],
                status: [3, 2, 1],
            },
            Case {
                name: "partition",
                role: update(json!({"partition": 2})),
                pods: half.clone(),
                delete: &[],
                create: &[],
                status: [3, 3, 1],
            },
            Case {
                name: "paused",
                role: update(json!({"paused": true})),
                pods: half,
                delete: &[],
                create: &[],
                status: [3, 3, 1],
            },
            Case {
                name: "half at once",
                role: update(json!({"maxUnavailable": "50%"})),
                pods: pods(&old, 0..3),
                delete: &["g-r-2", "g-r-1"],
                create: &[],
                status: [3, 3, 0],
            },
            Case {
                name: "another size",
                role: larger,
                pods: pods(&pair, 0..2),
                delete: &["g-r-1-1", "g-r-1-0"],
                create: &[],
                status: [2, 2, 0],
            },
        ]);
    }
}
