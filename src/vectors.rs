//! The figures of the HPA's own tests, for the tests of the stages. `testdata/README.md` tells the format.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    policy::{Behavior, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy},
    scaling::{Recommendation, ScaleEvent},
    units::Replicas,
};

/// All vectors.
pub(crate) fn all() -> Vec<Value> {
    serde_json::from_str(include_str!("../testdata/hpa-vectors.json")).expect("the vectors are JSON")
}

/// The vectors of one scope; at least one.
pub(crate) fn of_scope(scope: &str) -> Vec<Value> {
    let vectors: Vec<Value> = all().into_iter().filter(|vector| vector["scope"] == scope).collect();
    assert!(!vectors.is_empty(), "no vector of scope {scope}");
    vectors
}

/// The time of every vector.
pub(crate) fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().expect("a time")
}

pub(crate) fn name(vector: &Value) -> &str {
    vector["name"].as_str().expect("a name")
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no integer"))
}

pub(crate) fn count(value: &Value) -> Replicas {
    Replicas::new(u32::try_from(int(value)).expect("a count"))
}

pub(crate) fn seconds(value: &Value) -> Duration {
    Duration::from_secs(u64::try_from(int(value)).expect("seconds"))
}

pub(crate) fn age(value: &Value) -> Timestamp {
    now().checked_sub(SignedDuration::from_secs(int(value))).expect("a time")
}

pub(crate) fn recommendations(value: &Value) -> Vec<Recommendation> {
    let entry = |entry: &Value| Recommendation {
        replicas: count(&entry["replicas"]),
        time: age(&entry["ageSeconds"]),
    };
    list(value).iter().map(entry).collect()
}

/// Events of one direction, from a count that is large enough.
pub(crate) fn events(value: &Value, up: bool) -> Vec<ScaleEvent> {
    let event = |entry: &Value| {
        let (low, high) = (Replicas::new(1000), Replicas::new(1000 + count(&entry["change"]).get()));
        let (from, to) = if up { (low, high) } else { (high, low) };
        ScaleEvent { from, to, time: age(&entry["ageSeconds"]) }
    };
    list(value).iter().map(event).collect()
}

pub(crate) fn behavior(value: &Value) -> Behavior {
    let mut behavior = Behavior::default();
    fill(&mut behavior.up, &value["scaleUp"]);
    fill(&mut behavior.down, &value["scaleDown"]);
    behavior
}

/// Writes what is given over the defaults.
pub(crate) fn fill(rules: &mut ScalingRules, value: &Value) {
    if let Some(window) = value.get("stabilizationWindowSeconds") {
        rules.stabilization_window = Some(seconds(window));
    }
    rules.select = match value["selectPolicy"].as_str() {
        Some("Min") => SelectPolicy::Min,
        Some("Disabled") => SelectPolicy::Disabled,
        _ => SelectPolicy::Max,
    };
    if value.get("policies").is_some() {
        let policy = |policy: &Value| ScalingPolicy {
            kind: if policy["type"] == "Percent" { PolicyKind::Percent } else { PolicyKind::Replicas },
            value: i32::try_from(int(&policy["value"])).expect("a value"),
            period: seconds(&policy["periodSeconds"]),
        };
        rules.policies = list(&value["policies"]).iter().map(policy).collect();
    }
}

#[test]
fn every_scope_has_a_test() {
    let tested = [
        "metric",
        "reconcile",
        "rate",
        "stabilize",
        "grouping",
        "requests",
        "legacyRules",
        "legacyStabilize",
        "limitUp",
        "limitDown",
        "storeEvent",
        "statusQuantity",
    ];
    for vector in all() {
        let scope = vector["scope"].as_str().expect("a scope");
        assert!(tested.contains(&scope), "no test asks {scope} of {}", name(&vector));
    }
}
