use serde_json::{Value, json};

use super::*;

fn check(node: &Value, pod: &Value) -> Result<(), Bar> {
    let node: Node = serde_json::from_value(node.clone()).expect("a node");
    let mut pod = pod.clone();
    pod["containers"] = json!([]);
    admits(&node, &serde_json::from_value(pod).expect("a pod spec"))
}

#[expect(clippy::needless_pass_by_value, reason = "json! makes values")]
fn affinity(terms: Value) -> Value {
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
    json!({"affinity": {"nodeAffinity": required}})
}

#[expect(clippy::needless_pass_by_value, reason = "json! makes values")]
fn expression(key: &str, operator: &str, values: Value) -> Value {
    affinity(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
}

#[test]
fn selectors_and_affinity_name_nodes() {
    let node = json!({"metadata": {"name": "n1", "labels": {"gpu": "h100", "slots": "8"}}});
    let field = |operator: &str, name: &str| {
        affinity(json!([{"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]}]))
    };
    for (name, pod, want) in [
        ("nothing asked", json!({}), true),
        ("selector", json!({"nodeSelector": {"gpu": "h100"}}), true),
        ("another selector", json!({"nodeSelector": {"gpu": "a100"}}), false),
        ("In", expression("gpu", "In", json!(["a100", "h100"])), true),
        ("not In", expression("gpu", "In", json!(["a100"])), false),
        ("In, label absent", expression("zone", "In", json!(["a"])), false),
        ("NotIn", expression("gpu", "NotIn", json!(["a100"])), true),
        ("not NotIn", expression("gpu", "NotIn", json!(["h100"])), false),
        ("NotIn, label absent", expression("zone", "NotIn", json!(["a"])), true),
        ("Exists", expression("gpu", "Exists", json!([])), true),
        ("not Exists", expression("zone", "Exists", json!(null)), false),
        ("DoesNotExist", expression("zone", "DoesNotExist", json!([])), true),
        ("not DoesNotExist", expression("gpu", "DoesNotExist", json!([])), false),
        ("Gt", expression("slots", "Gt", json!(["7"])), true),
        ("not Gt", expression("slots", "Gt", json!(["8"])), false),
        ("Lt", expression("slots", "Lt", json!(["9"])), true),
        ("not Lt", expression("slots", "Lt", json!(["8"])), false),
        ("Gt of a text", expression("gpu", "Gt", json!(["1"])), false),
        ("Gt, label absent", expression("zone", "Gt", json!(["1"])), false),
        ("Gt of two bounds", expression("slots", "Gt", json!(["1", "2"])), false),
        ("an unknown operator", expression("gpu", "Like", json!(["h"])), false),
        ("no terms", affinity(json!([])), false),
        ("an empty term", affinity(json!([{}])), false),
        (
            "one of two terms",
            affinity(json!([{}, {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}])),
            true,
        ),
        (
            "both expressions of a term",
            affinity(json!([{"matchExpressions":
                [{"key": "gpu", "operator": "Exists"}, {"key": "zone", "operator": "Exists"}]}])),
            false,
        ),
        ("its name", field("In", "n1"), true),
        ("another name", field("In", "n2"), false),
        ("not another name", field("NotIn", "n2"), true),
        ("node name", json!({"nodeName": "n2"}), false),
        (
            "selector and affinity",
            {
                let mut pod = expression("gpu", "Exists", json!([]));
                pod["nodeSelector"] = json!({"zone": "a"});
                pod
            },
            false,
        ),
    ] {
        assert_eq!(check(&node, &pod), if want { Ok(()) } else { Err(Bar::Selector) }, "{name}");
    }
}

#[test]
fn taints_and_cordons_are_respected() {
    let tainted =
        |effect: &str| json!({"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": effect}]}});
    let tolerate = |toleration: Value| json!({"tolerations": [toleration]});
    let cordoned = json!({"spec": {"unschedulable": true}});
    let ready = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
    for (name, node, pod, want) in [
        ("taint", tainted("NoSchedule"), json!({}), Err(Bar::Taint)),
        ("execute taint", tainted("NoExecute"), json!({}), Err(Bar::Taint)),
        ("a mere preference", tainted("PreferNoSchedule"), json!({}), Ok(())),
        ("tolerated", tainted("NoSchedule"), tolerate(json!({"key": "gpu", "operator": "Exists"})), Ok(())),
        ("equal by default", tainted("NoSchedule"), tolerate(json!({"key": "gpu", "value": "yes"})), Ok(())),
        (
            "another value",
            tainted("NoSchedule"),
            tolerate(json!({"key": "gpu", "value": "no"})),
            Err(Bar::Taint),
        ),
        ("everything", tainted("NoExecute"), tolerate(json!({"operator": "Exists"})), Ok(())),
        (
            "another effect",
            tainted("NoExecute"),
            tolerate(json!({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"})),
            Err(Bar::Taint),
        ),
        (
            "an unknown operator",
            tainted("NoSchedule"),
            tolerate(json!({"key": "gpu", "operator": "Gt"})),
            Err(Bar::Taint),
        ),
        ("cordoned", cordoned.clone(), json!({}), Err(Bar::Cordoned)),
        (
            "cordoned, tolerated",
            cordoned,
            tolerate(json!({"key": UNSCHEDULABLE, "operator": "Exists"})),
            Ok(()),
        ),
        ("ready", ready("True"), json!({}), Ok(())),
        ("not ready", ready("False"), json!({}), Err(Bar::NotReady)),
        ("silent", ready("Unknown"), json!({}), Err(Bar::NotReady)),
        (
            "being deleted",
            json!({"metadata": {"deletionTimestamp": "2026-11-21T10:00:00Z"}}),
            json!({}),
            Err(Bar::NotReady),
        ),
    ] {
        assert_eq!(check(&node, &pod), want, "{name}");
    }
}
