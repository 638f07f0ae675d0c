//! Gangs that wait for nodes, through documents: taken back, kept, and tried again by halves.

use serde_json::{Value, json};

use super::{answer, holds};

/// How a pod stands.
#[derive(Clone, Copy)]
enum State {
    Ready,
    Loads,
    /// Unschedulable since then.
    Stuck(&'static str),
}
use State::{Loads, Ready, Stuck};

/// Longer than the timeout of ten minutes.
const LONG: State = Stuck("2026-11-21T09:49:00Z");

fn pod(name: &str, state: State) -> Value {
    let condition = match state {
        Ready => json!({"type": "Ready", "status": "True"}),
        Loads => json!({"type": "Ready", "status": "False"}),
        Stuck(since) => {
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room",
            "lastTransitionTime": since})
        }
    };
    let (phase, node) =
        if let Stuck(_) = state { ("Pending", Value::Null) } else { ("Running", json!("n1")) };
    json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": []},
        "status": {"phase": phase, "conditions": [condition]}})
}

/// A role in gangs of `gang` that wants what it has, with pods that bear ordinals or not.
fn document(gang: u32, pods: &[State], ordinals: bool) -> Value {
    let names = |place: usize| {
        if ordinals {
            format!("demo-{place}")
        } else {
            format!("demo-5d9f7c-{}", "bcdfghjklm".split_at(place).1)
        }
    };
    let seen: Vec<_> = pods.iter().enumerate().map(|(place, state)| pod(&names(place), *state)).collect();
    let seen = json!({"specReplicas": pods.len(), "pods": seen, "history": {"recommendations": []},
        "readings": [{"values": [(pods.len() * 10).to_string()]}]});
    json!({
        "now": "2026-11-21T10:00:00Z",
        "autoscaler": {"spec": {"groupRef": {"name": "demo"}, "roles": [
            {"name": "decode", "maxReplicas": 40, "gang": {"replicas": gang},
                "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}]}},
                "metrics": [{"name": "qps", "target": "10", "role": "router"}]}]}},
        "roles": {"decode": seen},
    })
}

#[test]
fn a_gang_that_stays_unschedulable_goes_back_whole() {
    let back = |to: u32| {
        vec![
            ("~/desiredReplicas", json!(to)),
            ("~/history/rollback/attempts", json!(1)),
            ("/conditions/1/reason", json!("RolledBack")),
        ]
    };
    let partial = || {
        vec![
            ("~/desiredReplicas", json!(8)),
            ("/writes", json!([])),
            ("/conditions/1/reason", json!("PartialGang")),
            ("/conditions/1/status", json!("True")),
        ]
    };
    let four = [Ready; 4];
    for (name, gang, pods, ordinals, want) in [
        (
            "with its bound but unready pods",
            4,
            [&four[..], &[LONG, Loads, Loads, Loads]].concat(),
            true,
            back(4),
        ),
        ("and the gangs above it", 2, [&four[..], &[Loads, LONG, Loads, Loads]].concat(), true, back(4)),
        (
            "a gang below it that loads stays",
            2,
            [&four[..], &[Loads, Loads, LONG, Loads]].concat(),
            true,
            back(6),
        ),
        (
            "not with a ready replica in it",
            4,
            [&four[..], &[LONG, Loads, Loads, Ready]].concat(),
            true,
            partial(),
        ),
        (
            "not with one in a higher gang",
            2,
            [&four[..], &[LONG, Loads, Ready, Loads]].concat(),
            true,
            partial(),
        ),
        ("never below the minimum", 8, [&four[..], &[LONG, Loads, Loads, Loads]].concat(), true, partial()),
        (
            "at ten minutes not yet",
            4,
            [&four[..], &[Stuck("2026-11-21T09:50:00Z"), Loads, Loads, Loads]].concat(),
            true,
            vec![
                ("~/desiredReplicas", json!(8)),
                ("/recheckAt", json!("2026-11-21T10:00:00.001Z")),
                ("/conditions/1/reason", json!("WaitingForNodes")),
            ],
        ),
        (
            "without ordinals: the unschedulable ones, rounded to gangs",
            2,
            [&four[..], &[Loads, LONG, LONG, LONG]].concat(),
            false,
            back(4),
        ),
        (
            "without ordinals, not below those that are ready",
            4,
            [&four[..], &[Ready, LONG, LONG, LONG]].concat(),
            false,
            partial(),
        ),
    ] {
        holds(name, &answer(&document(gang, &pods, ordinals)), want);
    }
}

#[test]
fn a_rollback_acts_under_hold_and_rollout_and_is_an_event() {
    let mut document = document(4, &[Ready, Ready, Ready, Ready, LONG, Loads, Loads, Loads], true);
    document["autoscaler"]["spec"]["hold"] = json!(["Down"]);
    document["roles"]["decode"]["rollingOut"] = json!(true);
    let message = "replicas 4 to 7 unschedulable for 660 s (no room): 8 → 4";
    let want = vec![
        ("/writes", json!([{"role": "decode", "from": 8, "to": 4}])),
        (
            "~/decision",
            json!([{"stage": "capacity", "from": 8, "to": 4, "reason": "RolledBack", "message": message}]),
        ),
        ("~/history/scaleEvents", json!([{"from": 8, "to": 4, "time": "2026-11-21T10:00:00Z"}])),
        (
            "~/history/rollback",
            json!({"attempts": 1, "at": "2026-11-21T10:00:00Z", "until": "2026-11-21T10:01:00Z", "replicas": 8}),
        ),
        ("/recheckAt", json!("2026-11-21T10:01:00Z")),
    ];
    holds("a rollback", &answer(&document), want);
}

#[test]
fn the_next_try_waits_and_asks_for_half() {
    let four = [Ready; 4];
    let half = "after 2 rollbacks, half of what did not fit (4 gangs up to 20): 40 → 12";
    for (name, until, want) in [
        (
            "waits",
            "2026-11-21T10:00:30Z",
            vec![
                ("~/desiredReplicas", json!(4)),
                ("~/recommendedReplicas", json!(40)),
                ("~/decision/1/reason", json!("BackingOff")),
                ("/recheckAt", json!("2026-11-21T10:00:30Z")),
                ("/conditions/1/reason", json!("RolledBack")),
            ],
        ),
        // Four gangs did not fit; two are tried.
        (
            "then half",
            "2026-11-21T10:00:00Z",
            vec![("~/desiredReplicas", json!(12)), ("~/decision/1/message", json!(half))],
        ),
    ] {
        let mut document = document(4, &four, true);
        document["roles"]["decode"]["readings"] = json!([{"values": ["400"]}]);
        document["roles"]["decode"]["history"]["rollback"] =
            json!({"attempts": 2, "at": "2026-11-21T09:58:00Z", "until": until, "replicas": 20});
        holds(name, &answer(&document), want);
    }
    let mut document = document(4, &[Ready, Ready, Ready, Ready, LONG, Loads, Loads, Loads], true);
    document["roles"]["decode"]["history"]["rollback"] =
        json!({"attempts": 2, "at": "2026-11-21T09:40:00Z", "until": "2026-11-21T09:42:00Z", "replicas": 12});
    let want = vec![
        ("~/history/rollback/attempts", json!(3)),
        ("~/history/rollback/until", json!("2026-11-21T10:04:00Z")),
    ];
    holds("the wait doubles: one, two, four minutes", &answer(&document), want);
}
