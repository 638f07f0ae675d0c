//! What the rules say: one breach at a time, each with its field, its value and the fix.

mod parts;

use serde_json::{Value, json};

use super::*;
use crate::{
    policy::{PolicyKind, SelectPolicy, Target},
    units::{MilliValue, Replicas},
};

fn read_spec(spec: &Value) -> Result<Policy, String> {
    let spec: RoleBasedGroupAutoscalerSpec =
        serde_json::from_value(spec.clone()).map_err(|error| error.to_string())?;
    Policy::try_from(&spec).map_err(|error| error.to_string())
}

/// A policy that is right: two roles with gangs, a ratio, a schedule, sleep and fallback.
fn good() -> Value {
    json!({
        "groupRef": {"name": "deepseek"},
        "hold": ["Up"],
        "roles": [
            {
                "name": "prefill", "minReplicas": 4, "maxReplicas": 16, "gang": {"replicas": 4},
                "metrics": [
                    {"name": "queue_length", "target": "10"},
                    {"name": "qps", "target": 4, "role": "router"},
                    {"name": "token_utilization", "target": "0.8", "lookahead": "1m"},
                    {"type": "External", "external": {"metric": {"name": "gateway"}, "target": {"type": "AverageValue", "averageValue": 5}}},
                ],
                "throughput": {"promptTokensPerSecond": "6500"},
                "behavior": {"scaleDown": {"selectPolicy": "Min", "tolerance": "0.35"}},
                "fallback": {"after": "3m", "replicas": 8},
                "scaleToZero": {"idleAfter": "15m", "wakeOn": [{"name": "queue_length", "role": "router"}], "wakeTo": 8},
            },
            {
                "name": "decode", "minReplicas": 2, "maxReplicas": 32, "gang": {"replicas": 2},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
                "scaleToZero": {"idleAfter": "15m", "wakeOn": [{"name": "queue_length", "role": "router", "target": "1"}]},
            },
        ],
        "ratios": [{"roles": ["prefill", "decode"], "min": "1:4", "max": "2:1"}],
        "capacity": {"mode": "Fit", "pendingTimeout": "5m", "backoff": {"initial": "2m", "max": "10m"}},
        "schedules": [{"name": "office", "days": ["Mon"], "from": "08:30", "to": "19:00", "timezone": "Asia/Shanghai", "roles": [{"name": "decode", "minReplicas": 8}]}],
    })
}

#[test]
fn a_good_policy_is_read_whole() {
    let policy = read_spec(&good()).expect("a good policy");
    assert!(policy.hold_up && !policy.hold_down);
    let prefill = &policy.roles[0];
    assert_eq!(
        (prefill.bounds.min, prefill.bounds.max, prefill.gang.get()),
        (Replicas::new(4), Replicas::new(16), 4)
    );
    assert_eq!(prefill.metrics[1].target, Target::AverageValue(MilliValue::from_whole(4)));
    let behavior = prefill.behavior.as_ref().expect("a behavior");
    assert_eq!(behavior.up.policies.len(), 2, "the HPA's defaults");
    assert_eq!(
        (behavior.down.select, behavior.down.policies[0].kind),
        (SelectPolicy::Min, PolicyKind::Percent)
    );
    assert_eq!(behavior.down.tolerance.map(|own| own.get().to_bits()), Some((35.0_f64 * 0.01).to_bits()));
    assert_eq!(policy.ratios.len(), 1);
    assert_eq!(policy.schedules[0].roles[0].role, 1);
    assert!(policy.roles[1].behavior.is_none(), "no behavior is not the empty behavior");
}

#[test]
fn absent_bounds_are_one_gang() {
    let spec = json!({"groupRef": {"name": "g"}, "roles": [{"name": "a", "maxReplicas": 8, "gang": {"replicas": 4}, "metrics": [{"name": "qps", "target": 1}]}]});
    assert_eq!(read_spec(&spec).expect("fine").roles[0].bounds.min, Replicas::new(4));
}

/// A change of the good policy at a JSON pointer, and what must be complained about.
struct Breach {
    at: &'static str,
    value: Value,
    field: &'static str,
    says: &'static str,
}

fn breach(at: &'static str, value: Value, field: &'static str, says: &'static str) -> Breach {
    Breach { at, value, field, says }
}

fn refuse(cases: Vec<Breach>) {
    for Breach { at, value, field, says } in cases {
        let mut spec = good();
        let (parent, key) = at.rsplit_once('/').expect("a pointer");
        let parent = spec.pointer_mut(parent).unwrap_or_else(|| panic!("{at} leads nowhere"));
        match parent {
            Value::Array(items) => items[key.parse::<usize>().expect("an index")] = value.clone(),
            other if value.is_null() => drop(other.as_object_mut().expect("a mapping").remove(key)),
            other => other[key] = value.clone(),
        }
        let error = read_spec(&spec).expect_err(&format!("{at} = {value} must be refused"));
        let told = error.lines().any(|line| line.starts_with(&format!("{field}: ")) && line.contains(says));
        assert!(told, "{at} = {value}: want {field}: …{says}…, got\n{error}");
    }
}

#[test]
fn roles_are_judged() {
    let long = "x".repeat(64);
    refuse(vec![
        breach("/groupRef/name", json!(""), "spec.groupRef.name", "write a name"),
        breach("/roles", json!([]), "spec.roles", "name 1 to 16"),
        breach("/roles/1/name", json!("prefill"), "spec.roles[1].name", "is there twice"),
        breach("/roles/0/name", json!(long), "spec.roles[0].name", "at most 63"),
        breach(
            "/roles/0/minReplicas",
            json!(20),
            "spec.roles[0].minReplicas",
            "20 is above maxReplicas 16; write 16 or less",
        ),
        breach(
            "/roles/0/minReplicas",
            json!(6),
            "spec.roles[0].minReplicas",
            "6 is no multiple of the gang of 4; write 4 or 8",
        ),
        breach("/roles/0/minReplicas", json!(-4), "spec.roles[0].minReplicas", "-4 is below 0"),
        breach("/roles/0/minReplicas", json!(0), "spec.roles[0].minReplicas", "write 4 or more"),
        breach(
            "/roles/0/maxReplicas",
            json!(3),
            "spec.roles[0].maxReplicas",
            "3 is no multiple of the gang of 4; write 4",
        ),
        breach("/roles/0/maxReplicas", json!(0), "spec.roles[0].maxReplicas", "0 is below 1"),
        breach("/roles/0/gang/replicas", json!(0), "spec.roles[0].gang.replicas", "write 1 or more"),
        breach("/roles/0/fallback/replicas", json!(7), "spec.roles[0].fallback.replicas", "write 4 or 8"),
        breach(
            "/roles/0/fallback/replicas",
            json!(20),
            "spec.roles[0].fallback.replicas",
            "write 16 or less",
        ),
        breach(
            "/roles/0/fallback/after",
            json!("0s"),
            "spec.roles[0].fallback.after",
            "0s is not above zero",
        ),
    ]);
}

#[test]
fn sleep_and_throughput_are_judged() {
    refuse(vec![
        breach(
            "/roles/0/scaleToZero/idleAfter",
            json!("0s"),
            "spec.roles[0].scaleToZero.idleAfter",
            "not above zero",
        ),
        breach("/roles/0/scaleToZero/wakeTo", json!(5), "spec.roles[0].scaleToZero.wakeTo", "write 4 or 8"),
        breach("/roles/0/scaleToZero/wakeTo", json!(0), "spec.roles[0].scaleToZero.wakeTo", "0 is below 1"),
        breach(
            "/roles/0/scaleToZero/wakeTo",
            json!(20),
            "spec.roles[0].scaleToZero.wakeTo",
            "write 16 or less",
        ),
        breach(
            "/roles/0/scaleToZero/wakeOn",
            json!([]),
            "spec.roles[0].scaleToZero.wakeOn",
            "name 1 to 10 signals",
        ),
        breach(
            "/roles/0/scaleToZero/wakeOn/0/role",
            json!("decode"),
            "spec.roles[0].scaleToZero.wakeOn[0].role",
            "sleeps as well",
        ),
        breach(
            "/roles/0/scaleToZero/wakeOn/0/role",
            Value::Null,
            "spec.roles[0].scaleToZero.wakeOn[0].role",
            "cannot tell while it sleeps",
        ),
        breach(
            "/roles/0/scaleToZero/wakeOn/0/target",
            json!("-1"),
            "spec.roles[0].scaleToZero.wakeOn[0].target",
            "is below zero",
        ),
        breach("/roles/0/throughput", Value::Null, "spec.roles[0].throughput", "token_utilization needs"),
        breach("/roles/0/throughput", json!({}), "spec.roles[0].throughput", "write promptTokensPerSecond"),
        breach(
            "/roles/0/throughput/promptTokensPerSecond",
            json!(0),
            "spec.roles[0].throughput.promptTokensPerSecond",
            "is not above zero",
        ),
        breach(
            "/roles/1/throughput",
            json!({"promptTokensPerSecond": 1}),
            "spec.roles[1].throughput",
            "only used by",
        ),
        breach("/roles/1/metrics", json!([]), "spec.roles[1].metrics", "write at least one metric"),
        breach(
            "/roles/1/scaleToZero",
            Value::Null,
            "spec.ratios[0].roles",
            "give scaleToZero to both or to none",
        ),
    ]);
}

#[test]
fn a_minimum_of_zero_needs_a_metric_that_works_from_zero() {
    let policy = |metric: Value| json!({"groupRef": {"name": "g"}, "roles": [{"name": "a", "minReplicas": 0, "maxReplicas": 8, "metrics": [metric]}]});
    let own = policy(json!({"name": "qps", "target": 1}));
    assert!(read_spec(&own).expect_err("must be refused").contains("cannot be left again"));
    read_spec(&policy(json!({"name": "qps", "target": 1, "role": "router"}))).expect("another role can tell");
    let spec: RoleBasedGroupAutoscalerSpec = serde_json::from_value(own).expect("a spec");
    let (_, advice) = read(&spec).expect("a replay goes on");
    assert_eq!(advice.len(), 1);
}

#[test]
fn what_the_hpa_accepts_but_cannot_use_is_kept_as_such() {
    let mut spec = good();
    spec["roles"][1]["metrics"] = json!([{"type": "Object", "object": {
        "metric": {"name": "m"}, "describedObject": {"kind": "Service", "name": "s"},
        "target": {"type": "Value", "averageValue": "1"},
    }}]);
    let policy = read_spec(&spec).expect("the HPA accepts it");
    assert!(
        matches!(policy.roles[1].metrics[0].target, Target::Unusable(why) if why.contains("invalid object metric source"))
    );
}
