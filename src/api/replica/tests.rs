//! Folds of pods.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::{
    units::MilliValue,
    vectors::{int, list, name, of_scope},
};

fn pods(values: Value) -> Vec<RolePod> {
    let pods: Vec<Pod> = serde_json::from_value(values).expect("pods");
    pods.into_iter().map(|pod| RolePod::new(pod, Arc::new)).collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

/// A pod of a leader-worker replica.
fn member(replica: u32, index: u32, ready: &str, since: i64) -> Value {
    json!({
        "metadata": {
            "name": format!("decode-{replica}-{index}"),
            "labels": {
                "rbg.workloads.x-k8s.io/role-instance-name": format!("decode-{replica}"),
                "rbg.workloads.x-k8s.io/role-instance-index": replica.to_string(),
                "rbg.workloads.x-k8s.io/component-index": index.to_string(),
            },
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "engine", "resources": {"requests": {"cpu": "2"}}}]},
        "status": {
            "phase": "Running",
            "startTime": at(since - 10).to_string(),
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": at(since).to_string()}],
        },
    })
}

fn sample(value: i64, time: i64, window: u64) -> Sample {
    Sample { value: MilliValue::from_whole(value), time: at(time), window: Duration::from_secs(window) }
}

#[test]
fn requests_are_those_of_the_hpa() {
    for vector in of_scope("requests") {
        let (input, expect) = (&vector["input"], &vector["expect"]);
        let resource = input["resource"].as_str().expect("a resource");
        let container = |given: &Value| {
            let mut container = json!({"name": given["name"], "restartPolicy": given["restartPolicy"]});
            if let Some(milli) = given["requestMilli"].as_i64() {
                container["resources"] = json!({"requests": {resource: format!("{milli}m")}});
            }
            container
        };
        let given = list(&input["pods"]).iter().map(|pod| {
            let of = |key: &str| list(&pod[key]).iter().map(container).collect::<Vec<_>>();
            let mut spec = json!({"containers": of("containers"), "initContainers": of("initContainers")});
            if let Some(milli) = pod["podRequestMilli"].as_i64() {
                spec["resources"] = json!({"requests": {resource: format!("{milli}m")}});
            }
            json!({"metadata": {"name": pod["name"]}, "spec": spec})
        });
        let given = pods(given.collect());
        let fold = ReplicaFold::of(&given, 1);
        let answer = fold.requests(RequestSource {
            resource,
            container: input["container"].as_str().filter(|container| !container.is_empty()),
            pod_level: input["podLevelResources"] == true,
        });
        match (answer, expect["error"].as_str()) {
            (Ok(requests), None) => {
                let by_name = fold.replicas.iter().map(|replica| replica.name.clone()).zip(requests);
                let got: BTreeMap<_, _> = by_name.collect();
                let want = expect["requestsMilli"].as_object().expect("requests");
                let want = want.iter().map(|(name, milli)| (name.clone(), int(milli))).collect();
                assert_eq!(got, want, "{}", name(&vector));
            }
            (Err(error), Some(want)) => assert!(error.contains(want), "{}: {error}", name(&vector)),
            (answer, _) => panic!("{}: {answer:?}", name(&vector)),
        }
    }
}

#[test]
fn a_replica_is_the_fold_of_its_pods() {
    let given = pods(json!([
        member(1, 0, "True", 100),
        member(1, 1, "Unknown", 90),
        member(0, 0, "True", 100),
        member(0, 1, "False", 120),
        member(2, 0, "True", 100),
    ]));
    let fold = ReplicaFold::of(&given, 2);
    let seen: Vec<_> = fold
        .replicas
        .iter()
        .map(|replica| {
            (
                replica.name.as_str(),
                replica.ordinal,
                replica.phase,
                replica.ready.map(|r| (r.status, r.since)),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("decode-0", Some(0), Phase::Running, Some((ReadyStatus::False, Some(at(120))))),
            ("decode-1", Some(1), Phase::Running, Some((ReadyStatus::Unknown, Some(at(100))))),
            ("decode-2", Some(2), Phase::Pending, Some((ReadyStatus::True, Some(at(100))))),
        ]
    );
    assert_eq!(fold.replicas[0].started, Some(at(110)));
    assert_eq!((fold.replicas[0].pods, fold.replicas[2].pods, fold.replicas[2].bound_pods), (2, 1, 1));
}

#[test]
fn the_leader_speaks_and_resources_add_up() {
    let given = pods(json!([member(0, 0, "True", 100), member(0, 1, "True", 100)]));
    let fold = ReplicaFold::of(&given, 2);
    let signal =
        fold.join([("decode-0-0", sample(7, 50, 30)), ("decode-0-1", sample(5, 40, 60))], Fold::Sum, true);
    assert_eq!(signal.samples, [Some(sample(7, 50, 30))], "workers do not report");
    let lost = fold.join([("decode-0-1", sample(5, 40, 60))], Fold::Sum, true);
    assert_eq!(lost.samples, [None], "the leader is silent");
    let usage = fold.join_usage([("decode-0-0", sample(7, 50, 30)), ("decode-0-1", sample(5, 40, 60))], true);
    assert_eq!(usage.samples, [Some(sample(12, 40, 60))], "oldest time, longest window");
    let source = RequestSource { resource: "cpu", container: None, pod_level: true };
    assert_eq!(fold.requests(source), Ok(vec![4000]));
    assert_eq!(fold.silent(|pod| pod != "decode-0-0"), ["decode-0-0"]);
}

#[test]
fn without_a_leader_every_pod_reports() {
    let mut given = json!([member(0, 0, "True", 100), member(0, 1, "True", 100)]);
    for pod in given.as_array_mut().expect("a list") {
        let labels = pod["metadata"]["labels"].as_object_mut().expect("labels");
        labels.remove("rbg.workloads.x-k8s.io/component-index");
    }
    let given = pods(given);
    let fold = ReplicaFold::of(&given, 2);
    let samples =
        [("decode-0-0", sample(7, 50, 30)), ("decode-0-1", sample(5, 40, 60)), ("stranger", sample(1, 1, 1))];
    let signal = fold.join(samples, Fold::Max, true);
    assert_eq!(signal.samples, [Some(sample(7, 40, 60))], "a share: the largest");
    assert_eq!(signal.strays, [sample(1, 1, 1)]);
    assert_eq!(fold.join([samples[0]], Fold::Sum, true).samples, [None], "one of two is missing");
}

#[test]
fn of_two_samples_of_one_pod_the_newer_counts_then_the_larger() {
    let pods = pods(json!([{"metadata": {"name": "a"}}]));
    let fold = ReplicaFold::of(&pods, 1);
    for (name, samples, want) in [
        ("the newer", [sample(9, 40, 30), sample(5, 50, 30)], 5),
        ("of equally new ones the larger", [sample(9, 50, 30), sample(5, 50, 30)], 9),
    ] {
        let want = MilliValue::from_whole(want);
        for pod in ["a", "gone"] {
            for samples in [samples, [samples[1], samples[0]]] {
                let joined = fold.join(samples.map(|sample| (pod, sample)), Fold::Sum, true);
                let found: Vec<_> = joined.samples.iter().flatten().chain(&joined.strays).collect();
                assert_eq!(found.len(), 1, "{name}");
                assert_eq!(found[0].value, want, "{name}, {pod}");
            }
        }
    }
}

#[test]
fn ordinals_come_from_labels_else_from_names() {
    let named = |names: &[&str]| {
        let given = pods(names.iter().map(|name| json!({"metadata": {"name": name}})).collect());
        let fold = ReplicaFold::of(&given, 1);
        fold.replicas.iter().map(|replica| (replica.name.clone(), replica.ordinal)).collect::<Vec<_>>()
    };
    assert_eq!(named(&["p-10", "p-9"]), [("p-9".to_owned(), Some(9)), ("p-10".to_owned(), Some(10))]);
    assert_eq!(named(&["p-x7k2f", "p-24567"]), [("p-24567".to_owned(), None), ("p-x7k2f".to_owned(), None)]);
    assert_eq!(named(&["p-1", "q-1"]), [("p-1".to_owned(), None), ("q-1".to_owned(), None)], "not distinct");
}
