//! What the design says of a decision in so many words, asked through documents: bounds, metrics, fallback, modes, restart.

mod figures;
mod forms;
mod nodes;
mod stuck;

use serde_json::{Value, json};

use super::{DecisionDocument, ScalingSnapshot};

/// Decides on a role with the metric qps (10 per replica), with what is given written over the rest.
fn decide(spec: &Value, policy: &Value, seen: &Value) -> Value {
    let mut role = json!({
        "name": "decode", "minReplicas": 1, "maxReplicas": 8, "behavior": {},
        "metrics": [{"name": "qps", "target": "10", "role": "router"}],
    });
    let mut observed = json!({"specReplicas": 4, "history": {"recommendations": []}});
    let mut whole = json!({"groupRef": {"name": "demo"}});
    let over = |target: &mut Value, source: &Value| {
        for (key, value) in source.as_object().into_iter().flatten() {
            target[key] = value.clone();
        }
    };
    over(&mut role, policy);
    over(&mut observed, seen);
    over(&mut whole, spec);
    whole["roles"] = json!([role]);
    let document = json!({
        "now": "2026-11-21T10:00:00Z",
        "autoscaler": {"spec": whole},
        "roles": {"decode": observed},
    });
    answer(&document)
}

/// Decides on a document.
fn answer(document: &Value) -> Value {
    let present = "2000-01-01T00:00:00Z".parse().expect("a time");
    let snapshot = ScalingSnapshot::parse(&document.to_string()).expect("a document");
    let input = snapshot.into_input(present).unwrap_or_else(|error| panic!("{error}\n{document}"));
    serde_json::to_value(DecisionDocument::new(&input.policy, input.decide())).expect("an answer")
}

struct Case {
    name: &'static str,
    spec: Value,
    policy: Value,
    seen: Value,
    /// Pointers into the answer, where `~` stands for `/roles/decode`, and what is there.
    want: Vec<(&'static str, Value)>,
}

fn check(cases: Vec<Case>) {
    for Case { name, spec, policy, seen, want } in cases {
        holds(name, &decide(&spec, &policy, &seen), want);
    }
}

/// Compares what an answer says at these pointers.
fn holds(name: &str, answer: &Value, want: Vec<(&'static str, Value)>) {
    for (pointer, value) in want {
        let found = answer.pointer(&pointer.replacen('~', "/roles/decode", 1)).unwrap_or(&Value::Null);
        assert_eq!(*found, value, "{name}: {pointer} of\n{answer:#}");
    }
}

fn case(name: &'static str, seen: Value, want: Vec<(&'static str, Value)>) -> Case {
    Case { name, spec: Value::Null, policy: Value::Null, seen, want }
}

fn office(min: u32, max: u32) -> Value {
    let roles = json!([{"name": "decode", "minReplicas": min, "maxReplicas": max}]);
    json!({"schedules": [{"name": "office", "from": "09:00", "to": "11:00", "roles": roles}]})
}

fn history(recommendation: u32, time: &str) -> Value {
    json!({"recommendations": [{"replicas": recommendation, "time": time}]})
}

#[test]
fn counts_outside_the_bounds_go_to_the_bound_at_once() {
    let message = |text: &str| json!(text);
    check(vec![
        Case {
            spec: office(6, 8),
            ..case(
                "below a schedule's minimum, never seen before: the current count is stored first",
                json!({"history": null, "readings": [{"values": ["80"]}]}),
                vec![
                    ("~/desiredReplicas", json!(6)),
                    ("~/recommendedReplicas", json!(4)),
                    ("~/activeSchedule", json!("office")),
                    ("~/decision/0/reason", json!("BelowMinimum")),
                    ("~/decision/0/message", message("4 is below the minimum 6 of schedule office: 4 → 6")),
                    ("~/decision/1", Value::Null),
                    ("~/metrics", json!([])),
                    ("~/history/recommendations", json!([{"replicas": 4, "time": "2026-11-21T10:00:00Z"}])),
                    ("~/history/scaleEvents/0/to", json!(6)),
                    ("/recheckAt", json!("2026-11-21T11:00:00Z")),
                ],
            )
        },
        Case {
            spec: office(1, 2),
            ..case(
                "above a schedule's maximum, whatever the windows say",
                json!({"history": history(4, "2026-11-21T09:59:00Z"), "readings": [{"values": ["80"]}]}),
                vec![
                    ("~/desiredReplicas", json!(2)),
                    ("~/decision/0/reason", json!("AboveMaximum")),
                    ("~/history/recommendations", json!([{"replicas": 4, "time": "2026-11-21T09:59:00Z"}])),
                ],
            )
        },
        case(
            "zero by hand is left alone",
            json!({"specReplicas": 0, "readings": [{"values": ["80"]}]}),
            vec![
                ("~/desiredReplicas", json!(0)),
                ("~/conditions/1/reason", json!("ScalingDisabled")),
                ("~/conditions/1/status", json!("False")),
                ("/writes", json!([])),
            ],
        ),
        Case {
            policy: json!({"minReplicas": 0}),
            ..case(
                "zero with a minimum of zero is the HPA's: it goes by the metric",
                json!({"specReplicas": 0, "readings": [{"values": ["13"]}]}),
                vec![("~/desiredReplicas", json!(2))],
            )
        },
    ]);
}

#[test]
fn failed_and_partial_metrics_bar_lowering_and_not_raising() {
    let two = json!({"metrics": [
        {"name": "qps", "target": "10", "role": "router"}, {"name": "load", "target": "10", "role": "router"}]});
    let no_window = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
    let partial = |value: &str| json!({"readings": [{"values": [value], "expected": 3, "reported": 2, "silent": ["router-1"]}]});
    let quick = |mut policy: Value| {
        policy["behavior"] = no_window.clone();
        policy
    };
    check(vec![
        Case {
            policy: quick(two.clone()),
            ..case(
                "one failed, the other asks for less",
                json!({"readings": [{"values": ["13"]}, {"error": "refused"}]}),
                vec![
                    ("~/desiredReplicas", json!(4)),
                    ("~/metrics/0/proposedReplicas", json!(2)),
                    ("~/conditions/1/reason", json!("FailedGetExternalMetric")),
                    ("~/history/recommendations", json!([])),
                    ("/conditions/0/status", json!("False")),
                ],
            )
        },
        Case {
            policy: quick(two),
            ..case(
                "one failed, the other asks for more",
                json!({"readings": [{"values": ["63"]}, {"error": "refused"}]}),
                vec![("~/desiredReplicas", json!(7)), ("~/conditions/1/reason", json!("ValidMetricFound"))],
            )
        },
        Case {
            policy: quick(json!({})),
            ..case(
                "a total that is only a lower bound does not lower",
                partial("13"),
                vec![
                    ("~/desiredReplicas", json!(4)),
                    ("~/metrics/0/proposedReplicas", json!(2)),
                    ("~/metrics/0/error", json!("PartialMetric: 2 of 3 sources answered, silent: router-1")),
                    ("/conditions/0/reason", json!("PartialMetric")),
                ],
            )
        },
        Case {
            policy: quick(json!({})),
            ..case("but raises", partial("63"), vec![("~/desiredReplicas", json!(7))])
        },
        Case {
            policy: quick(json!({})),
            ..case(
                "no answer is not zero",
                json!({"readings": [{"values": []}]}),
                vec![
                    ("~/desiredReplicas", json!(4)),
                    ("~/recommendedReplicas", json!(4)),
                    ("~/history/recommendations", json!([])),
                    ("/writes", json!([])),
                ],
            )
        },
        Case {
            policy: quick(json!({})),
            ..case(
                "zero is zero",
                json!({"readings": [{"values": ["0"]}]}),
                vec![("~/desiredReplicas", json!(1)), ("~/decision/1/reason", json!("TooFewReplicas"))],
            )
        },
    ]);
}

#[test]
fn fallback_speaks_after_longer_than_it_says() {
    let policy = || json!({"fallback": {"after": "3m", "replicas": 6}});
    let silent_since = |time: &str, replicas: u32| {
        json!({"specReplicas": replicas, "readings": [{"error": "refused"}],
            "history": {"recommendations": [], "answeredAt": time}})
    };
    check(vec![
        Case {
            policy: policy(),
            ..case(
                "at three minutes not yet",
                silent_since("2026-11-21T09:57:00Z", 4),
                vec![("~/desiredReplicas", json!(4)), ("/recheckAt", json!("2026-11-21T10:00:00.001Z"))],
            )
        },
        Case {
            policy: policy(),
            ..case(
                "after them",
                silent_since("2026-11-21T09:56:59Z", 4),
                vec![
                    ("~/desiredReplicas", json!(6)),
                    ("~/decision/0/reason", json!("FallbackActive")),
                    ("~/history/recommendations", json!([])),
                    ("~/history/answeredAt", json!("2026-11-21T09:56:59Z")),
                ],
            )
        },
        Case {
            policy: policy(),
            ..case(
                "never less than there are",
                silent_since("2026-11-21T09:00:00Z", 7),
                vec![("~/desiredReplicas", json!(7)), ("~/decision", json!([]))],
            )
        },
        Case {
            policy: policy(),
            ..case(
                "never answered: counted from the first look",
                json!({"readings": [{"error": "refused"}], "history": null}),
                vec![
                    ("~/desiredReplicas", json!(4)),
                    ("~/history/answeredAt", json!("2026-11-21T10:00:00Z")),
                    ("/recheckAt", json!("2026-11-21T10:03:00.001Z")),
                ],
            )
        },
        case(
            "without fallback the count is held",
            silent_since("2026-11-21T09:00:00Z", 4),
            vec![("~/desiredReplicas", json!(4)), ("/recheckAt", Value::Null)],
        ),
    ]);
}

#[test]
fn modes_and_restarts() {
    let up = || json!({"readings": [{"values": ["63"]}]});
    let down = |history: Value| json!({"readings": [{"values": ["13"]}], "history": history});
    check(vec![
        Case {
            spec: json!({"mode": "Recommend"}),
            ..case(
                "recommending decides and writes nothing",
                up(),
                vec![
                    ("~/desiredReplicas", json!(7)),
                    ("/writes", json!([])),
                    ("~/history/scaleEvents", json!([])),
                ],
            )
        },
        Case {
            spec: json!({"mode": "Disabled"}),
            ..case(
                "disabled holds",
                up(),
                vec![
                    ("~/desiredReplicas", json!(4)),
                    ("~/recommendedReplicas", json!(7)),
                    ("/writes", json!([])),
                ],
            )
        },
        case(
            "what is written is remembered",
            up(),
            vec![
                ("/writes", json!([{"role": "decode", "from": 4, "to": 7}])),
                ("~/history/scaleEvents", json!([{"from": 4, "to": 7, "time": "2026-11-21T10:00:00Z"}])),
            ],
        ),
        case(
            "never seen: not lowered before one window has passed",
            down(Value::Null),
            vec![
                ("~/desiredReplicas", json!(4)),
                ("~/recommendedReplicas", json!(2)),
                ("~/decision/1/reason", json!("ScaleDownStabilized")),
                ("/recheckAt", json!("2026-11-21T10:05:00Z")),
            ],
        ),
        case(
            "seen, with nothing that holds",
            down(json!({"recommendations": []})),
            vec![("~/desiredReplicas", json!(2)), ("/recheckAt", Value::Null)],
        ),
        case(
            "covered by history as long as its window",
            down(history(3, "2026-11-21T09:55:00.001Z")),
            vec![("~/desiredReplicas", json!(3)), ("/recheckAt", json!("2026-11-21T10:00:00.001Z"))],
        ),
        case(
            "and no longer",
            down(history(3, "2026-11-21T09:55:00Z")),
            vec![("~/desiredReplicas", json!(2))],
        ),
    ]);
}

#[test]
fn samples_combine_as_the_reading_says() {
    let own = json!({"metrics": [{"name": "own", "target": "10"}]});
    let pod = |name: &str| {
        json!({
            "metadata": {"name": name, "labels": {"rbg.workloads.x-k8s.io/role-instance-name": "decode-0"}},
            "status": {"phase": "Running", "startTime": "2026-11-21T09:00:00Z",
                "conditions": [{"type": "Ready", "status": "True"}]},
        })
    };
    let samples = json!([{"pod": "x", "value": "14"}, {"pod": "y", "value": "16"}]);
    let case = |name: &'static str, fold: Value, desired: u32| {
        let mut reading = json!({"samples": samples});
        if !fold.is_null() {
            reading["fold"] = fold;
        }
        let seen = json!({"specReplicas": 1, "podsPerReplica": 2, "pods": [pod("x"), pod("y")], "readings": [reading]});
        let want = vec![("~/desiredReplicas", json!(desired))];
        Case { name, spec: Value::Null, policy: own.clone(), seen, want }
    };
    check(vec![
        case("by its name: the sum", Value::Null, 3),
        case("the sum", json!("sum"), 3),
        case("the largest", json!("max"), 2),
    ]);
}
