//! The example documents decide what their first lines say.

use super::{DecisionDocument, ScalingSnapshot};

fn decide(text: &str) -> DecisionDocument {
    let present = "2026-11-21T10:00:00Z".parse().expect("a timestamp");
    let input = ScalingSnapshot::parse(text).expect("a document").into_input(present).expect("an input");
    assert!(input.warnings.is_empty(), "{:?}", input.warnings);
    DecisionDocument::new(&input.policy, input.decide())
}

#[test]
fn examples_decide_what_they_say() {
    for (name, text, writes, role, step) in [
        (
            "queue",
            include_str!("../../../examples/snapshots/queue.yaml"),
            &[("decode", 6, 23)][..],
            "decode",
            "queue_length: 37 per replica over 6 ready replicas, target 10: 22.2, so 23",
        ),
        (
            "gang-rounding",
            include_str!("../../../examples/snapshots/gang-rounding.yaml"),
            &[("batch", 4, 8)],
            "batch",
            "gang of 4: 5 → 8",
        ),
        (
            "ratio-repair",
            include_str!("../../../examples/snapshots/ratio-repair.yaml"),
            &[("prefill", 4, 6), ("decode", 4, 8)],
            "decode",
            "ratio prefill:decode at most 1:1: decode 4 → 8",
        ),
        (
            "full-cluster",
            include_str!("../../../examples/snapshots/full-cluster.yaml"),
            &[("worker", 1, 2)],
            "worker",
            "2 of 3 new replicas do not fit: nvidia.com/gpu is short: 4 pods need 2 each, gpu-b has 4, gpu-a has 0: 4 → 2",
        ),
        (
            "wake-from-zero",
            include_str!("../../../examples/snapshots/wake-from-zero.yaml"),
            &[("prefill", 0, 1), ("decode", 0, 4)],
            "decode",
            "wakes with prefill: 0 → 4",
        ),
        (
            "rollback",
            include_str!("../../../examples/snapshots/rollback.yaml"),
            &[("worker", 4, 2)],
            "worker",
            "replicas 2 to 3 unschedulable for 720 s (0/2 nodes are available: 2 Insufficient nvidia.com/gpu): 4 → 2",
        ),
    ] {
        let document = decide(text);
        let found: Vec<_> = document
            .writes
            .iter()
            .map(|write| (write.role.as_str(), write.from.get(), write.to.get()))
            .collect();
        assert_eq!(found, writes, "{name}");
        let last = document.roles[role].decision.last().map(|step| step.message.as_str());
        assert_eq!(last, Some(step), "{name}");
    }
}

#[test]
fn a_silent_metric_lowers_nothing() {
    let document = decide(include_str!("../../../examples/snapshots/missing-metrics.yaml"));
    assert!(document.writes.is_empty(), "{:?}", document.writes);
    let role = &document.roles["decode"];
    assert_eq!((role.recommended_replicas.get(), role.desired_replicas.get()), (1, 4));
    let active = role.conditions.iter().find(|condition| condition.type_ == "ScalingActive");
    let message = &active.expect("a condition").message;
    assert!(message.contains("prometheus: connection refused"), "{message}");
}
