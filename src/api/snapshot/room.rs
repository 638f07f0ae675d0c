//! The room of the cluster, and what is taken from the roles' own pods where a document leaves it out.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::core::v1::Pod;

use super::{CapacitySnapshot, ReservationSnapshot, quantities};
use crate::{
    api::autoscaler::Problem,
    scaling::{CapacityObservation, Reservation},
};

/// Complains about nodes without a name, or two of the same, and about what cannot be read.
pub(super) fn check(problems: &mut Vec<Problem>, wire: &CapacitySnapshot) {
    let mut known = BTreeSet::new();
    for (index, node) in wire.nodes.iter().flatten().enumerate() {
        let path = format!("capacity.nodes[{index}]");
        let message = match node.metadata.name.as_deref().filter(|name| !name.is_empty()) {
            None => Some("is missing; write the name of the node".to_owned()),
            Some(name) if !known.insert(name) => {
                Some(format!("{name:?} is there twice; write each node once"))
            }
            Some(_) => None,
        };
        problems.extend(message.map(|message| Problem { field: format!("{path}.metadata.name"), message }));
        quantities::of_node(problems, &path, node);
    }
    quantities::of_pods(problems, "capacity", &wire.pods);
    for (list, reservations) in [("reserved", Some(&wire.reserved)), ("taken", wire.taken.as_ref())] {
        for (index, reservation) in reservations.into_iter().flatten().enumerate() {
            for (at, text) in reservation.ports.iter().enumerate().filter(|(_, text)| port(text).is_none()) {
                problems.push(Problem {
                    field: format!("capacity.{list}[{index}].ports[{at}]"),
                    message: format!(
                        "{text:?} is no port; write a number up to 65535 and a protocol, such as \"8080/TCP\""
                    ),
                });
            }
        }
    }
}

/// Returns the room; pods of the roles that the document does not list again under `capacity` count as well.
pub(super) fn convert(wire: CapacitySnapshot, own: Vec<Pod>) -> Arc<CapacityObservation> {
    let listed: BTreeSet<String> = wire.pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
    let mut pods: Vec<Arc<Pod>> = wire.pods.into_iter().map(Arc::new).collect();
    let own = if wire.taken.is_some() { Vec::new() } else { own };
    pods.extend(
        own.into_iter()
            .filter(|pod| pod.metadata.name.as_ref().is_none_or(|name| !listed.contains(name)))
            .map(Arc::new),
    );
    Arc::new(CapacityObservation {
        nodes: wire.nodes.map(Arc::new),
        unknown: wire.unknown,
        pods,
        taken: Arc::new(wire.taken.into_iter().flatten().map(reservation).collect()),
        reserved: wire.reserved.into_iter().map(reservation).collect(),
    })
}

fn reservation(wire: ReservationSnapshot) -> Reservation {
    Reservation {
        node: wire.node,
        requests: wire.requests.into_iter().collect(),
        ports: wire.ports.iter().filter_map(|text| port(text)).collect(),
    }
}

/// Reads a port such as `8080/TCP`.
fn port(text: &str) -> Option<(i32, String)> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
    let number: u16 = number.parse().ok()?;
    matches!(protocol, "TCP" | "UDP" | "SCTP").then(|| (number.into(), protocol.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn own_pods_count_once() {
        let pod = |name: &str| -> Pod { from_value(json!({"metadata": {"name": name}})).expect("a pod") };
        let wire = CapacitySnapshot { pods: vec![pod("a"), pod("b")], ..CapacitySnapshot::default() };
        let room = convert(wire, vec![pod("b"), pod("c")]);
        let names: Vec<_> = room.pods.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
