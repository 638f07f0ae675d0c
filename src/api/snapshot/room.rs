//! The room of the cluster, and what is taken from the roles' own pods where a document leaves it out.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::core::v1::Pod;

use super::{CapacitySnapshot, ReservationSnapshot};
use crate::scaling::{CapacityObservation, Reservation};

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
    let port = |text: &String| {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
        Some((number.parse().ok()?, protocol.to_owned()))
    };
    Reservation {
        node: wire.node,
        requests: wire.requests.into_iter().collect(),
        ports: wire.ports.iter().filter_map(port).collect(),
    }
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
