use serde_json::{Value, json};

use super::*;

fn spec(value: Value) -> PodSpec {
    serde_json::from_value(value).expect("a pod spec")
}

#[expect(clippy::needless_pass_by_value, reason = "json! makes values")]
fn container(requests: Value, limits: Value) -> Value {
    json!({"name": "c", "resources": {"requests": requests, "limits": limits}})
}

fn cpu(cpu: &str) -> Value {
    container(json!({"cpu": cpu}), json!({}))
}

fn sidecar(cpu: &str) -> Value {
    json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}})
}

#[test]
fn requests_are_counted_as_the_scheduler_counts_them() {
    for (name, value, resource, want) in [
        ("nothing", json!({"containers": [{"name": "c"}]}), "cpu", 0),
        ("the sum of containers", json!({"containers": [cpu("1"), cpu("500m")]}), "cpu", 1500),
        (
            "an absent request is the limit",
            json!({"containers": [container(json!({"cpu": "1"}), json!({"nvidia.com/gpu": "8", "cpu": "2"}))]}),
            "nvidia.com/gpu",
            8000,
        ),
        (
            "a request is not",
            json!({"containers": [container(json!({"cpu": "1"}), json!({"cpu": "2"}))]}),
            "cpu",
            1000,
        ),
        (
            "an init container that is larger",
            json!({"containers": [cpu("1")], "initContainers": [cpu("3"), cpu("2")]}),
            "cpu",
            3000,
        ),
        (
            "an init container that is smaller",
            json!({"containers": [cpu("4")], "initContainers": [cpu("3")]}),
            "cpu",
            4000,
        ),
        (
            "a sidecar runs beside the containers",
            json!({"containers": [cpu("4")], "initContainers": [sidecar("1")]}),
            "cpu",
            5000,
        ),
        (
            "and beside the init containers after it",
            json!({"containers": [cpu("1")], "initContainers": [sidecar("1"), cpu("5")]}),
            "cpu",
            6000,
        ),
        (
            "but not beside those before it",
            json!({"containers": [cpu("1")], "initContainers": [cpu("5"), sidecar("1")]}),
            "cpu",
            5000,
        ),
        (
            "overhead comes on top",
            json!({"containers": [cpu("1")], "overhead": {"cpu": "250m"}}),
            "cpu",
            1250,
        ),
        (
            "a pod-level request replaces the sum",
            json!({"containers": [cpu("1")], "resources": {"requests": {"cpu": "3"}}, "overhead": {"cpu": "1"}}),
            "cpu",
            4000,
        ),
        (
            "a pod-level limit does not, where containers ask",
            json!({"containers": [cpu("1")], "resources": {"limits": {"cpu": "3"}}}),
            "cpu",
            1000,
        ),
        (
            "it does where none does",
            json!({"containers": [{"name": "c"}], "resources": {"limits": {"memory": "1Gi"}}}),
            "memory",
            1024 * 1024 * 1024 * 1000,
        ),
        (
            "devices have no pod level",
            json!({"containers": [cpu("1")], "resources": {"requests": {"nvidia.com/gpu": "3"}}}),
            "nvidia.com/gpu",
            0,
        ),
        (
            "an unreadable quantity is more than any node has",
            json!({"containers": [cpu("many")]}),
            "cpu",
            i64::MAX,
        ),
    ] {
        assert_eq!(of_pod(&spec(value), resource, true), want, "{name}");
    }
    let pod_level = json!({"containers": [cpu("1")], "resources": {"requests": {"cpu": "3"}}});
    assert_eq!(of_pod(&spec(pod_level), "cpu", false), 1000, "switched off");
}

#[test]
fn what_is_not_modelled_is_named() {
    let term = json!([{"topologyKey": "zone"}]);
    for (value, want) in [
        (json!({"containers": []}), &[][..]),
        (
            json!({"containers": [], "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}}),
            &["pod affinity"][..],
        ),
        (
            json!({"containers": [], "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}}),
            &["pod affinity"],
        ),
        (
            json!({"containers": [], "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}}),
            &[],
        ),
        (
            json!({"containers": [], "topologySpreadConstraints":
                [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
            &["topology spread"],
        ),
        (
            json!({"containers": [], "topologySpreadConstraints":
                [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]}),
            &[],
        ),
        (json!({"containers": [], "resourceClaims": [{"name": "gpu"}]}), &["resource claims"]),
        (
            json!({"containers": [], "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "m"}}]}),
            &[],
        ),
        (
            json!({"containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "weights"}}]}),
            &["volumes"],
        ),
    ] {
        let found: Vec<_> = not_modelled(&spec(value.clone())).into_iter().collect();
        assert_eq!(found, want, "{value}");
    }
}

#[test]
fn host_ports_are_those_of_the_node() {
    let with = |network: bool| {
        spec(json!({"hostNetwork": network, "containers": [{"name": "c", "ports": [
            {"containerPort": 8000}, {"containerPort": 1, "hostPort": 9000, "protocol": "UDP"}]}]}))
    };
    assert_eq!(host_ports(&with(false)).into_iter().collect::<Vec<_>>(), [(9000, "UDP")]);
    assert_eq!(host_ports(&with(true)).into_iter().collect::<Vec<_>>(), [(8000, "TCP"), (9000, "UDP")]);
}
