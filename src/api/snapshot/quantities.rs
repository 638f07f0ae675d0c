//! Quantities inside core/v1 objects: their types take any text, so what cannot be read is told here.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Node, Pod, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{api::autoscaler::Problem, units::MilliValue};

/// Complains about what pods ask for and cannot be read.
pub(super) fn of_pods(problems: &mut Vec<Problem>, path: &str, pods: &[Pod]) {
    for (index, pod) in pods.iter().enumerate() {
        if let Some(spec) = &pod.spec {
            of_pod(problems, &format!("{path}.pods[{index}].spec"), spec);
        }
    }
}

/// Complains about what a pod asks for and cannot be read.
pub(super) fn of_pod(problems: &mut Vec<Problem>, path: &str, spec: &PodSpec) {
    let lists = [("containers", Some(&spec.containers)), ("initContainers", spec.init_containers.as_ref())];
    for (list, containers) in lists {
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let Container { resources: Some(resources), .. } = container else { continue };
            of_resources(problems, &format!("{path}.{list}[{index}].resources"), resources);
        }
    }
    if let Some(resources) = &spec.resources {
        of_resources(problems, &format!("{path}.resources"), resources);
    }
    of_map(problems, &format!("{path}.overhead"), spec.overhead.as_ref());
}

/// Complains about what a node can give and cannot be read.
pub(super) fn of_node(problems: &mut Vec<Problem>, path: &str, node: &Node) {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    of_map(problems, &format!("{path}.status.allocatable"), allocatable);
}

fn of_resources(problems: &mut Vec<Problem>, path: &str, resources: &ResourceRequirements) {
    of_map(problems, &format!("{path}.requests"), resources.requests.as_ref());
    of_map(problems, &format!("{path}.limits"), resources.limits.as_ref());
}

fn of_map(problems: &mut Vec<Problem>, path: &str, quantities: Option<&BTreeMap<String, Quantity>>) {
    for (name, Quantity(text)) in quantities.into_iter().flatten() {
        let message = match text.parse::<MilliValue>() {
            Ok(value) if value >= MilliValue::ZERO => continue,
            Ok(_) => format!("{text:?} is below zero; write 0 or more"),
            Err(error) => error.to_string(),
        };
        problems.push(Problem { field: format!("{path}.{name}"), message });
    }
}
