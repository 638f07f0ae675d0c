//! [`Owed`]: pods that groups ask for and that are not there, as a new leader finds them.
//!
//! What this process gives away stands in the ledger. What the leader before it gave away shows in the counts alone, until the pods
//! are made: so for a minute they count as pods that wait for a node. They may never come.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use rbg_autoscaler::api::rbg::{Role, RoleBasedGroup};

use super::PATIENCE;
use crate::cache::{
    World,
    store::{ObjectKey, Store},
    tenants::Tenants,
};

/// Pods that groups asked for before this process led.
#[derive(Debug, Default)]
pub struct Owed {
    roles: Vec<Debt>,
    until: Timestamp,
}

/// The pods that one role lacks.
#[derive(Debug)]
struct Debt {
    group: ObjectKey,
    role: String,
    /// Pods of the role once all are there.
    pods: u32,
    missing: Vec<Arc<Pod>>,
}

impl Owed {
    /// Takes stock of what all groups lack.
    pub fn of(world: &World, now: Timestamp) -> Self {
        Self::of_groups(&world.groups, world.room.tenants(), now)
    }

    fn of_groups(groups: &Store<RoleBasedGroup>, tenants: &Tenants, now: Timestamp) -> Self {
        let roles = groups.iter().flat_map(|(key, group)| {
            group.spec.roles.iter().filter_map(|role| debt(key, group, role, tenants))
        });
        Self { roles: roles.collect(), until: now.checked_add(PATIENCE).unwrap_or(Timestamp::MAX) }
    }

    /// Returns the pods that are still missing.
    pub fn open(&mut self, tenants: &Tenants, now: Timestamp) -> Vec<Arc<Pod>> {
        if now >= self.until {
            self.roles.clear();
        }
        self.roles.retain_mut(|debt| {
            let missing = debt.pods.saturating_sub(tenants.of_role(&debt.group, &debt.role).0);
            debt.missing.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
            !debt.missing.is_empty()
        });
        self.roles.iter().flat_map(|debt| debt.missing.iter().cloned()).collect()
    }
}

/// What one role lacks; none where its pods are not known.
fn debt(key: &ObjectKey, group: &RoleBasedGroup, role: &Role, tenants: &Tenants) -> Option<Debt> {
    let replicas = u32::try_from(role.replicas).unwrap_or(0);
    let pods = replicas.saturating_mul(role.pods_per_replica());
    let (live, priority) = tenants.of_role(key, &role.name);
    if live >= pods {
        return None;
    }
    let templates = group.pods_of_replica(role).ok()?;
    let of_replica: Vec<Pod> = templates
        .into_iter()
        .flat_map(|(count, mut spec)| {
            spec.priority = spec.priority.or(priority);
            let mut pod = Pod { spec: Some(spec), ..Pod::default() };
            pod.metadata.namespace = Some(key.namespace.clone());
            (0..count).map(move |_| pod.clone())
        })
        .collect();
    // Pods come in the order of their replicas, so it is the last that are missing; which kinds of a replica, nobody knows.
    let missing = of_replica.iter().rev().cycle().take(usize::try_from(pods - live).unwrap_or(0));
    let missing = missing.cloned().map(Arc::new).collect();
    Some(Debt { group: key.clone(), role: role.name.clone(), pods, missing })
}

#[cfg(test)]
mod tests {
    use kube::{core::DeserializeGuard, runtime::watcher::Event};
    use serde_json::json;

    use super::*;
    use crate::cache::occupant::{Occupant, Place};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    fn see(tenants: &mut Tenants, pod: u32) {
        tenants.take(Event::Apply(Occupant {
            key: ObjectKey::new("a", format!("demo-decode-{pod}")),
            home: Some(("demo".to_owned(), "decode".to_owned())),
            leaving: false,
            priority: Some(7),
            place: Place::Nowhere,
        }));
    }

    #[test]
    fn what_an_earlier_leader_gave_away_is_owed_until_its_pods_are_there() {
        let group: RoleBasedGroup = serde_json::from_value(json!({
            "metadata": {"name": "demo", "namespace": "a"},
            "spec": {"roles": [{"name": "decode", "replicas": 3, "leaderWorkerPattern": {"size": 2, "template": {"spec": {"containers": [
                {"name": "engine", "resources": {"limits": {"nvidia.com/gpu": "8"}}}]}}}}]}}))
        .expect("a group");
        let (mut groups, mut tenants) = (Store::default(), Tenants::default());
        groups.take(Event::Apply(DeserializeGuard(Ok(group))));
        (0..2).for_each(|pod| see(&mut tenants, pod));
        let mut owed = Owed::of_groups(&groups, &tenants, at(0));
        let open = owed.open(&tenants, at(1));
        assert_eq!(open.len(), 4, "two replicas of two pods");
        let spec = open[0].spec.as_ref().expect("a spec");
        assert_eq!((spec.priority, spec.containers.len()), (Some(7), 1));
        (2..5).for_each(|pod| see(&mut tenants, pod));
        assert_eq!(owed.open(&tenants, at(2)).len(), 1);
        assert_eq!(owed.open(&tenants, at(60)).len(), 0, "they never came");
        let mut settled = Owed::of_groups(&groups, &tenants, at(61));
        see(&mut tenants, 5);
        assert_eq!(settled.open(&tenants, at(62)).len(), 0, "all are there");
    }
}
