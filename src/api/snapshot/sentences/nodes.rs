//! What fits on the nodes of a document.

use serde_json::{Value, json};

use super::{answer, holds};

/// A node of eight GPUs, and what else is known of it.
fn node(name: &str, labels: &Value, spec: &Value) -> Value {
    json!({"metadata": {"name": name, "labels": labels}, "spec": spec,
        "status": {"allocatable": {"nvidia.com/gpu": "8", "cpu": "64", "pods": "110"}}})
}

/// A pod of somebody else that asks for so many GPUs.
fn other(gpus: &str, spec: &Value) -> Value {
    let mut pod = json!({"metadata": {"name": "other", "namespace": "jobs"}, "spec": spec});
    pod["spec"]["containers"] = json!([{"name": "c", "resources": {"requests": {"nvidia.com/gpu": gpus}}}]);
    pod
}

/// One replica that wants to be ten, in mode Fit; a new one takes four GPUs.
fn document(template: &Value, capacity: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "e", "resources": {"limits": {"nvidia.com/gpu": "4"}}}]});
    for (key, value) in template.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    json!({
        "now": "2026-11-21T10:00:00Z",
        "autoscaler": {"spec": {"groupRef": {"name": "demo"}, "capacity": {"mode": "Fit"}, "roles": [
            {"name": "decode", "maxReplicas": 10,
                "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}]}},
                "metrics": [{"name": "qps", "target": "10", "role": "router"}]}]}},
        "roles": {"decode": {"specReplicas": 1, "templates": [{"count": 1, "spec": spec}],
            "readings": [{"values": ["100"]}], "history": {"recommendations": []}}},
        "capacity": capacity,
    })
}

#[test]
fn only_what_fits_now_is_asked_for() {
    let none = || json!({});
    let plain = || json!([node("n", &none(), &none())]);
    let tainted = |effect: &str| {
        json!([node("n", &none(), &json!({"taints": [{"key": "x", "value": "y", "effect": effect}]}))])
    };
    let labelled = || json!([node("n", &json!({"gpu": "80"}), &none())]);
    let affinity = |operator: &str, values: Value| {
        let term = json!({"matchExpressions": [{"key": "gpu", "operator": operator, "values": values}]});
        let required = json!({"nodeSelectorTerms": [term]});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
    };
    let tolerates = |toleration: Value| json!({"tolerations": [toleration]});
    let init = |gpus: &str, policy: Value| {
        let limits = json!({"nvidia.com/gpu": gpus});
        json!({"initContainers": [{"name": "i", "restartPolicy": policy, "resources": {"limits": limits}}]})
    };
    let terminating = || {
        let mut pod = other("4", &json!({"nodeName": "n"}));
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-21T09:59:00Z");
        pod
    };
    let done = || {
        let mut pod = other("8", &json!({"nodeName": "n"}));
        pod["status"] = json!({"phase": "Succeeded"});
        pod
    };
    let zero = || json!({"priority": 0});
    for (name, template, nodes, pods, want) in [
        ("no nodes, no room", none(), json!([]), json!([]), 1),
        ("two fit", none(), plain(), json!([]), 3),
        (
            "a cordoned node takes none",
            none(),
            json!([node("n", &none(), &json!({"unschedulable": true}))]),
            json!([]),
            1,
        ),
        ("nor does a tainted one", none(), tainted("NoSchedule"), json!([]), 1),
        ("PreferNoSchedule is a wish", none(), tainted("PreferNoSchedule"), json!([]), 3),
        (
            "tolerated",
            tolerates(json!({"key": "x", "operator": "Exists"})),
            tainted("NoExecute"),
            json!([]),
            3,
        ),
        (
            "another value is not tolerated",
            tolerates(json!({"key": "x", "value": "z"})),
            tainted("NoSchedule"),
            json!([]),
            1,
        ),
        ("node selector", json!({"nodeSelector": {"gpu": "80"}}), labelled(), json!([]), 3),
        (
            "a node selector that no node has",
            json!({"nodeSelector": {"gpu": "40"}}),
            labelled(),
            json!([]),
            1,
        ),
        ("affinity In", affinity("In", json!(["80"])), labelled(), json!([]), 3),
        ("affinity NotIn", affinity("NotIn", json!(["80"])), labelled(), json!([]), 1),
        ("affinity Gt", affinity("Gt", json!(["79"])), labelled(), json!([]), 3),
        ("affinity DoesNotExist", affinity("DoesNotExist", Value::Null), labelled(), json!([]), 1),
        ("an init container's larger request counts", init("8", Value::Null), plain(), json!([]), 2),
        ("a sidecar's counts on top", init("1", json!("Always")), plain(), json!([]), 2),
        ("pods that end still hold", none(), plain(), json!([terminating()]), 2),
        ("pods that are done hold nothing", none(), plain(), json!([done()]), 3),
        ("waiting pods of equal priority go first", zero(), plain(), json!([other("8", &zero())]), 1),
        ("so do those of higher priority", zero(), plain(), json!([other("8", &json!({"priority": 5}))]), 1),
        ("those of lower priority do not", zero(), plain(), json!([other("8", &json!({"priority": -5}))]), 3),
    ] {
        let answer = answer(&document(&template, &json!({"nodes": nodes, "pods": pods})));
        let reason = if want < 10 { json!("NoFit") } else { Value::Null };
        holds(name, &answer, vec![("~/desiredReplicas", json!(want)), ("~/decision/1/reason", reason)]);
    }
}

#[test]
fn what_was_just_given_away_is_gone_and_what_cannot_be_seen_fits() {
    let unknown = || {
        vec![
            ("~/desiredReplicas", json!(10)),
            ("/conditions/1/status", json!("Unknown")),
            ("/conditions/1/reason", json!("Unknown")),
        ]
    };
    let zones = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
    let spread = json!({"topologySpreadConstraints": [zones]});
    let many: Vec<_> = (0..5).map(|place| node(&format!("n{place}"), &json!({}), &json!({}))).collect();
    let reserved = json!([{"node": "n0", "requests": {"nvidia.com/gpu": "8"}}]);
    for (name, template, capacity, want) in [
        (
            "reserved",
            json!({}),
            json!({"nodes": [many[0].clone(), many[1].clone()], "reserved": reserved}),
            vec![("~/desiredReplicas", json!(3)), ("/conditions/1/reason", json!("NoFit"))],
        ),
        ("nodes that are not known", json!({}), json!({"pods": []}), unknown()),
        ("no capacity at all", json!({}), Value::Null, unknown()),
        ("what is not modelled", spread.clone(), json!({"nodes": many}), unknown()),
        // Of it, what is modelled counts all the same: room for two.
        (
            "GPUs that are not there are not there",
            spread,
            json!({"nodes": [many[0].clone()]}),
            vec![("~/desiredReplicas", json!(3))],
        ),
    ] {
        holds(name, &answer(&document(&template, &capacity)), want);
    }
}
