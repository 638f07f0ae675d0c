//! What one pod asks of a node, counted as the scheduler counts it.
//!
//! Containers and sidecars run together; before that the other init containers run one after another beside the
//! sidecars that started earlier. What is asked for is the larger of both, plus overhead. Requests at the level of the
//! pod replace that sum for the resources they name. An absent request is its limit, as the API server fills it in:
//! templates have not been through it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{Container, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::units::MilliValue;

/// What stands for a quantity that cannot be read: more than any node has.
pub(super) const UNREADABLE: i64 = i64::MAX;

type Quantities = Option<BTreeMap<String, Quantity>>;

/// Returns the names of all resources that the pod asks for.
pub(super) fn names(spec: &PodSpec) -> BTreeSet<&str> {
    quantities(spec).flatten().flat_map(BTreeMap::keys).map(String::as_str).collect()
}

/// Whether every quantity that the pod asks for can be read.
pub(super) fn is_readable(spec: &PodSpec) -> bool {
    quantities(spec).flatten().flatten().all(|(_, Quantity(text))| text.parse::<MilliValue>().is_ok())
}

/// All quantities that the pod asks for.
fn quantities(spec: &PodSpec) -> impl Iterator<Item = &Quantities> {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let of_containers = containers.filter_map(|container| container.resources.as_ref());
    of_containers
        .chain(&spec.resources)
        .flat_map(|resources| [&resources.requests, &resources.limits])
        .chain([&spec.overhead])
}

/// Returns how much of a resource the pod asks for, in thousandths.
///
/// `pod_level` says whether requests at the level of the pod count.
pub(super) fn of_pod(spec: &PodSpec, name: &str, pod_level: bool) -> i64 {
    let overhead = quantity(&spec.overhead, name).unwrap_or(0);
    let containers = of_containers(spec, name);
    let own = spec.resources.as_ref().filter(|_| pod_level && has_pod_level(name));
    let asked = match own {
        Some(own) => match (quantity(&own.requests, name), containers) {
            (Some(request), _) => request,
            (None, Some(containers)) => containers,
            (None, None) => quantity(&own.limits, name).unwrap_or(0),
        },
        None => containers.unwrap_or(0),
    };
    asked.saturating_add(overhead)
}

/// The most that containers and init containers ask for at one time; `None` when none names the resource.
fn of_containers(spec: &PodSpec, name: &str) -> Option<i64> {
    let mut named = false;
    let mut asked = |container: &Container| {
        let asked = container.resources.as_ref().and_then(|resources| request(resources, name));
        named |= asked.is_some();
        asked.unwrap_or(0)
    };
    let (mut sidecars, mut peak) = (0_i64, 0_i64);
    for container in spec.init_containers.iter().flatten() {
        let own = asked(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = sidecars.saturating_add(own);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars.saturating_add(own));
        }
    }
    let running =
        spec.containers.iter().fold(sidecars, |sum, container| sum.saturating_add(asked(container)));
    named.then_some(running.max(peak))
}

fn request(resources: &ResourceRequirements, name: &str) -> Option<i64> {
    quantity(&resources.requests, name).or_else(|| quantity(&resources.limits, name))
}

fn has_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

fn quantity(quantities: &Quantities, name: &str) -> Option<i64> {
    let Quantity(text) = quantities.as_ref()?.get(name)?;
    Some(text.parse::<MilliValue>().map_or(UNREADABLE, |value| value.milli().max(0)))
}

/// Returns how much of a resource a node can give, in thousandths; nothing of what it does not name, `None` when that
/// cannot be read.
pub(super) fn allocatable(quantities: &Quantities, name: &str) -> Option<i64> {
    let Some(Quantity(text)) = quantities.as_ref().and_then(|quantities| quantities.get(name)) else {
        return Some(0);
    };
    text.parse().ok().map(MilliValue::milli)
}

/// Returns the ports that the pod takes on its node, as (number, protocol).
///
/// Addresses are not looked at: two pods with the same port never share a node here, although they might.
pub(super) fn host_ports(spec: &PodSpec) -> BTreeSet<(i32, &str)> {
    let on_host = spec.host_network == Some(true);
    let containers = spec.containers.iter().chain(
        spec.init_containers.iter().flatten().filter(|init| init.restart_policy.as_deref() == Some("Always")),
    );
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port
                .host_port
                .filter(|number| *number > 0)
                .or_else(|| on_host.then_some(port.container_port))?;
            Some((number, port.protocol.as_deref().unwrap_or("TCP")))
        })
        .collect()
}

/// Returns what the pod asks for that nothing here models.
pub(super) fn not_modelled(spec: &PodSpec) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    if let Some(affinity) = &spec.affinity {
        let required = |terms: Option<usize>| terms.is_some_and(|terms| terms > 0);
        let near = affinity.pod_affinity.as_ref();
        let apart = affinity.pod_anti_affinity.as_ref();
        if required(
            near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref())
                .map(Vec::len),
        ) || required(
            apart
                .and_then(|apart| apart.required_during_scheduling_ignored_during_execution.as_ref())
                .map(Vec::len),
        ) {
            found.insert("pod affinity");
        }
    }
    if spec
        .topology_spread_constraints
        .iter()
        .flatten()
        .any(|spread| spread.when_unsatisfiable != "ScheduleAnyway")
    {
        found.insert("topology spread");
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        found.insert("resource claims");
    }
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        found.insert("scheduling gates");
    }
    let free = |volume: &k8s_openapi::api::core::v1::Volume| {
        volume.config_map.is_some()
            || volume.downward_api.is_some()
            || volume.empty_dir.is_some()
            || volume.git_repo.is_some()
            || volume.host_path.is_some()
            || volume.image.is_some()
            || volume.nfs.is_some()
            || volume.projected.is_some()
            || volume.secret.is_some()
    };
    if spec.volumes.iter().flatten().any(|volume| !free(volume)) {
        found.insert("volumes");
    }
    found
}

#[cfg(test)]
mod tests;
