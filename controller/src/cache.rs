//! [`World`]: what the API server last told, kept in memory, and which groups an event concerns.
//!
//! Owned by one loop, so there are no locks; knows nothing of what is done with it.

pub mod nodes;
pub mod occupant;
pub mod pods;
pub mod rivals;
pub mod room;
mod specs;
pub mod store;
pub mod tenants;
pub mod watch;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use k8s_openapi::api::{autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod};
use kube::{core::DeserializeGuard, runtime::watcher::Event};
use rbg_autoscaler::api::{
    autoscaler::RoleBasedGroupAutoscaler,
    rbg::{RoleBasedGroup, RoleBasedGroupScalingAdapter},
};

use self::{
    pods::PodIndex,
    rivals::Rivals,
    room::{Room, RoomEvent},
    store::{Change, ObjectKey, Store},
};

/// The kind of other autoscalers.
const RIVAL: &str = "HorizontalPodAutoscaler";

/// What a watch tells.
#[derive(Debug)]
pub enum WorldEvent {
    /// Of a RoleBasedGroup.
    Group(Event<DeserializeGuard<RoleBasedGroup>>),
    /// Of a RoleBasedGroupScalingAdapter.
    ScalingAdapter(Event<DeserializeGuard<RoleBasedGroupScalingAdapter>>),
    /// Of a RoleBasedGroupAutoscaler.
    Autoscaler(Event<DeserializeGuard<RoleBasedGroupAutoscaler>>),
    /// Of a pod of some group.
    Pod(Box<Event<Pod>>),
    /// Of a HorizontalPodAutoscaler.
    Rival(Box<Event<HorizontalPodAutoscaler>>),
    /// Of a node, or of any pod of the cluster.
    Room(RoomEvent),
    /// A watch broke and starts again.
    WatchBroke {
        /// The kind that it watches.
        kind: &'static str,
        /// Whether we may not read that kind.
        forbidden: bool,
    },
}

/// A group that an event concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The group.
    pub group: ObjectKey,
    /// Whether somebody asked for something else, so that waiting for the next tick would be noticed.
    pub asks: bool,
}

/// Everything that was told.
#[derive(Debug, Default)]
pub struct World {
    /// The groups.
    pub groups: Store<RoleBasedGroup>,
    /// The scaling adapters.
    pub scaling_adapters: Store<RoleBasedGroupScalingAdapter>,
    /// The policies.
    pub autoscalers: Store<RoleBasedGroupAutoscaler>,
    /// The pods.
    pub pods: PodIndex,
    /// Other autoscalers.
    pub rivals: Rivals,
    /// The nodes, and what is taken of them.
    pub room: Room,
    /// The names of the policies of each group.
    policies: HashMap<ObjectKey, BTreeSet<String>>,
    /// Every group by namespace and name, until one comes or goes.
    order: Option<Arc<[ObjectKey]>>,
    /// Whether a group or a policy went since somebody asked.
    lost: bool,
}

impl World {
    /// Takes an event in and returns the groups that it concerns; pods wait for the next tick, and the room tells itself
    /// when there may be more of it.
    pub fn take(&mut self, event: WorldEvent) -> Vec<Touched> {
        match event {
            WorldEvent::Group(event) => {
                let changes = self.groups.take(event);
                changes.into_iter().map(|change| self.touched_group(change)).collect()
            }
            WorldEvent::ScalingAdapter(event) => {
                let changes = self.scaling_adapters.take(event);
                changes.into_iter().flat_map(|change| self.touched_by_adapter(&change)).collect()
            }
            WorldEvent::Autoscaler(event) => {
                let changes = self.autoscalers.take(event);
                changes.into_iter().flat_map(|change| self.touched_by_autoscaler(&change)).collect()
            }
            WorldEvent::Pod(event) => {
                self.pods.take(*event);
                Vec::new()
            }
            WorldEvent::Rival(event) => {
                self.rivals.take(&event);
                Vec::new()
            }
            WorldEvent::Room(event) => {
                self.room.take(event);
                Vec::new()
            }
            WorldEvent::WatchBroke { kind, forbidden } => {
                // Without the right to read them, rivals are somebody else's care; all else is needed.
                if forbidden && kind == RIVAL {
                    self.rivals.give_up();
                }
                Vec::new()
            }
        }
    }

    fn touched_group(&mut self, change: Change<RoleBasedGroup>) -> Touched {
        let after = self.groups.get(&change.key);
        self.lost |= after.is_none();
        if change.before.is_none() || after.is_none() {
            self.order = None;
        }
        let asks = match (&change.before, after) {
            (Some(before), Some(after)) => {
                before.spec != after.spec || before.metadata.uid != after.metadata.uid
            }
            _ => true,
        };
        Touched { group: change.key, asks }
    }

    fn touched_by_adapter(&self, change: &Change<RoleBasedGroupScalingAdapter>) -> Vec<Touched> {
        let after = self.scaling_adapters.get(&change.key);
        let asks = change.before.as_ref().map(|before| &before.spec) != after.map(|after| &after.spec);
        let both = change.before.iter().chain(after);
        let groups: BTreeSet<_> = both
            .filter_map(|adapter| adapter.spec.scale_target_ref.as_ref())
            .map(|target| target.name.as_str())
            .collect();
        let namespace = change.key.namespace.as_str();
        groups.into_iter().map(|group| Touched { group: ObjectKey::new(namespace, group), asks }).collect()
    }

    fn touched_by_autoscaler(&mut self, change: &Change<RoleBasedGroupAutoscaler>) -> Vec<Touched> {
        let after = self.autoscalers.get(&change.key);
        let asks = change.before.as_ref().map(|before| &before.spec) != after.map(|after| &after.spec);
        let namespace = change.key.namespace.as_str();
        let group_of = |autoscaler: &RoleBasedGroupAutoscaler| {
            ObjectKey::new(namespace, autoscaler.spec.group_ref.name.as_str())
        };
        let before = change.before.as_deref().map(group_of);
        let after = after.map(|after| group_of(after));
        if before != after {
            (self.lost, self.order) = (self.lost || before.is_some(), None);
            if let Some(group) = &before
                && let Some(names) = self.policies.get_mut(group)
            {
                names.remove(&change.key.name);
                if names.is_empty() {
                    self.policies.remove(group);
                }
            }
            if let Some(group) = &after {
                self.policies.entry(group.clone()).or_default().insert(change.key.name.clone());
            }
        }
        let mut groups: Vec<_> = before.into_iter().chain(after).collect();
        groups.dedup();
        groups.into_iter().map(|group| Touched { group, asks }).collect()
    }

    /// Returns the keys of the policies that name a group, by name.
    pub fn policies_of(&self, group: &ObjectKey) -> impl Iterator<Item = ObjectKey> {
        let names = self.policies.get(group).into_iter().flatten();
        names.map(|name| ObjectKey::new(group.namespace.as_str(), name.as_str()))
    }

    /// Returns every group that exists or that a policy names, by namespace and name: about as they lie in memory.
    pub fn all_groups(&mut self) -> Arc<[ObjectKey]> {
        let (groups, policies) = (&self.groups, &self.policies);
        let order = self.order.get_or_insert_with(|| {
            let lonely = policies.keys().filter(|key| groups.get(key).is_none());
            let mut keys: Vec<_> = groups.iter().map(|(key, _)| key).chain(lonely).cloned().collect();
            keys.sort_unstable();
            keys.into()
        });
        Arc::clone(order)
    }

    /// Returns whether a group or a policy went since the last time that this was asked.
    pub fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// Returns how many objects cannot be decoded.
    pub fn undecodable(&self) -> usize {
        self.groups.invalid_count() + self.scaling_adapters.invalid_count() + self.autoscalers.invalid_count()
    }

    /// Returns the kinds whose first list has not been seen whole.
    pub fn incomplete(&self) -> Vec<&'static str> {
        let kinds = [
            ("RoleBasedGroup", self.groups.is_complete()),
            ("RoleBasedGroupScalingAdapter", self.scaling_adapters.is_complete()),
            ("RoleBasedGroupAutoscaler", self.autoscalers.is_complete()),
            ("Pod", self.pods.is_complete()),
            (RIVAL, self.rivals.is_complete()),
        ];
        kinds.into_iter().filter(|(_, complete)| !complete).map(|(kind, _)| kind).collect()
    }
}

#[cfg(test)]
mod tests {
    use rbg_autoscaler::api::autoscaler::{GroupRef, Mode, RoleBasedGroupAutoscalerSpec};

    use super::*;

    fn deleted(name: &str, group: &str) -> DeserializeGuard<RoleBasedGroupAutoscaler> {
        let group_ref = GroupRef { name: group.to_owned() };
        let spec = RoleBasedGroupAutoscalerSpec { group_ref, ..Default::default() };
        let mut object = RoleBasedGroupAutoscaler::new(name, spec);
        object.metadata.namespace = Some("a".to_owned());
        DeserializeGuard(Ok(object))
    }

    fn autoscaler(name: &str, group: &str, mode: Mode) -> WorldEvent {
        let group_ref = GroupRef { name: group.to_owned() };
        let spec = RoleBasedGroupAutoscalerSpec { group_ref, mode: Some(mode), ..Default::default() };
        let mut object = RoleBasedGroupAutoscaler::new(name, spec);
        object.metadata.namespace = Some("a".to_owned());
        WorldEvent::Autoscaler(Event::Apply(DeserializeGuard(Ok(object))))
    }

    fn touched(group: &str, asks: bool) -> Touched {
        Touched { group: ObjectKey::new("a", group), asks }
    }

    #[test]
    fn a_policy_that_names_another_group_concerns_both() {
        let mut world = World::default();
        assert_eq!(world.take(autoscaler("p", "one", Mode::Enforce)), [touched("one", true)]);
        assert_eq!(world.take(autoscaler("p", "one", Mode::Enforce)), [touched("one", false)], "nothing new");
        assert_eq!(world.take(autoscaler("p", "one", Mode::Recommend)), [touched("one", true)]);
        assert_eq!(
            world.take(autoscaler("p", "two", Mode::Recommend)),
            [touched("one", true), touched("two", true)]
        );
        assert_eq!(world.policies_of(&ObjectKey::new("a", "one")).count(), 0);
        assert_eq!(
            world.policies_of(&ObjectKey::new("a", "two")).collect::<Vec<_>>(),
            [ObjectKey::new("a", "p")]
        );
        assert_eq!(*world.all_groups(), [ObjectKey::new("a", "two")]);
        assert!(world.take_lost(), "nothing scales the first any more");
        assert!(!world.take_lost());
        world.take(WorldEvent::Autoscaler(Event::Delete(deleted("p", "two"))));
        assert!(world.all_groups().is_empty() && world.take_lost());
    }

    #[test]
    fn the_status_of_a_group_asks_for_nothing() {
        let group = |replicas: i32, ready: i32| {
            let object = serde_json::from_value(serde_json::json!({
                "apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup", "metadata": {"name": "g", "namespace": "a"},
                "spec": {"roles": [{"name": "decode", "replicas": replicas}]},
                "status": {"roleStatuses": [{"name": "decode", "readyReplicas": ready}]}
            }));
            WorldEvent::Group(Event::Apply(object.expect("a group")))
        };
        let mut world = World::default();
        assert_eq!(world.take(group(1, 0)), [touched("g", true)]);
        assert_eq!(world.take(group(1, 1)), [touched("g", false)]);
        assert_eq!(world.take(group(2, 1)), [touched("g", true)]);
    }
}
