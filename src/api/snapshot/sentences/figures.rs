//! Figures of the stages one by one, asked through documents: what comes out, and the reasons that the steps give.

use serde_json::{Value, json};

use super::{decide, holds};

/// A name, what is written over the policy and over what is seen, the count that comes out, and the reasons of its steps.
type Row = (&'static str, Value, Value, u32, &'static [&'static str]);

/// A replica's worth of load each: qps of ten per replica.
fn load(current: u32, replicas: u32) -> Value {
    json!({"specReplicas": current, "readings": [{"values": [(replicas * 10).to_string()]}]})
}

fn with(mut seen: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        seen[key] = value.clone();
    }
    seen
}

fn events(events: &[(u32, u32, &str)]) -> Value {
    let events = events.iter().map(|(from, to, time)| json!({"from": from, "to": to, "time": time}));
    json!({"history": {"recommendations": [], "scaleEvents": events.collect::<Vec<_>>()}})
}

fn check(rows: Vec<Row>) {
    for (name, mut policy, seen, desired, reasons) in rows {
        if policy.get("maxReplicas").is_none() {
            policy["maxReplicas"] = json!(40);
        }
        let answer = decide(&Value::Null, &policy, &seen);
        let steps = answer["roles"]["decode"]["decision"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = steps.iter().filter_map(|step| step["reason"].as_str()).collect();
        assert_eq!(found, reasons, "{name}: {answer:#}");
        holds(name, &answer, vec![("~/desiredReplicas", json!(desired))]);
        // The chain starts at the current count, and its end is the answer.
        let ends = steps.iter().map(|step| (&step["from"], &step["to"]));
        let last = ends.fold(&answer["roles"]["decode"]["currentReplicas"], |at, (from, to)| {
            assert_eq!(at, from, "{name}");
            to
        });
        assert_eq!(*last, json!(desired), "{name}");
    }
}

fn up(kind: &str, value: u32, period: u32) -> Value {
    let policies = json!([{"type": kind, "value": value, "periodSeconds": period}]);
    json!({"behavior": {"scaleUp": {"policies": policies}}})
}

fn down(kind: &str, value: u32, period: u32) -> Value {
    let policies = json!([{"type": kind, "value": value, "periodSeconds": period}]);
    json!({"behavior": {"scaleDown": {"policies": policies}}})
}

fn gangs(size: u32, policy: Value) -> Value {
    with(policy, &json!({"gang": {"replicas": size}, "minReplicas": size}))
}

const UP: &[&str] = &["MetricsProposal"];
const UP_CUT: &[&str] = &["MetricsProposal", "ScaleUpLimit"];
const UP_GANGS: &[&str] = &["MetricsProposal", "ScaleUpLimit", "WholeGangs"];
const DOWN_GANGS: &[&str] = &["MetricsProposal", "ScaleDownLimit", "WholeGangs"];

#[test]
fn windows_and_rates() {
    let nine = |time: &str| json!({"history": {"recommendations": [{"replicas": 9, "time": time}]}});
    let without = json!({"behavior": null});
    check(vec![
        ("four at once", json!({}), load(2, 40), 6, UP_CUT),
        ("or twice as many", json!({}), load(10, 40), 20, UP_CUT),
        ("without behavior to four", without.clone(), load(1, 40), 4, UP_CUT),
        ("or twice as many", without.clone(), load(10, 40), 20, UP_CUT),
        (
            "the highest of the down window",
            json!({}),
            with(load(12, 2), &nine("2026-11-21T09:55:01Z")),
            9,
            &["MetricsProposal", "ScaleDownStabilized"],
        ),
        ("out of it at its edge", json!({}), with(load(12, 2), &nine("2026-11-21T09:55:00Z")), 2, UP),
        (
            "without behavior the edge is inside",
            without,
            with(load(12, 2), &nine("2026-11-21T09:55:00Z")),
            9,
            &["MetricsProposal", "ScaleDownStabilized"],
        ),
        (
            "the lowest of the up window",
            json!({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 60}}}),
            with(load(8, 12), &nine("2026-11-21T09:59:01Z")),
            9,
            &["MetricsProposal", "ScaleUpStabilized"],
        ),
        ("a percentage rounds up on the way up", up("Percent", 10, 60), load(11, 40), 13, UP_CUT),
        (
            "and toward zero on the way down",
            down("Percent", 10, 60),
            load(7, 1),
            6,
            &["MetricsProposal", "ScaleDownLimit"],
        ),
        (
            "events of both directions count: 10 − 4 + 6 + 4",
            up("Pods", 4, 60),
            with(load(10, 40), &events(&[(6, 10, "2026-11-21T09:59:50Z"), (12, 6, "2026-11-21T09:59:40Z")])),
            16,
            UP_CUT,
        ),
        (
            "one metric failed and the other says less than nothing: the pass ends",
            json!({"minReplicas": 0, "metrics": [
                {"name": "qps", "target": "10", "role": "router"}, {"name": "qps", "target": "10", "role": "gateway"}]}),
            with(
                json!({"specReplicas": 0, "readings": [{"values": ["-10"]}, {"error": "refused"}]}),
                &nine("2026-11-21T09:59:00Z"),
            ),
            0,
            &[],
        ),
        (
            "as old as the period they do not",
            up("Pods", 4, 60),
            with(load(10, 40), &events(&[(6, 10, "2026-11-21T09:59:00Z")])),
            14,
            UP_CUT,
        ),
    ]);
}

#[test]
fn gangs_and_rates() {
    let free = || up("Pods", 1000, 15);
    check(vec![
        ("up to whole gangs", gangs(4, free()), load(4, 9), 12, &["MetricsProposal", "WholeGangs"]),
        ("down too", gangs(4, json!({})), load(12, 5), 8, &["MetricsProposal", "WholeGangs"]),
        ("what a policy cuts is floored", gangs(4, up("Pods", 6, 60)), load(8, 40), 12, UP_GANGS),
        ("and ceiled on the way down", gangs(4, down("Pods", 6, 60)), load(16, 4), 12, DOWN_GANGS),
        (
            "one gang though the policy allows one replica",
            gangs(4, up("Pods", 1, 60)),
            load(8, 40),
            12,
            UP_GANGS,
        ),
        (
            "not within four periods of the last",
            gangs(4, up("Pods", 1, 60)),
            with(load(8, 40), &events(&[(4, 8, "2026-11-21T09:56:01Z")])),
            8,
            UP_GANGS,
        ),
        (
            "four periods after it",
            gangs(4, up("Pods", 1, 60)),
            with(load(8, 40), &events(&[(4, 8, "2026-11-21T09:56:00Z")])),
            12,
            UP_GANGS,
        ),
        (
            "the other direction does not count",
            gangs(4, up("Pods", 1, 60)),
            with(load(8, 40), &events(&[(12, 8, "2026-11-21T09:58:00Z")])),
            12,
            UP_GANGS,
        ),
        (
            "down likewise: two periods of three make a gang",
            gangs(4, down("Pods", 3, 60)),
            load(8, 4),
            4,
            DOWN_GANGS,
        ),
        (
            "and wait likewise",
            gangs(4, down("Pods", 3, 60)),
            with(load(8, 4), &events(&[(12, 8, "2026-11-21T09:58:01Z")])),
            8,
            &["MetricsProposal", "ScaleDownLimit", "WholeGangs"],
        ),
        (
            "a direction that is disabled never moves",
            gangs(4, json!({"behavior": {"scaleUp": {"selectPolicy": "Disabled"}}})),
            load(8, 40),
            8,
            &["MetricsProposal", "ScaleUpLimit"],
        ),
        ("a count off the grid is completed", gangs(4, json!({})), load(5, 5), 8, &["WholeGangs"]),
        (
            "also when nothing answers",
            gangs(4, json!({})),
            json!({"specReplicas": 5, "readings": [{"error": "refused"}]}),
            8,
            &["WholeGangs"],
        ),
    ]);
}

#[test]
fn token_work() {
    let policy = |entry: &str, lookahead: Value| {
        let metric = json!({"name": "token_utilization", "target": "0.5", "lookahead": lookahead});
        with(free_up(), &json!({"metrics": [metric], "throughput": {entry: "1000"}}))
    };
    let prompt = || policy("promptTokensPerSecond", Value::Null);
    let seen = |reading: Value| json!({"specReplicas": 2, "readings": [reading]});
    let prompts = |short: Value, long: Value, pending: &str| {
        seen(json!({"promptTokensPerSecond": {"short": short, "long": long}, "pendingTokens": pending}))
    };
    check(vec![
        ("the larger window", prompt(), prompts(json!("2000"), json!("3000"), "0"), 6, UP),
        ("exactly, without a tolerance", prompt(), prompts(json!("1000.001"), json!("0"), "0"), 3, UP),
        ("one missing: the other", prompt(), prompts(Value::Null, json!("3000"), "0"), 6, UP),
        ("both missing: failed", prompt(), prompts(Value::Null, Value::Null, "0"), 2, &[]),
        (
            "a minute's worth of waiting tokens is a replica's",
            prompt(),
            prompts(json!("0"), json!("0"), "90000"),
            3,
            UP,
        ),
        (
            "what is ahead: 1 + 0.02 × 60",
            policy("promptTokensPerSecond", json!("1m")),
            seen(
                json!({"promptTokensPerSecond": {"short": "1000", "long": "0"}, "pendingTokens": "0", "slopePerSecond": "0.02"}),
            ),
            5,
            UP,
        ),
        (
            "a falling trend lowers nothing",
            policy("promptTokensPerSecond", json!("1m")),
            seen(
                json!({"promptTokensPerSecond": {"short": "1500", "long": "0"}, "pendingTokens": "0", "slopePerSecond": "-0.02"}),
            ),
            3,
            UP,
        ),
        (
            "a decode role knows neither prompts nor a backlog",
            policy("generationTokensPerSecond", Value::Null),
            seen(
                json!({"promptTokensPerSecond": {"short": "90000", "long": "90000"}, "pendingTokens": "9000000",
                "generationTokensPerSecond": {"short": "1500", "long": "1000"}}),
            ),
            3,
            UP,
        ),
        (
            "a silent replica bars lowering",
            prompt(),
            seen(
                json!({"promptTokensPerSecond": {"short": "1", "long": "1"}, "pendingTokens": "0", "expected": 2, "reported": 1}),
            ),
            2,
            &[],
        ),
    ]);
}

fn free_up() -> Value {
    up("Pods", 1000, 15)
}

#[test]
fn sleep_and_wake() {
    let sleeper = |more: &Value| {
        let rule = json!({"idleAfter": "15m", "wakeOn": [{"name": "queue_length", "role": "router"}]});
        json!({"minReplicas": 2, "scaleToZero": with(rule, more)})
    };
    let plain = || sleeper(&json!({}));
    let pod = |index: u32| {
        json!({"metadata": {"name": format!("d-{index}")}, "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}]}})
    };
    let awake = |value: &str, wake: Value, since: &str| {
        json!({"specReplicas": 2, "pods": [pod(0), pod(1)], "readings": [{"values": [value]}], "wake": [wake],
            "history": {"recommendations": [], "idleSince": since}})
    };
    let asleep = |wake: Value, answered: Value| {
        json!({"specReplicas": 0, "readings": [{"values": ["900"]}], "wake": [wake],
            "history": {"recommendations": [], "answeredAt": answered}})
    };
    let (zero, one) = (json!({"values": ["0"]}), json!({"values": ["1"]}));
    let (early, late) = ("2026-11-21T09:45:00Z", "2026-11-21T09:45:01Z");
    let idle: &[&str] = &["MetricsProposal", "TooFewReplicas", "Idle"];
    let stays: &[&str] = &["MetricsProposal", "TooFewReplicas"];
    check(vec![
        ("idle for as long as it says", plain(), awake("0", zero.clone(), early), 0, idle),
        ("not quite", plain(), awake("0", zero.clone(), late), 2, stays),
        ("a wake signal is not zero", plain(), awake("0", one.clone(), early), 2, stays),
        ("a wake signal is silent", plain(), awake("0", json!({"error": "refused"}), early), 2, stays),
        (
            "it is of one source of two",
            plain(),
            awake("0", json!({"values": ["0"], "expected": 2}), early),
            2,
            stays,
        ),
        ("a metric is not zero", plain(), awake("1", zero.clone(), early), 2, stays),
        (
            "a replica is gone",
            plain(),
            with(awake("0", zero.clone(), early), &json!({"pods": [pod(0)]})),
            2,
            stays,
        ),
        ("asleep only wake signals count", plain(), asleep(zero.clone(), Value::Null), 0, &[]),
        ("one above zero wakes", plain(), asleep(one.clone(), Value::Null), 2, &["Woken"]),
        (
            "to wakeTo, whatever a rate policy says",
            sleeper(&json!({"wakeTo": 30})),
            asleep(one.clone(), Value::Null),
            30,
            &["Woken"],
        ),
        (
            "at its target it does not",
            sleeper(&json!({"wakeOn": [{"name": "queue_length", "role": "router", "target": "1"}]})),
            asleep(one, Value::Null),
            0,
            &[],
        ),
        (
            "three minutes of silence wake",
            plain(),
            asleep(json!({"error": "refused"}), json!("2026-11-21T09:57:00Z")),
            2,
            &["WakeSignalLost"],
        ),
        ("less do not", plain(), asleep(json!({"error": "refused"}), json!("2026-11-21T09:57:01Z")), 0, &[]),
        (
            "or as long as the fallback says",
            with(plain(), &json!({"fallback": {"after": "1m", "replicas": 2}})),
            asleep(json!({"error": "refused"}), json!("2026-11-21T09:59:00Z")),
            2,
            &["WakeSignalLost"],
        ),
    ]);
}
