//! From a vector to the snapshot document that asks the same.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The time of every vector.
pub(super) fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().expect("a time")
}

fn age(seconds: &Value) -> Value {
    let seconds = seconds.as_i64().expect("an age in seconds");
    json!(now().checked_sub(SignedDuration::from_secs(seconds)).expect("a time").to_string())
}

fn quantity(milli: &Value) -> Value {
    json!(format!("{}m", milli.as_i64().expect("thousandths")))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A document with one role, named `role`.
fn document(settings: &Value, mut policy: Value, seen: &Value) -> Value {
    policy["name"] = json!("role");
    json!({
        "apiVersion": "rbg-autoscaler.dev/v1alpha1",
        "kind": "ScalingSnapshot",
        "now": now().to_string(),
        "settings": settings,
        "autoscaler": {"metadata": {"name": "hpa"}, "spec": {"groupRef": {"name": "group"}, "roles": [policy]}},
        "roles": {"role": seen},
    })
}

pub(super) fn of_metric(input: &Value) -> Value {
    let (up, down) = (&input["tolerance"]["up"], &input["tolerance"]["down"]);
    let settings = json!({
        "tolerance": down,
        "cpuInitializationPeriod": seconds(&input["cpuInitializationPeriodSeconds"]),
        "initialReadinessDelay": seconds(&input["initialReadinessDelaySeconds"]),
    });
    let mut role = json!({
        "minReplicas": i64::from(input["specReplicas"] != 0),
        "maxReplicas": i32::MAX,
        "metrics": [metric(&input["metric"])],
    });
    if up != down {
        role["behavior"] = json!({"scaleUp": {"tolerance": up.to_string()}});
    }
    let seen = json!({
        "specReplicas": input["specReplicas"],
        "statusReplicas": input["statusReplicas"],
        "pods": list(&input["pods"]).iter().map(|given| pod(given, &input["metric"])).collect::<Vec<_>>(),
        "readings": [reading(&input["metric"], &input["podSamples"])],
        "history": {"recommendations": []},
    });
    document(&settings, role, &seen)
}

pub(super) fn of_pass(input: &Value) -> Value {
    let controller = &input["controller"];
    let settings = json!({
        "tolerance": controller["tolerance"],
        "downscaleStabilization": seconds(&controller["downscaleStabilizationSeconds"]),
        "cpuInitializationPeriod": seconds(&controller["cpuInitializationPeriodSeconds"]),
        "initialReadinessDelay": seconds(&controller["initialReadinessDelaySeconds"]),
        "scaleUpLimit": {"factor": controller["legacyScaleUpFactor"], "minimum": controller["legacyScaleUpMinimum"]},
    });
    let metrics = list(&input["metrics"]);
    let role = json!({
        "minReplicas": input["minReplicas"],
        "maxReplicas": input["maxReplicas"],
        "metrics": metrics.iter().map(metric).collect::<Vec<_>>(),
        "behavior": behavior(&input["behavior"]),
    });
    let resource =
        metrics.iter().find(|metric| text(metric, "type").contains("Resource")).unwrap_or(&Value::Null);
    let seen = json!({
        "specReplicas": input["specReplicas"],
        "statusReplicas": input["statusReplicas"],
        "pods": list(&input["pods"]).iter().map(|given| pod(given, resource)).collect::<Vec<_>>(),
        "readings": metrics.iter().map(|metric| reading(metric, &metric["podSamples"])).collect::<Vec<_>>(),
        "history": history(&input["history"], &input["specReplicas"]),
    });
    document(&settings, role, &seen)
}

/// The desired count comes from an external total with a target of one per replica, and no tolerance.
fn of_desired(input: &Value, role: Value) -> Value {
    let seen = json!({
        "specReplicas": input["currentReplicas"],
        "statusReplicas": input["currentReplicas"],
        "readings": [{"values": [input["desiredReplicas"]]}],
        "history": history(&input["history"], &input["currentReplicas"]),
    });
    document(&json!({"tolerance": 0}), role, &seen)
}

fn external() -> Value {
    json!([{
        "type": "External",
        "external": {"metric": {"name": "load"}, "target": {"type": "AverageValue", "averageValue": 1}},
    }])
}

pub(super) fn of_rate(input: &Value) -> Value {
    let role = json!({
        "minReplicas": input["minReplicas"],
        "maxReplicas": input["maxReplicas"],
        "metrics": external(),
        "behavior": behavior(&input["behavior"]),
    });
    of_desired(input, role)
}

pub(super) fn of_windows(input: &Value) -> Value {
    let mut rules = behavior(&input["behavior"]);
    for direction in ["scaleUp", "scaleDown"] {
        rules[direction]["policies"] = json!([{"type": "Pods", "value": i32::MAX, "periodSeconds": 1}]);
    }
    let role = json!({"minReplicas": 0, "maxReplicas": i32::MAX, "metrics": external(), "behavior": rules});
    of_desired(input, role)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn seconds(value: &Value) -> Value {
    json!(format!("{}s", value.as_i64().expect("seconds")))
}

fn metric(given: &Value) -> Value {
    let mut target = json!({"type": given["targetType"]});
    match text(given, "targetType") {
        "Utilization" => target["averageUtilization"] = given["targetUtilization"].clone(),
        "Value" => target["value"] = quantity(&given["targetValueMilli"]),
        _ => target["averageValue"] = quantity(&given["targetValueMilli"]),
    }
    let named = json!({"name": given["name"]});
    let (field, source) = match text(given, "type") {
        "Resource" => ("resource", json!({"name": given["name"], "target": target})),
        "ContainerResource" => (
            "containerResource",
            json!({"name": given["name"], "container": given["container"], "target": target}),
        ),
        "Pods" => ("pods", json!({"metric": named, "target": target})),
        "Object" => {
            let described = given.get("describedObject").cloned().unwrap_or_else(
                || json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "some-deployment"}),
            );
            ("object", json!({"metric": named, "describedObject": described, "target": target}))
        }
        _ => ("external", json!({"metric": named, "target": target})),
    };
    json!({"type": given["type"], (field): source})
}

fn pod(given: &Value, metric: &Value) -> Value {
    let resource = if text(metric, "type").contains("Resource") { text(metric, "name") } else { "cpu" };
    let container = |given: &Value| {
        let mut container = json!({"name": given["name"]});
        if !given["requestMilli"].is_null() {
            container["resources"] = json!({"requests": {resource: quantity(&given["requestMilli"])}});
        }
        if !given["restartPolicy"].is_null() {
            container["restartPolicy"] = given["restartPolicy"].clone();
        }
        container
    };
    let containers = |key: &str| list(&given[key]).iter().map(container).collect::<Vec<_>>();
    let mut spec =
        json!({"containers": containers("containers"), "initContainers": containers("initContainers")});
    if !given["podRequestMilli"].is_null() {
        spec["resources"] = json!({"requests": {resource: quantity(&given["podRequestMilli"])}});
    }
    let mut pod = json!({
        "metadata": {"name": given["name"], "labels": {"name": "test-pod"}},
        "spec": spec,
        "status": {"phase": given["phase"]},
    });
    if given["deleted"] == true {
        pod["metadata"]["deletionTimestamp"] = json!(now().to_string());
    }
    if !given["startAgeSeconds"].is_null() {
        pod["status"]["startTime"] = age(&given["startAgeSeconds"]);
    }
    if !given["ready"].is_null() {
        let mut ready = json!({"type": "Ready", "status": given["ready"]});
        if !given["readyTransitionAgeSeconds"].is_null() {
            ready["lastTransitionTime"] = age(&given["readyTransitionAgeSeconds"]);
        }
        pod["status"]["conditions"] = json!([ready]);
    }
    pod
}

fn reading(metric: &Value, samples: &Value) -> Value {
    if let Some(error) = metric.get("fetchError").filter(|error| !error.is_null()) {
        return json!({"error": error});
    }
    if let Some(values) = metric.get("values") {
        return json!({"values": list(values).iter().map(quantity).collect::<Vec<_>>()});
    }
    let sample = |given: &Value| {
        let mut sample = json!({
            "pod": given["pod"],
            "timestamp": age(&given["ageSeconds"]),
            "window": seconds(&given["windowSeconds"]),
        });
        if given.get("valueMilli").is_some() {
            sample["value"] = quantity(&given["valueMilli"]);
        } else {
            let usage = list(&given["containers"]).iter().map(|container| {
                let usage = &container["usageMilli"];
                (
                    text(container, "name").to_owned(),
                    if usage.is_null() { Value::Null } else { quantity(usage) },
                )
            });
            sample["containers"] = Value::Object(usage.collect());
        }
        sample
    };
    json!({"samples": list(samples).iter().map(sample).collect::<Vec<_>>()})
}

fn behavior(given: &Value) -> Value {
    if given.is_null() {
        return Value::Null;
    }
    let mut behavior = json!({});
    for direction in ["scaleUp", "scaleDown"] {
        if !given[direction].is_null() {
            behavior[direction] = given[direction].clone();
        }
    }
    behavior
}

fn history(given: &Value, current: &Value) -> Value {
    if given.get("recommendations").is_some_and(Value::is_null) {
        return Value::Null;
    }
    let current = current.as_i64().expect("a count");
    let recommendations = list(&given["recommendations"])
        .iter()
        .map(|entry| json!({"replicas": entry["replicas"], "time": age(&entry["ageSeconds"])}))
        .collect::<Vec<_>>();
    let event = |up: bool| {
        move |entry: &Value| {
            let change = entry["change"].as_i64().expect("a change");
            let other = if up { current + change } else { (current - change).max(0) };
            let from = if up { current } else { other + change };
            json!({"from": from, "to": other, "time": age(&entry["ageSeconds"])})
        }
    };
    let ups = list(&given["scaleUpEvents"]).iter().map(event(true));
    let downs = list(&given["scaleDownEvents"]).iter().map(event(false));
    json!({"recommendations": recommendations, "scaleEvents": ups.chain(downs).collect::<Vec<_>>()})
}
