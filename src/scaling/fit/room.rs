//! [`Room`]: what is free on each node, and where pods are put.
//!
//! Taken off what a node can give: the pods on it (those being deleted too, until they are gone), what earlier decisions
//! reserved, and pods that wait for a node, each put where it fits best; one that fits nowhere takes no room, since the
//! scheduler passes it over as well. Preemption is never counted on.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};

use super::{request, site};
use crate::{scaling::observation::Reservation, units::MilliValue};

/// The resource of which each pod takes one.
pub(super) const PODS: &str = "pods";
const ONE: i64 = 1000;
/// Waiting pods are compared with this many kinds; pods of one workload stand side by side.
const KINDS: usize = 8;

/// What is free on each node.
#[derive(Clone, Debug)]
pub(super) struct Room<'a> {
    /// By name.
    pub nodes: Vec<&'a Node>,
    /// The resources that are looked at, in order; `pods` is one of them.
    pub resources: Vec<&'a str>,
    /// By node, then by resource, in thousandths; below zero where more is taken than there is.
    pub free: Vec<Vec<i64>>,
    /// By resource: whether it is a device.
    devices: Vec<bool>,
    /// By node: what is free of devices, and of all else but `pods`, each in one sum.
    rests: Vec<(i64, i64)>,
    ports: Vec<BTreeSet<(i32, &'a str)>>,
    pod_level: bool,
}

/// What one pod needs, of a kind of pods that are all alike.
#[derive(Clone, Debug)]
pub(super) struct Need<'a> {
    pub spec: &'a PodSpec,
    /// By resource, as in [`Room::resources`].
    pub requests: Vec<i64>,
    /// The nodes that take such a pod, apart from their room.
    pub nodes: Vec<usize>,
    ports: BTreeSet<(i32, &'a str)>,
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
            free: Vec::with_capacity(nodes.len()),
            rests: vec![(0, 0); nodes.len()],
            ports: vec![BTreeSet::new(); nodes.len()],
            nodes,
            pod_level,
        };
        for node in &room.nodes {
            let given = node.status.as_ref().map_or(&None, |status| &status.allocatable);
            let unlimited = given.as_ref().is_none_or(|given| !given.contains_key(PODS));
            let of = |resource: &&str| {
                if *resource == PODS && unlimited { i64::MAX } else { request::allocatable(given, resource) }
            };
            room.free.push(room.resources.iter().map(of).collect());
        }
        (0..room.nodes.len()).for_each(|at| room.sum_up(at));
        let place: BTreeMap<&str, usize> =
            room.nodes.iter().enumerate().map(|(at, node)| (name(node), at)).collect();
        for pod in pods {
            let Some(spec) = pod.spec.as_ref().filter(|_| !has_ended(pod)) else { continue };
            let Some(at) = spec.node_name.as_deref().and_then(|node| place.get(node)) else { continue };
            room.take(*at, &room.requests(spec), &request::host_ports(spec));
        }
        for reservation in reserved {
            let Some(at) = place.get(reservation.node.as_str()) else { continue };
            let of = |resource: &&str| {
                let own = reservation.requests.iter().filter(|(name, _)| name == resource);
                own.fold(0_i64, |sum, (_, value)| sum.saturating_add(value.milli().max(0)))
            };
            let requests: Vec<_> = room.resources.iter().map(of).collect();
            let ports = reservation.ports.iter().map(|(number, protocol)| (*number, protocol.as_str()));
            room.take(*at, &requests, &ports.collect());
        }
        room
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
        let mut kinds: Vec<(Need<'a>, bool)> = Vec::new();
        for (_, spec) in waiting {
            let known = kinds.iter().rev().take(KINDS).position(|(need, _)| need.spec == spec);
            let at = known.map_or(kinds.len(), |back| kinds.len() - 1 - back);
            if at == kinds.len() {
                kinds.push((self.need(spec), true));
            }
            let Some((need, open)) = kinds.get_mut(at) else { continue };
            if *open {
                *open = self.put(need).is_some();
            }
        }
    }

    /// Returns what a pod needs here.
    pub fn need(&self, spec: &'a PodSpec) -> Need<'a> {
        let nodes = self.nodes.iter().enumerate().filter(|(_, node)| site::admits(node, spec).is_ok());
        Need {
            spec,
            requests: self.requests(spec),
            nodes: nodes.map(|(at, _)| at).collect(),
            ports: request::host_ports(spec),
        }
    }

    /// Puts one pod on the node that it fills best; `None` when no node has room.
    pub fn put(&mut self, need: &Need<'a>) -> Option<usize> {
        let at =
            need.nodes.iter().copied().filter(|at| self.holds(*at, need)).min_by_key(|at| self.rest(*at))?;
        self.put_at(at, need);
        Some(at)
    }

    /// Puts pods on nodes, all of them or none; returns the node of each.
    ///
    /// The choosiest and largest go first. If putting each where it fits best leaves one without, other places are tried
    /// for as long as `patience` lasts.
    pub fn put_all(&mut self, needs: &[&Need<'a>], patience: u32) -> Option<Vec<(usize, usize)>> {
        let mut order: Vec<usize> = (0..needs.len()).collect();
        order.sort_by_key(|at| {
            needs.get(*at).map(|need| (need.nodes.len(), std::cmp::Reverse(self.weight(need))))
        });
        let mut placed = Vec::with_capacity(order.len());
        for pod in &order {
            let Some(at) = needs.get(*pod).and_then(|need| self.put(need)) else { break };
            placed.push((*pod, at));
        }
        if placed.len() == order.len() {
            return Some(placed);
        }
        for (pod, at) in placed.drain(..) {
            if let Some(need) = needs.get(pod) {
                self.remove(at, need);
            }
        }
        // Pods that are all alike are put as well as can be: each node holds as many of them whatever the others hold.
        let alike = needs.iter().all(|need| needs.first().is_some_and(|first| std::ptr::eq(*first, *need)));
        let mut patience = if alike { 0 } else { patience };
        self.search(needs, &order, &mut placed, &mut patience).then_some(placed)
    }

    fn search(
        &mut self,
        needs: &[&Need<'a>],
        order: &[usize],
        placed: &mut Vec<(usize, usize)>,
        patience: &mut u32,
    ) -> bool {
        let Some((pod, rest)) = order.split_first() else { return true };
        let Some(need) = needs.get(*pod) else { return false };
        let mut choices: Vec<usize> = need.nodes.iter().copied().filter(|at| self.holds(*at, need)).collect();
        choices.sort_unstable_by_key(|at| self.rest(*at));
        for at in choices {
            let Some(left) = patience.checked_sub(1) else { return false };
            *patience = left;
            self.put_at(at, need);
            placed.push((*pod, at));
            if self.search(needs, rest, placed, patience) {
                return true;
            }
            placed.pop();
            self.remove(at, need);
        }
        false
    }

    /// Whether the node has room for the pod now.
    pub fn holds(&self, at: usize, need: &Need<'_>) -> bool {
        let Some(free) = self.free.get(at) else { return false };
        let enough = free.iter().zip(&need.requests).all(|(free, asked)| *asked == 0 || asked <= free);
        enough && self.ports.get(at).is_some_and(|taken| taken.is_disjoint(&need.ports))
    }

    /// Takes a pod off a node again.
    pub fn remove(&mut self, at: usize, need: &Need<'_>) {
        for (free, asked) in self.free.get_mut(at).into_iter().flatten().zip(&need.requests) {
            *free = free.saturating_add(*asked);
        }
        if let Some(taken) = self.ports.get_mut(at) {
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
        for (free, asked) in self.free.get_mut(at).into_iter().flatten().zip(requests) {
            *free = free.saturating_sub(*asked);
        }
        if let Some(taken) = self.ports.get_mut(at) {
            taken.extend(ports);
        }
        self.sum_up(at);
    }

    fn requests(&self, spec: &PodSpec) -> Vec<i64> {
        let of = |resource: &&str| {
            if *resource == PODS { ONE } else { request::of_pod(spec, resource, self.pod_level) }
        };
        self.resources.iter().map(of).collect()
    }

    /// Orders nodes by what is free on them, the fullest first: by devices, since they are scarce and must not be broken up;
    /// then by the rest.
    ///
    /// What a pod takes is the same on every node, so this is also the order of what would stay free.
    fn rest(&self, at: usize) -> (i64, i64, usize) {
        let (devices, others) = self.rests.get(at).copied().unwrap_or_default();
        (devices, others, at)
    }

    /// Keeps `rests` in step with `free`.
    fn sum_up(&mut self, at: usize) {
        let (mut devices, mut others) = (0_i64, 0_i64);
        let free = self.free.get(at).into_iter().flatten();
        for ((free, resource), device) in free.zip(&self.resources).zip(&self.devices) {
            match (*resource, *device) {
                (PODS, _) => {}
                (_, true) => devices = devices.saturating_add(*free),
                (_, false) => others = others.saturating_add(*free),
            }
        }
        if let Some(rest) = self.rests.get_mut(at) {
            *rest = (devices, others);
        }
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
