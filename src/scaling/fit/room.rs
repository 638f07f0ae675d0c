//! [`Room`]: what is free on each node, and where pods are put.
//!
//! Taken off what a node can give: the pods on it (those being deleted too, until they are gone), what earlier decisions
//! reserved, and pods that wait for a node, each put where it fits best; one that fits nowhere takes no room, since the
//! scheduler passes it over as well. Preemption is never counted on.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};

use super::{need::Need, request, site};
use crate::{scaling::observation::Reservation, units::MilliValue};

/// The resource of which each pod takes one.
pub(super) const PODS: &str = "pods";
const ONE: i64 = 1000;

/// What is free on each node.
#[derive(Clone, Debug)]
pub(super) struct Room<'a> {
    /// By name.
    pub nodes: Vec<&'a Node>,
    /// The resources that are looked at, in order; `pods` is one of them.
    pub resources: Vec<&'a str>,
    /// The first quantity that could not be read, and whose it is: the room is not known then.
    pub unreadable: Option<String>,
    /// By node, then by resource, in thousandths; below zero where more is taken than there is.
    free: Vec<i64>,
    /// By resource: whether it is a device.
    devices: Vec<bool>,
    /// By node: what is free of devices, and of all else but `pods`, each in one sum.
    rests: Vec<(i64, i64)>,
    ports: Vec<BTreeSet<(i32, &'a str)>>,
    /// The nodes whose room changed, one after another.
    changed: Vec<usize>,
    pod_level: bool,
}

/// Orders nodes by what is free on them, the fullest first: by devices, since they are scarce and must not be broken up;
/// then by the rest, then by name.
///
/// What a pod takes is the same on every node, so this is also the order of what would stay free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rest {
    devices: i64,
    others: i64,
    at: usize,
}

impl Rest {
    /// The node.
    pub const fn node(self) -> usize {
        self.at
    }
}

impl<'a> Room<'a> {
    /// Returns the room of the nodes beside the pods on them and the reservations.
    ///
    /// Only the resources are looked at that `specs` ask for.
    pub fn new(
        nodes: &'a [Node],
        pods: &[&'a Pod],
        reserved: impl IntoIterator<Item = &'a Reservation>,
        specs: &[&'a PodSpec],
        pod_level: bool,
    ) -> Self {
        let mut resources: BTreeSet<&str> = specs.iter().flat_map(|spec| request::names(spec)).collect();
        resources.insert(PODS);
        let mut nodes: Vec<_> = nodes.iter().collect();
        nodes.sort_by_key(|node| name(node));
        let mut room = Self {
            devices: resources.iter().map(|resource| is_device(resource)).collect(),
            resources: resources.into_iter().collect(),
            unreadable: None,
            free: Vec::new(),
            rests: vec![(0, 0); nodes.len()],
            ports: vec![BTreeSet::new(); nodes.len()],
            changed: Vec::new(),
            nodes,
            pod_level,
        };
        room.give();
        for pod in pods {
            let Some(spec) = pod.spec.as_ref().filter(|_| !has_ended(pod)) else { continue };
            let Some(at) = spec.node_name.as_deref().and_then(|node| room.place(node)) else { continue };
            let requests = room.requests(spec);
            if requests.contains(&request::UNREADABLE) {
                let pod = pod.metadata.name.as_deref().unwrap_or_default();
                room.unreadable.get_or_insert_with(|| format!("the requests of pod {pod} cannot be read"));
            }
            room.take(at, &requests, &request::host_ports(spec));
        }
        for reservation in reserved {
            let Some(at) = room.place(&reservation.node) else { continue };
            let of = |resource: &&str| {
                let own = reservation.requests.iter().filter(|(name, _)| name == resource);
                own.fold(0_i64, |sum, (_, value)| sum.saturating_add(value.milli().max(0)))
            };
            let requests: Vec<_> = room.resources.iter().map(of).collect();
            let ports = reservation.ports.iter().map(|(number, protocol)| (*number, protocol.as_str()));
            room.take(at, &requests, &ports.collect());
        }
        room.changed.clear();
        room
    }

    /// Starts with what the nodes can give.
    fn give(&mut self) {
        self.free.reserve(self.nodes.len() * self.resources.len());
        for node in &self.nodes {
            let given = node.status.as_ref().map_or(&None, |status| &status.allocatable);
            let unlimited = given.as_ref().is_none_or(|given| !given.contains_key(PODS));
            for resource in &self.resources {
                self.free.push(if *resource == PODS && unlimited {
                    i64::MAX
                } else if let Some(given) = request::allocatable(given, resource) {
                    given
                } else {
                    let words = || format!("{resource} of node {} cannot be read", name(node));
                    self.unreadable.get_or_insert_with(words);
                    0
                });
            }
        }
        (0..self.nodes.len()).for_each(|at| self.sum_up(at));
    }

    /// Puts pods that wait for a node where they fit best: those of at least that priority, the highest first.
    pub fn seat(&mut self, pods: &[&'a Pod], priority: i32) {
        let mut waiting: Vec<(&'a Pod, &'a PodSpec)> = pods
            .iter()
            .copied()
            .filter(|pod| !has_ended(pod) && pod.metadata.deletion_timestamp.is_none())
            .filter_map(|pod| Some((pod, pod.spec.as_ref()?)))
            .filter(|(_, spec)| spec.node_name.as_ref().is_none_or(String::is_empty))
            .filter(|(_, spec)| spec.priority.unwrap_or(0) >= priority)
            .collect();
        waiting.sort_by_key(|(pod, spec)| {
            let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (-i64::from(spec.priority.unwrap_or(0)), created, &pod.metadata.namespace, &pod.metadata.name)
        });
        // Pods of one workload are alike: what a node takes is asked once, and once one found no room, none does.
        let mut kinds: Vec<Option<Need<'a>>> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut last: Option<(&PodSpec, usize)> = None;
        for (_, spec) in waiting {
            let kind = match last {
                Some((same, kind)) if same == spec => kind,
                _ => *known.entry(self.likeness(spec)).or_insert_with(|| {
                    kinds.push(Some(Need::now(self, spec)));
                    kinds.len() - 1
                }),
            };
            last = Some((spec, kind));
            if let Some(slot) = kinds.get_mut(kind)
                && let Some(need) = slot
                && self.put(need).is_none()
            {
                *slot = None;
            }
        }
        self.changed.clear();
    }

    /// What makes two pods alike here: they fit on the same nodes.
    fn likeness(&self, spec: &PodSpec) -> String {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required = affinity
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        let requests = self.requests(spec);
        let ports = request::host_ports(spec);
        format!("{requests:?} {ports:?} {:?} {:?} {required:?}", spec.node_selector, spec.tolerations)
    }

    /// The nodes that take a pod, apart from their room.
    pub fn takers(&self, spec: &PodSpec) -> impl Iterator<Item = usize> {
        let takers = self.nodes.iter().enumerate().filter(move |(_, node)| site::admits(node, spec).is_ok());
        takers.map(|(at, _)| at)
    }

    /// Puts one pod on the node that it fills best; `None` when no node has room.
    pub fn put(&mut self, need: &mut Need<'a>) -> Option<usize> {
        let at = need.fullest(self)?;
        self.put_at(at, need);
        Some(at)
    }

    /// Puts pods on nodes, all of them or none; returns the node of each. Each pod is told by its kind's place in `needs`.
    ///
    /// The choosiest and largest go first. If putting each where it fits best leaves one without, other places are tried
    /// for as long as `patience` lasts.
    pub fn put_all(
        &mut self,
        needs: &mut [Need<'a>],
        pods: &[usize],
        patience: u32,
    ) -> Option<Vec<(usize, usize)>> {
        let mut order: Vec<usize> = (0..pods.len()).collect();
        order.sort_by_key(|pod| {
            let need = pods.get(*pod).and_then(|kind| needs.get(*kind));
            need.map(|need| (need.nodes.len(), std::cmp::Reverse(self.weight(need))))
        });
        let mut placed = Vec::with_capacity(order.len());
        for pod in &order {
            let need = pods.get(*pod).and_then(|kind| needs.get_mut(*kind));
            let Some(at) = need.and_then(|need| self.put(need)) else { break };
            placed.push((*pod, at));
        }
        if placed.len() == order.len() {
            return Some(placed);
        }
        for (pod, at) in placed.drain(..) {
            if let Some(need) = pods.get(pod).and_then(|kind| needs.get(*kind)) {
                self.remove(at, need);
            }
        }
        // Pods that are all alike are put as well as can be: each node holds as many of them whatever the others hold.
        let alike = pods.iter().all(|kind| Some(kind) == pods.first());
        let mut patience = if alike { 0 } else { patience };
        self.search((needs, pods), &order, &mut placed, &mut patience).then_some(placed)
    }

    fn search(
        &mut self,
        (needs, pods): (&mut [Need<'a>], &[usize]),
        order: &[usize],
        placed: &mut Vec<(usize, usize)>,
        patience: &mut u32,
    ) -> bool {
        let Some((pod, rest)) = order.split_first() else { return true };
        let Some(kind) = pods.get(*pod).copied() else { return false };
        let most = usize::try_from(*patience).unwrap_or(usize::MAX).saturating_add(1);
        let choices = needs.get_mut(kind).map(|need| need.choices(self, most));
        for at in choices.unwrap_or_default() {
            let Some(left) = patience.checked_sub(1) else { return false };
            *patience = left;
            if let Some(need) = needs.get(kind) {
                self.put_at(at, need);
            }
            placed.push((*pod, at));
            if self.search((needs, pods), rest, placed, patience) {
                return true;
            }
            placed.pop();
            if let Some(need) = needs.get(kind) {
                self.remove(at, need);
            }
        }
        false
    }

    /// Whether the node has room for the pod now.
    pub fn holds(&self, at: usize, need: &Need<'_>) -> bool {
        let enough =
            self.free(at).iter().zip(&need.requests).all(|(free, asked)| *asked == 0 || asked <= free);
        enough
            && (need.ports.is_empty()
                || self.ports.get(at).is_some_and(|taken| taken.is_disjoint(&need.ports)))
    }

    /// What is free on a node, by resource.
    pub fn free(&self, at: usize) -> &[i64] {
        let size = self.resources.len();
        self.free.get(at * size..(at + 1) * size).unwrap_or_default()
    }

    /// What is free on all nodes, node by node, to compare with what is free later.
    pub fn all_free(&self) -> Vec<i64> {
        self.free.clone()
    }

    /// How often the room of a node changed.
    pub const fn changes(&self) -> usize {
        self.changed.len()
    }

    /// The nodes whose room changed after so many changes.
    pub fn changes_since(&self, changes: usize) -> &[usize] {
        self.changed.get(changes..).unwrap_or_default()
    }

    /// Takes a pod off a node again.
    pub fn remove(&mut self, at: usize, need: &Need<'_>) {
        for (free, asked) in self.free_mut(at).iter_mut().zip(&need.requests) {
            *free = free.saturating_add(*asked);
        }
        if let Some(taken) = self.ports.get_mut(at).filter(|_| !need.ports.is_empty()) {
            taken.retain(|port| !need.ports.contains(port));
        }
        self.sum_up(at);
    }

    /// Returns what the pod takes of a node, as a reservation.
    pub fn reservation(&self, at: usize, need: &Need<'_>) -> Reservation {
        let requests = self.resources.iter().zip(&need.requests).filter(|(_, asked)| **asked > 0);
        Reservation {
            node: self.nodes.get(at).map(|node| name(node).to_owned()).unwrap_or_default(),
            requests: requests
                .map(|(resource, asked)| ((*resource).to_owned(), MilliValue::from_milli(*asked)))
                .collect(),
            ports: need.ports.iter().map(|(number, protocol)| (*number, (*protocol).to_owned())).collect(),
        }
    }

    fn put_at(&mut self, at: usize, need: &Need<'a>) {
        self.take(at, &need.requests, &need.ports);
    }

    fn take(&mut self, at: usize, requests: &[i64], ports: &BTreeSet<(i32, &'a str)>) {
        for (free, asked) in self.free_mut(at).iter_mut().zip(requests) {
            *free = free.saturating_sub(*asked);
        }
        if let Some(taken) = self.ports.get_mut(at) {
            taken.extend(ports);
        }
        self.sum_up(at);
    }

    /// What a pod asks for, by resource.
    pub fn requests(&self, spec: &PodSpec) -> Vec<i64> {
        let of = |resource: &&str| {
            if *resource == PODS { ONE } else { request::of_pod(spec, resource, self.pod_level) }
        };
        self.resources.iter().map(of).collect()
    }

    /// Where a node stands in the order.
    pub fn rest(&self, at: usize) -> Rest {
        let (devices, others) = self.rests.get(at).copied().unwrap_or_default();
        Rest { devices, others, at }
    }

    fn place(&self, node: &str) -> Option<usize> {
        self.nodes.binary_search_by(|other| name(other).cmp(node)).ok()
    }

    fn free_mut(&mut self, at: usize) -> &mut [i64] {
        let size = self.resources.len();
        self.free.get_mut(at * size..(at + 1) * size).unwrap_or_default()
    }

    /// Keeps `rests` in step with `free`, and notes the change.
    fn sum_up(&mut self, at: usize) {
        let (mut devices, mut others) = (0_i64, 0_i64);
        for ((free, resource), device) in self.free(at).iter().zip(&self.resources).zip(&self.devices) {
            match (*resource, *device) {
                (PODS, _) => {}
                (_, true) => devices = devices.saturating_add(*free),
                (_, false) => others = others.saturating_add(*free),
            }
        }
        if let Some(rest) = self.rests.get_mut(at) {
            *rest = (devices, others);
        }
        self.changed.push(at);
    }

    fn weight(&self, need: &Need<'_>) -> (i64, i64) {
        let sum = |devices: bool| {
            let asked = need.requests.iter().zip(&self.devices).filter(|(_, device)| **device == devices);
            asked.fold(0_i64, |sum, (asked, _)| sum.saturating_add(*asked))
        };
        (sum(true), sum(false))
    }
}

/// Whether a resource is a device, such as a GPU: named by a vendor.
pub(super) fn is_device(resource: &str) -> bool {
    resource.contains('/')
}

pub(super) fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests;
