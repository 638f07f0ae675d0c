//! What a decision sees of a small world.

use std::sync::Arc;

use kube::runtime::watcher::Event;
use rbg_autoscaler::{
    api::{autoscaler::RoleBasedGroupAutoscalerSpec, rbg},
    metrics::{self, PodSamples},
    scaling::{Reading, ReplicaSamples},
    units::MilliValue,
};
use serde_json::{Value, json};

use super::*;
use crate::cache::WorldEvent;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

fn group(roles: impl Into<Value>) -> RoleBasedGroup {
    serde_json::from_value(json!({
        "apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup",
        "metadata": {"name": "demo", "namespace": "a"}, "spec": {"roles": roles.into()}
    }))
    .expect("a group")
}

fn policy(roles: impl Into<Value>) -> Policy {
    let spec: RoleBasedGroupAutoscalerSpec =
        serde_json::from_value(json!({"groupRef": {"name": "demo"}, "roles": roles.into()})).expect("a spec");
    Policy::try_from(&spec).expect("a policy")
}

fn queue_policy(role: &str) -> Policy {
    policy(json!([{"name": role, "maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}]}]))
}

/// A pod of a role: `index` of its replica, `part` of a leader-worker replica.
fn pod(world: &mut World, role: &str, index: u32, part: Option<u32>, ready: bool) {
    let replica = format!("demo-{role}-{index}");
    let name = part.map_or_else(|| replica.clone(), |part| format!("{replica}-{part}"));
    let mut labels = json!({rbg::GROUP_NAME: "demo", rbg::ROLE_NAME: role, rbg::ROLE_INSTANCE_NAME: replica,
        rbg::ROLE_INSTANCE_INDEX: index.to_string()});
    if let Some(part) = part {
        labels[rbg::COMPONENT_INDEX] = json!(part.to_string());
    }
    let pod = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "a", "labels": labels},
        "spec": {"nodeName": "n", "containers": []},
        "status": {"phase": "Running", "startTime": at(0).to_string(),
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}
    }));
    world.take(WorldEvent::Pod(Box::new(Event::Apply(pod.expect("a pod")))));
}

fn adapter(world: &mut World, role: &str, replicas: i32, phase: &str) {
    let adapter = serde_json::from_value(json!({
        "apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroupScalingAdapter",
        "metadata": {"name": format!("demo-{role}"), "namespace": "a", "resourceVersion": "7"},
        "spec": {"replicas": replicas, "scaleTargetRef": {"name": "demo", "role": role}}, "status": {"phase": phase}
    }));
    world.take(WorldEvent::ScalingAdapter(Event::Apply(adapter.expect("an adapter"))));
}

fn metrics_of(samples: &[(&str, i64, i64)], error: Option<metrics::SourceError>) -> Metrics {
    let samples: PodSamples = samples
        .iter()
        .map(|(pod, value, second)| {
            ("a", *pod, metrics::Sample { value: MilliValue::from_whole(*value), time: at(*second) })
        })
        .collect();
    let reading = metrics::Reading {
        window: std::time::Duration::ZERO,
        fold: metrics::Fold::Sum,
        asked_at: at(100),
        samples: Arc::new(samples),
        error,
    };
    Metrics {
        snapshot: Arc::new([("queue_length".to_owned(), reading)].into_iter().collect()),
        known: Arc::new(["queue_length".to_owned(), "qps".to_owned()].into()),
    }
}

fn seen(world: &World, metrics: &Metrics, group: &RoleBasedGroup, policy: &Policy) -> Observed {
    let sources = Sources { world, metrics };
    observe(sources, &ObjectKey::new("a", "demo"), group, policy, &Answers::default(), at(100))
}

fn reading(observed: &Observed) -> &Reading {
    &observed.observation.roles[0].as_ref().expect("the role").readings[0]
}

fn values(reading: &Reading) -> Vec<Option<i64>> {
    let Reading::Replicas(ReplicaSamples { samples, strays, .. }) = reading else { panic!("{reading:?}") };
    assert!(strays.is_empty());
    samples.iter().map(|sample| sample.map(|sample| sample.value.milli() / 1000)).collect()
}

#[test]
fn samples_are_joined_to_live_pods_and_stale_ones_left_out() {
    let mut world = World::default();
    for index in 0..4 {
        pod(&mut world, "decode", index, None, true);
    }
    let metrics = metrics_of(
        &[
            ("demo-decode-0", 5, 99),
            ("demo-decode-1", 7, 30),
            ("demo-decode-2", 9, -1),
            ("demo-decode-9", 99, 99),
        ],
        None,
    );
    let group = group(json!([{"name": "decode", "replicas": 4}]));
    let observed = seen(&world, &metrics, &group, &queue_policy("decode"));
    assert_eq!(
        values(reading(&observed)),
        [Some(5), None, None, None],
        "stale, of an earlier pod, silent; no stray"
    );
    assert_eq!(observed.targets, [Some(Ok(Target::Group { place: 0 }))]);
}

#[test]
fn pods_of_one_replica_combine_as_the_signal_says() {
    let mut world = World::default();
    let labels =
        json!({rbg::GROUP_NAME: "demo", rbg::ROLE_NAME: "decode", rbg::ROLE_INSTANCE_NAME: "demo-decode-0"});
    for name in ["x", "y"] {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "a", "labels": labels},
            "spec": {"nodeName": "n", "containers": []}, "status": {"phase": "Running", "startTime": at(0).to_string()}
        }));
        world.take(WorldEvent::Pod(Box::new(Event::Apply(pod.expect("a pod")))));
    }
    let group = group(json!([{"name": "decode", "replicas": 1}]));
    let metrics = metrics_of(&[("x", 5, 99), ("y", 7, 99)], None);
    let mut reading_of = metrics.snapshot.reading("queue_length").expect("there").clone();
    for (fold, want) in [(metrics::Fold::Sum, 12), (metrics::Fold::Max, 7)] {
        reading_of.fold = fold;
        let snapshot = [("queue_length".to_owned(), reading_of.clone())].into_iter().collect();
        let metrics = Metrics { snapshot: Arc::new(snapshot), known: metrics.known.clone() };
        let observed = seen(&world, &metrics, &group, &queue_policy("decode"));
        assert_eq!(values(reading(&observed)), [Some(want)], "{fold:?}");
    }
}

#[test]
fn only_leaders_speak_for_a_leader_worker_role() {
    let mut world = World::default();
    for index in 0..2 {
        for part in 0..4 {
            pod(&mut world, "prefill", index, Some(part), true);
        }
    }
    let group = group(
        json!([{"name": "router"}, {"name": "prefill", "replicas": 2, "leaderWorkerPattern": {"size": 4}}]),
    );
    let metrics = metrics_of(&[("demo-prefill-0-0", 5, 99), ("demo-prefill-1-1", 7, 99)], None);
    let observed = seen(&world, &metrics, &group, &queue_policy("prefill"));
    let role = observed.observation.roles[0].as_ref().expect("the role");
    assert_eq!((role.replicas.len(), role.pods_per_replica, role.ready_replicas()), (2, 4, 2));
    assert_eq!(values(reading(&observed)), [Some(5), None]);
    assert_eq!(observed.targets, [Some(Ok(Target::Group { place: 1 }))]);
}

#[test]
fn a_bound_scaling_adapter_is_the_truth() {
    let group = group(json!([{"name": "decode", "replicas": 2, "scalingAdapter": {"enable": true}}]));
    let metrics = metrics_of(&[], None);
    let mut world = World::default();
    let look = |world: &World| {
        let observed = seen(world, &metrics, &group, &queue_policy("decode"));
        let replicas = observed.observation.roles[0].as_ref().expect("the role").spec_replicas.get();
        (replicas, observed.targets[0].clone().expect("the role"))
    };
    let missing = Unwritable::NoScalingAdapter("demo-decode".to_owned());
    assert_eq!(look(&world), (2, Err(missing.clone())));
    adapter(&mut world, "decode", 5, "NotBound");
    assert_eq!(look(&world), (2, Err(missing)));
    adapter(&mut world, "decode", 5, "Bound");
    let target = Target::ScalingAdapter { name: "demo-decode".to_owned(), resource_version: "7".to_owned() };
    assert_eq!(look(&world), (5, Ok(target)));
}

#[test]
fn a_rival_keeps_the_role_from_being_written() {
    let group = group(json!([{"name": "decode", "replicas": 2}]));
    let mut world = World::default();
    let rival = serde_json::from_value(json!({
        "metadata": {"name": "hpa", "namespace": "a"},
        "spec": {"maxReplicas": 9, "scaleTargetRef": {"kind": "StatefulSet", "name": "demo-decode"}}
    }));
    world.take(WorldEvent::Rival(Box::new(Event::Apply(rival.expect("an HPA")))));
    let observed = seen(&world, &metrics_of(&[], None), &group, &queue_policy("decode"));
    assert_eq!(observed.targets, [Some(Err(Unwritable::Rival("hpa".to_owned())))]);
}

#[test]
fn a_total_names_the_ready_pods_that_did_not_answer() {
    let mut world = World::default();
    pod(&mut world, "router", 0, None, true);
    pod(&mut world, "router", 1, None, true);
    pod(&mut world, "router", 2, None, false);
    let group = group(json!([{"name": "decode", "replicas": 1}, {"name": "router", "replicas": 3}]));
    let policy = policy(json!([{"name": "decode", "maxReplicas": 8,
        "metrics": [{"name": "queue_length", "target": "4", "role": "router"}]}]));
    let observed = seen(&world, &metrics_of(&[("demo-router-0", 6, 99)], None), &group, &policy);
    let Reading::Total(total) = reading(&observed) else { panic!("{:?}", reading(&observed)) };
    assert_eq!((total.values.as_slice(), total.time), ([MilliValue::from_whole(6)].as_slice(), Some(at(99))));
    assert_eq!(
        (total.expected, total.reported),
        (Some(2), Some(1)),
        "the starting pod is not expected to answer"
    );
    assert_eq!(total.silent, ["demo-router-1"]);
}

#[test]
fn token_work_is_added_up_over_both_windows() {
    let mut world = World::default();
    pod(&mut world, "decode", 0, None, true);
    pod(&mut world, "decode", 1, None, true);
    let group = group(json!([{"name": "decode", "replicas": 2}]));
    let policy =
        policy(json!([{"name": "decode", "maxReplicas": 8, "throughput": {"promptTokensPerSecond": "6500"},
        "metrics": [{"name": "token_utilization", "target": "0.8"}]}]));
    let of = |values: &[(&str, i64)]| {
        let samples = values.iter().map(|(pod, value)| {
            ("a", *pod, metrics::Sample { value: MilliValue::from_whole(*value), time: at(99) })
        });
        metrics::Reading {
            window: std::time::Duration::ZERO,
            fold: metrics::Fold::Sum,
            asked_at: at(100),
            samples: Arc::new(samples.collect()),
            error: None,
        }
    };
    let readings = [
        ("token_utilization/prompt/short", of(&[("demo-decode-0", 100)])),
        ("token_utilization/prompt/long", of(&[("demo-decode-0", 80), ("demo-decode-1", 40)])),
        ("pending_tokens", of(&[("demo-decode-0", 7), ("demo-decode-1", 8)])),
    ];
    let known = readings.iter().map(|(name, _)| (*name).to_owned()).collect();
    let snapshot = readings.into_iter().map(|(name, reading)| (name.to_owned(), reading)).collect();
    let metrics = Metrics { snapshot: Arc::new(snapshot), known: Arc::new(known) };
    let observed = seen(&world, &metrics, &group, &policy);
    let Reading::Tokens(tokens) = reading(&observed) else { panic!("{:?}", reading(&observed)) };
    let whole = |value: i64| Some(MilliValue::from_whole(value));
    assert_eq!(
        (tokens.prompt.short, tokens.prompt.long, tokens.pending_tokens),
        (whole(100), whole(120), whole(15))
    );
    assert_eq!(
        (tokens.expected, tokens.reported),
        (Some(2), Some(1)),
        "a pod without the short window is silent"
    );
    assert_eq!(
        (tokens.silent.as_slice(), tokens.time),
        (["demo-decode-1".to_owned()].as_slice(), Some(at(99)))
    );
    assert_eq!(tokens.generation.short, None, "no throughput, no term");
}

#[test]
fn a_metric_that_cannot_be_read_says_why() {
    struct Case {
        name: &'static str,
        metric: Value,
        want: &'static str,
    }
    let mut world = World::default();
    pod(&mut world, "decode", 0, None, true);
    let group = group(json!([{"name": "decode", "replicas": 1}]));
    let refused = metrics::SourceError::Unreachable {
        source_name: "prometheus at http://p:9090".to_owned(),
        cause: "connection refused".to_owned(),
    };
    let metrics = metrics_of(&[("demo-decode-0", 5, 10)], Some(refused));
    let cases = [
        Case {
            name: "the source is down and what it said is stale",
            metric: json!({"name": "queue_length", "target": "10"}),
            want: "prometheus at http://p:9090: connection refused",
        },
        Case {
            name: "not asked yet",
            metric: json!({"name": "qps", "target": "10"}),
            want: "qps has not been collected yet",
        },
        Case {
            name: "no such signal",
            metric: json!({"name": "queue_lenght", "target": "10"}),
            want: "there is no signal queue_lenght; `kubectl rbga signals` lists those there are",
        },
        Case {
            name: "no such role",
            metric: json!({"name": "qps", "target": "10", "role": "router"}),
            want: "qps has not been collected yet",
        },
    ];
    for Case { name, metric, want } in cases {
        let policy = policy(json!([{"name": "decode", "maxReplicas": 8, "metrics": [metric]}]));
        let observed = seen(&world, &metrics, &group, &policy);
        assert_eq!(*reading(&observed), Reading::Failed(want.to_owned()), "{name}");
    }
}

#[test]
fn a_role_that_the_group_lacks_is_none() {
    let observed = seen(&World::default(), &Metrics::default(), &group(json!([])), &queue_policy("decode"));
    assert!(observed.observation.roles[0].is_none() && observed.targets[0].is_none());
}

#[test]
fn gang_scheduling_that_reaches_no_pod_is_told() {
    let mut world = World::default();
    let labelled = |label: Option<&str>| -> WorldEvent {
        let mut pod = json!({"metadata": {"name": "demo-decode-0", "namespace": "a",
            "labels": {rbg::GROUP_NAME: "demo", rbg::ROLE_NAME: "decode"}}});
        if let Some(label) = label {
            pod["metadata"]["labels"][label] = json!("demo");
        }
        WorldEvent::Pod(Box::new(Event::Apply(serde_json::from_value(pod).expect("a pod"))))
    };
    let key = ObjectKey::new("a", "demo");
    let mut group = group(json!([{"name": "decode", "replicas": 1}]));
    world.take(labelled(None));
    assert_eq!(ineffective_gang_scheduling(&world, &key, &group), None, "nobody asks for it");
    group.metadata.annotations = Some([(rbg::GANG_SCHEDULING.to_owned(), "true".to_owned())].into());
    for (label, told) in [
        (None, true),
        // What upstream sets, and what scheduler-plugins reads.
        (Some("pod-group.scheduling.sigs.k8s.io/name"), true),
        (Some("scheduling.x-k8s.io/pod-group"), false),
    ] {
        world.take(labelled(label));
        let why = ineffective_gang_scheduling(&world, &key, &group);
        assert_eq!(why.is_some(), told, "{label:?}: {why:?}");
        assert!(why.is_none_or(
            |why| why.len() <= 256 && why.contains("lack the label scheduling.x-k8s.io/pod-group")
        ));
    }
}

#[test]
fn a_rollout_shows_in_the_status_of_the_role_or_in_its_pods() {
    let role = |partition: i32| -> Role {
        let role = json!({"name": "decode", "replicas": 4, "rolloutStrategy": {"rollingUpdate": {"partition": partition}}});
        serde_json::from_value(role).expect("a role")
    };
    let rolling = |updated: Value, partition: i32| {
        let status = json!({"name": "decode", "replicas": 4, "updatedReplicas": updated});
        let status = serde_json::from_value(status).expect("a status");
        is_rolling_out(&role(partition), Some(&status), &[])
    };
    assert!(rolling(json!(3), 0));
    assert!(!rolling(json!(4), 0));
    assert!(!rolling(json!(1), 3), "the partition keeps three old");
    assert!(!rolling(json!(null), 0), "nothing is told");
    let shows = |label: &str, revisions: &[&str], partition: i32| {
        let pods = revisions.iter().map(|revision| {
            let pod = serde_json::from_value(json!({"metadata": {"name": "d", "labels": {label: revision}}}));
            RolePod::new(pod.expect("a pod"), Arc::new)
        });
        is_rolling_out(&role(partition), None, &pods.collect::<Vec<_>>())
    };
    for label in [
        "controller-revision-hash",
        "pod-template-hash",
        "leaderworkerset.sigs.k8s.io/template-revision-hash",
    ] {
        assert!(shows(label, &["a", "a", "b"], 0), "{label}");
        assert!(!shows(label, &["a", "a"], 0), "{label}");
    }
    assert!(!shows("pod-template-hash", &["a", "b"], 1), "the partition keeps an old one");
    assert!(!shows("app", &["a", "b"], 0), "no revision");
}
