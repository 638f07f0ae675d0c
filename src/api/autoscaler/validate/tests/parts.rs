//! Metrics, behaviors, ratios, capacity and schedules.

use serde_json::{Value, json};

use super::{breach, refuse};

#[test]
fn metrics_are_judged() {
    let external =
        |target: Value| json!({"type": "External", "external": {"metric": {"name": "m"}, "target": target}});
    let at = "/roles/0/metrics/0";
    let field = "spec.roles[0].metrics[0]";
    let with = |entry: Value, sub: &'static str, says: &'static str| {
        let field: &'static str = Box::leak(format!("{field}{sub}").into_boxed_str());
        breach(at, entry, field, says)
    };
    refuse(vec![
        with(json!({"target": "1"}), ".name", "write {name: queue_length"),
        with(json!({"name": "qps"}), ".target", "write the target per replica"),
        with(json!({"name": "qps", "target": "0"}), ".target", "is not above zero"),
        with(json!({"name": "q ps", "target": "1"}), ".name", "is not the name of a signal"),
        with(json!({"name": "ttft_p95", "target": "1"}), ".name", "is a latency"),
        with(
            json!({"name": "qps", "target": "1", "lookahead": "1m"}),
            ".lookahead",
            "only works with token_utilization",
        ),
        with(
            json!({"name": "token_utilization", "target": "1", "role": "x"}),
            ".role",
            "measures the role itself",
        ),
        with(
            json!({"name": "token_utilization", "target": "1", "lookahead": "0s"}),
            ".lookahead",
            "not above zero",
        ),
        with(json!({"name": "qps", "type": "Pods", "target": "1"}), "", "two forms in one entry"),
        with(
            json!({"name": "qps", "target": "1", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}}),
            ".external",
            "needs a type",
        ),
        with(json!({"type": "Cheese"}), ".type", "write Pods, Object, External"),
        with(json!({"type": "Pods"}), ".pods", "type Pods needs it"),
        with(
            json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}}, "target": "1"}),
            ".target",
            "belongs to the short form",
        ),
        with(
            json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}}),
            ".pods.target",
            "write averageValue",
        ),
        with(
            json!({"type": "Pods", "pods": {"metric": {"name": "a/b"}, "target": {"type": "AverageValue", "averageValue": "1"}}}),
            ".pods.metric.name",
            "cannot stand in a path",
        ),
        with(external(json!({"type": "Value"})), ".external.target", "exactly one of value and averageValue"),
        with(
            external(json!({"type": "Value", "value": "1", "averageValue": "1"})),
            ".external.target",
            "remove the other",
        ),
        with(
            external(json!({"type": "Value", "value": "-1"})),
            ".external.target.value",
            "is not above zero",
        ),
        with(
            external(json!({"type": "Value", "value": "ten"})),
            ".external.target.value",
            "is not a quantity",
        ),
        with(
            external(json!({"type": "Most", "value": "1"})),
            ".external.target.type",
            "write Utilization, Value or AverageValue",
        ),
        with(
            json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 0}}}),
            ".resource.target.averageUtilization",
            "0 is not above zero",
        ),
        with(
            json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}),
            ".resource.target",
            "exactly one of averageUtilization",
        ),
        with(
            json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "No", "target": {"type": "Utilization", "averageUtilization": 1}}}),
            ".containerResource.container",
            "is not the name of a container",
        ),
        with(
            json!({"type": "Object", "object": {"metric": {"name": "m"}, "describedObject": {"kind": "", "name": "x"}, "target": {"type": "Value", "value": "1"}}}),
            ".object.describedObject.kind",
            "write a name",
        ),
    ]);
}

#[test]
fn behaviors_are_judged() {
    let down = "/roles/0/behavior/scaleDown";
    let policies = |policy: Value| json!({"policies": [policy]});
    refuse(vec![
        breach(
            down,
            json!({"stabilizationWindowSeconds": 3601}),
            "spec.roles[0].behavior.scaleDown.stabilizationWindowSeconds",
            "write 0 to 3600",
        ),
        breach(
            down,
            json!({"selectPolicy": "Most"}),
            "spec.roles[0].behavior.scaleDown.selectPolicy",
            "write Max, Min or Disabled",
        ),
        breach(
            down,
            json!({"policies": []}),
            "spec.roles[0].behavior.scaleDown.policies",
            "write at least one",
        ),
        breach(
            down,
            json!({"tolerance": "-0.1"}),
            "spec.roles[0].behavior.scaleDown.tolerance",
            "zero or more",
        ),
        breach(
            down,
            policies(json!({"type": "Pod", "value": 1, "periodSeconds": 1})),
            "spec.roles[0].behavior.scaleDown.policies[0].type",
            "write Pods",
        ),
        breach(
            down,
            policies(json!({"type": "Pods", "value": 0, "periodSeconds": 1})),
            "spec.roles[0].behavior.scaleDown.policies[0].value",
            "write 1 or more",
        ),
        breach(
            down,
            policies(json!({"type": "Pods", "value": 1, "periodSeconds": 1801})),
            "spec.roles[0].behavior.scaleDown.policies[0].periodSeconds",
            "write 1 to 1800",
        ),
    ]);
}

#[test]
fn ratios_capacity_and_schedules_are_judged() {
    refuse(vec![
        breach("/ratios/0/roles", json!(["prefill"]), "spec.ratios[0].roles", "name two roles"),
        breach("/ratios/0/roles", json!(["prefill", "prefill"]), "spec.ratios[0].roles", "name two roles"),
        breach(
            "/ratios/0/roles",
            json!(["prefill", "router"]),
            "spec.ratios[0].roles[1]",
            "write one of prefill, decode",
        ),
        breach(
            "/ratios/0",
            json!({"roles": ["prefill", "decode"]}),
            "spec.ratios[0].min",
            "write min, max or both",
        ),
        breach("/ratios/0/min", json!("0:1"), "spec.ratios[0].min", "is not a ratio"),
        breach("/ratios/0/min", json!("1:10000"), "spec.ratios[0].min", "is not a ratio"),
        breach("/ratios/0/min", json!("3:1"), "spec.ratios[0].min", "is above max"),
        breach(
            "/ratios/0",
            json!({"roles": ["prefill", "decode"], "min": "9:1"}),
            "spec.ratios[0]",
            "never satisfy the ratio",
        ),
        breach(
            "/ratios/0",
            json!({"roles": ["prefill", "decode"], "min": "5:7", "max": "5:7"}),
            "spec.ratios[0]",
            "never satisfy the ratio",
        ),
        breach("/capacity/pendingTimeout", json!("0s"), "spec.capacity.pendingTimeout", "not above zero"),
        breach("/capacity/backoff/max", json!("1m"), "spec.capacity.backoff.max", "write 2m or more"),
        breach("/schedules/0/name", json!(""), "spec.schedules[0].name", "write a name"),
        breach("/schedules/0/from", json!("25:00"), "spec.schedules[0].from", "25:00"),
        breach("/schedules/0/timezone", json!("Mars/Base"), "spec.schedules[0].timezone", "Mars/Base"),
        breach("/schedules/0/roles", json!([]), "spec.schedules[0].roles", "name at least one role"),
        breach(
            "/schedules/0/roles/0/name",
            json!("router"),
            "spec.schedules[0].roles[0].name",
            "write one of prefill, decode",
        ),
        breach(
            "/schedules/0/roles/0/minReplicas",
            json!(7),
            "spec.schedules[0].roles[0].minReplicas",
            "write 6 or 8",
        ),
        breach(
            "/schedules/0/roles/0/minReplicas",
            json!(64),
            "spec.schedules[0].roles[0].minReplicas",
            "leaves no count",
        ),
        breach(
            "/schedules/0/roles/0/minReplicas",
            Value::Null,
            "spec.schedules[0].roles[0].minReplicas",
            "write minReplicas, maxReplicas or both",
        ),
    ]);
}
