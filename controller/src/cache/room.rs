//! [`Room`]: the room of the cluster as the API server told it; watched only while somebody needs it.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::watcher::Event;
use rbg_autoscaler::scaling::{CapacityObservation, Reservation};

use super::{nodes::NodeIndex, occupant::Occupant, store::ObjectKey, tenants::Tenants};

/// Lists that take longer than this are not waited for.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// What the watches of nodes and of all pods tell.
#[derive(Debug)]
pub enum RoomEvent {
    /// Of a node.
    Node(Box<Event<Node>>),
    /// Of any pod of the cluster.
    Pod(Event<Occupant>),
    /// A watch broke and starts again.
    WatchBroke {
        /// The kind that it watches.
        kind: &'static str,
        /// Whether we may not read that kind.
        forbidden: bool,
    },
}

/// The room of the cluster.
#[derive(Debug, Default)]
pub struct Room {
    nodes: NodeIndex,
    tenants: Tenants,
    /// Kinds that may not be read.
    forbidden: BTreeSet<&'static str>,
    /// When somebody first needed it.
    needed_since: Option<Timestamp>,
    freed: bool,
}

impl Room {
    /// Takes an event in.
    pub fn take(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::Node(event) => {
                self.allow("nodes", &event);
                self.freed |= self.nodes.take(*event);
            }
            RoomEvent::Pod(event) => {
                self.allow("pods", &event);
                self.freed |= self.tenants.take(event);
            }
            RoomEvent::WatchBroke { kind, forbidden } => {
                if forbidden && self.forbidden.insert(kind) {
                    // Whoever waits for the lists waits in vain.
                    self.freed = true;
                }
            }
        }
    }

    /// What is told may be read again; a list that is done is news whatever it says.
    fn allow<K>(&mut self, kind: &str, event: &Event<K>) {
        self.forbidden.remove(kind);
        self.freed |= matches!(event, Event::InitDone);
    }

    /// Takes note that somebody needs to know the room.
    pub fn need(&mut self, now: Timestamp) {
        self.needed_since.get_or_insert(now);
    }

    /// Returns whether the first lists are still under way.
    pub fn is_awaited(&self, now: Timestamp) -> bool {
        let waited = self.needed_since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
        !self.is_known() && self.forbidden.is_empty() && waited < PATIENCE
    }

    fn is_known(&self) -> bool {
        self.nodes.is_complete() && self.tenants.is_complete() && self.forbidden.is_empty()
    }

    /// Returns whether there may be more room than when this was last asked.
    pub fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// Returns the pods.
    pub const fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Returns what a decision sees of the room; `listed` are pods that it may want to think away.
    pub fn seen<'p>(
        &mut self,
        listed: impl IntoIterator<Item = &'p ObjectKey>,
        reserved: Vec<Reservation>,
    ) -> CapacityObservation {
        if !self.is_known() {
            let unknown = Some(self.trouble());
            return CapacityObservation { unknown, ..CapacityObservation::default() };
        }
        let (taken, mut pods): (_, Vec<Arc<Pod>>) = self.tenants.taken_without(listed);
        pods.extend(self.tenants.waiting().cloned());
        CapacityObservation { nodes: Some(self.nodes.all()), unknown: None, pods, taken, reserved }
    }

    fn trouble(&self) -> String {
        if self.forbidden.is_empty() {
            return "nodes and pods have not been listed yet".to_owned();
        }
        let kinds: Vec<_> = self.forbidden.iter().copied().collect();
        let kinds = kinds.join(" and ");
        format!(
            "the controller may not list {kinds} of the cluster (grant list and watch at the cluster scope)"
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    fn unknown(room: &mut Room) -> Option<String> {
        room.seen([], Vec::new()).unknown
    }

    #[test]
    fn room_is_known_once_both_lists_are_done() {
        let mut room = Room::default();
        room.need(at(0));
        room.need(at(20));
        assert!(room.is_awaited(at(29)) && !room.is_awaited(at(30)));
        assert_eq!(unknown(&mut room).as_deref(), Some("nodes and pods have not been listed yet"));
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n"}})).expect("a node");
        for event in [Event::Init, Event::InitApply(node), Event::InitDone] {
            room.take(RoomEvent::Node(Box::new(event)));
        }
        assert!(room.is_awaited(at(1)));
        room.take(RoomEvent::Pod(Event::InitDone));
        assert!(!room.is_awaited(at(1)) && room.take_freed() && !room.take_freed());
        let seen = room.seen([], Vec::new());
        assert_eq!((seen.unknown, seen.nodes.map(|nodes| nodes.len())), (None, Some(1)));
    }

    #[test]
    fn what_may_not_be_read_is_said_until_it_may() {
        let mut room = Room::default();
        room.need(at(0));
        room.take(RoomEvent::WatchBroke { kind: "pods", forbidden: false });
        assert!(room.is_awaited(at(1)), "a watch that only broke starts again");
        room.take(RoomEvent::WatchBroke { kind: "pods", forbidden: true });
        room.take(RoomEvent::WatchBroke { kind: "nodes", forbidden: true });
        assert!(!room.is_awaited(at(1)) && room.take_freed(), "nobody waits for it");
        let said = unknown(&mut room).expect("said");
        assert_eq!(
            said,
            "the controller may not list nodes and pods of the cluster (grant list and watch at the cluster scope)"
        );
        for event in [Event::Init, Event::InitDone] {
            room.take(RoomEvent::Node(Box::new(event)));
        }
        for event in [Event::Init, Event::InitDone] {
            room.take(RoomEvent::Pod(event));
        }
        assert_eq!(unknown(&mut room), None);
    }
}
