//! The HPA's own figures for the windows, and for what is stored.

use super::*;
use crate::vectors::{behavior, count, int, list, name, now, of_scope, recommendations, seconds};

fn run(current: Replicas, want: Replicas, entries: &mut Vec<Recommendation>, windows: Windows) -> Replicas {
    let out = stabilized(current, want, entries, windows, now());
    store(entries, want, now(), |entry| is_outdated(entry, windows, now()));
    out
}

#[test]
fn windows_are_those_of_the_hpa() {
    for vector in of_scope("stabilize") {
        let (input, expect) = (&vector["input"], &vector["expect"]);
        let rules = behavior(&input["behavior"]);
        let windows = Windows {
            up: rules.up.stabilization_window,
            down: rules.down.stabilization_window.expect("the vector sets it"),
            down_edge_counts: false,
        };
        let (current, want) = (count(&input["currentReplicas"]), count(&input["desiredReplicas"]));
        let mut entries = recommendations(&input["history"]["recommendations"]);
        let out = run(current, want, &mut entries, windows);
        assert_eq!(i64::from(out.get()), int(&expect["replicas"]), "{}", name(&vector));
        let stored: Vec<i64> = entries.iter().map(|entry| i64::from(entry.replicas.get())).collect();
        let wanted: Vec<i64> = list(&expect["recommendations"]).iter().map(int).collect();
        assert_eq!(stored, wanted, "{}", name(&vector));
        if let Some(wanted) = expect.get("reason") {
            assert_eq!(reason(current, want, windows), wanted, "{}", name(&vector));
        }
    }
}

#[test]
fn the_window_without_behavior_is_that_of_the_hpa() {
    for vector in of_scope("legacyStabilize") {
        let (input, expect) = (&vector["input"], &vector["expect"]);
        let windows = Windows {
            up: None,
            down: seconds(&input["downscaleStabilizationSeconds"]),
            down_edge_counts: true,
        };
        let mut entries = recommendations(&input["history"]["recommendations"]);
        let out = run(Replicas::ZERO, count(&input["desiredReplicas"]), &mut entries, windows);
        assert_eq!(i64::from(out.get()), int(&expect["replicas"]), "{}", name(&vector));
        let stored = i64::try_from(entries.len()).expect("a count");
        assert_eq!(stored, int(&expect["recommendationCount"]), "{}", name(&vector));
    }
}
