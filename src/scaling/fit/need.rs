//! [`Need`]: what one pod of a kind needs, and which nodes have room for it.
//!
//! Looking for the fullest node that has room walks over all nodes the first time; from the second time on the nodes that
//! have room are kept in order, and only those are looked at again whose room changed. So placing many pods costs about
//! as much as looking at each node once, and the answer is that of the walk.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodSpec;

use super::{
    request,
    room::{Rest, Room},
    site,
};

/// What one pod needs, of a kind of pods that are all alike.
#[derive(Clone, Debug)]
pub(super) struct Need<'a> {
    pub spec: &'a PodSpec,
    /// By resource, as in [`Room::resources`].
    pub requests: Vec<i64>,
    /// The nodes that take such a pod, apart from their room.
    pub nodes: Vec<usize>,
    pub ports: BTreeSet<(i32, &'a str)>,
    lookup: Lookup,
}

/// How nodes are found.
#[derive(Clone, Debug, Default)]
enum Lookup {
    /// None was looked for yet.
    #[default]
    Never,
    /// One was found by walking over all.
    Once,
    /// They are kept in order.
    Ordered(Order),
}

/// The nodes that have room, in order, as of some change of the room.
#[derive(Clone, Debug, Default)]
struct Order {
    open: BTreeSet<Rest>,
    /// By node of the room.
    places: Vec<Place>,
    /// How many changes of the room are in.
    changes: usize,
}

/// Where a node stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// It takes no such pod.
    #[default]
    Barred,
    /// It has no room.
    Full,
    /// It has room, and stands there in the order.
    Open(Rest),
}

impl<'a> Need<'a> {
    /// Returns the need of such a pod, for any node that takes it.
    pub fn new(room: &Room<'a>, spec: &'a PodSpec) -> Self {
        let mut need = Self::nowhere(room, spec);
        need.nodes = room.takers(spec).collect();
        need
    }

    /// Returns the need of such a pod, for those nodes alone that have room for it now.
    ///
    /// That is enough as long as the room only shrinks.
    pub fn now(room: &Room<'a>, spec: &'a PodSpec) -> Self {
        let mut need = Self::nowhere(room, spec);
        let with_room = (0..room.nodes.len()).filter(|at| room.holds(*at, &need));
        need.nodes = with_room
            .filter(|at| room.nodes.get(*at).is_some_and(|node| site::admits(node, spec).is_ok()))
            .collect();
        need
    }

    fn nowhere(room: &Room<'a>, spec: &'a PodSpec) -> Self {
        Self {
            spec,
            requests: room.requests(spec),
            nodes: Vec::new(),
            ports: request::host_ports(spec),
            lookup: Lookup::Never,
        }
    }

    /// Returns the fullest node that has room.
    pub fn fullest(&mut self, room: &Room<'_>) -> Option<usize> {
        if let Lookup::Never = self.lookup {
            self.lookup = Lookup::Once;
            let holding = self.nodes.iter().filter(|at| room.holds(**at, self));
            return holding.map(|at| room.rest(*at)).min().map(Rest::node);
        }
        self.choices(room, 1).pop()
    }

    /// Returns that many of the nodes that have room, the fullest first.
    pub fn choices(&mut self, room: &Room<'_>, most: usize) -> Vec<usize> {
        let mut order = match std::mem::take(&mut self.lookup) {
            Lookup::Ordered(order) => order,
            _ => self.order(room),
        };
        for at in room.changes_since(order.changes) {
            order.look_again(*at, room.holds(*at, self).then(|| room.rest(*at)));
        }
        order.changes = room.changes();
        let choices = order.open.iter().take(most).map(|rest| rest.node()).collect();
        self.lookup = Lookup::Ordered(order);
        choices
    }

    fn order(&self, room: &Room<'_>) -> Order {
        let mut places = vec![Place::Barred; room.nodes.len()];
        for at in &self.nodes {
            if let Some(place) = places.get_mut(*at) {
                *place = if room.holds(*at, self) { Place::Open(room.rest(*at)) } else { Place::Full };
            }
        }
        let open = places.iter().filter_map(|place| match place {
            Place::Open(rest) => Some(*rest),
            _ => None,
        });
        Order { open: open.collect(), places, changes: room.changes() }
    }
}

impl Order {
    fn look_again(&mut self, at: usize, rest: Option<Rest>) {
        let Some(place) = self.places.get_mut(at).filter(|place| **place != Place::Barred) else { return };
        let next = rest.map_or(Place::Full, Place::Open);
        if let Place::Open(rest) = std::mem::replace(place, next)
            && Place::Open(rest) != next
        {
            self.open.remove(&rest);
        }
        if let Place::Open(rest) = next {
            self.open.insert(rest);
        }
    }
}
