//! Turns on a small world, and what their errands ask of a fake API server.

use std::sync::{Mutex, PoisonError};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::{client::Body, core::DeserializeGuard, runtime::watcher::Event};
use rbg_autoscaler::{
    api::rbg,
    metrics::{self, PodSamples, Snapshot},
    units::MilliValue,
};
use serde_json::{Value, json};

use super::*;
use crate::{cache::WorldEvent, events::Happening};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

fn key() -> ObjectKey {
    ObjectKey::new("a", "demo")
}

fn queue(reconciler: &mut Reconciler, second: i64, values: &[(&str, i64)]) {
    let samples: PodSamples = values
        .iter()
        .map(|(pod, value)| {
            ("a", *pod, metrics::Sample { value: MilliValue::from_whole(*value), time: at(second) })
        })
        .collect();
    let reading = metrics::Reading {
        window: std::time::Duration::ZERO,
        fold: metrics::Fold::Sum,
        asked_at: at(second),
        samples: Arc::new(samples),
        error: None,
    };
    let snapshot: Snapshot = [("queue_length".to_owned(), reading)].into_iter().collect();
    reconciler.metrics =
        Metrics { snapshot: Arc::new(snapshot), known: Arc::new(["queue_length".to_owned()].into()) };
}

fn group(replicas: i32, generation: i64) -> WorldEvent {
    let group = serde_json::from_value(json!({
        "apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup",
        "metadata": {"name": "demo", "namespace": "a", "uid": "g", "generation": generation,
            "resourceVersion": (10 * generation).to_string()},
        "spec": {"roles": [{"name": "decode", "replicas": replicas}]}
    }));
    WorldEvent::Group(Event::Apply(group.expect("a group")))
}

/// The policy `p` as of a generation.
fn policy_of(generation: i64, spec: &Value) -> WorldEvent {
    let WorldEvent::Autoscaler(Event::Apply(DeserializeGuard(Ok(mut edited)))) =
        policy("p", 0, &json!({}), spec)
    else {
        unreachable!("a policy that can be read")
    };
    edited.metadata.generation = Some(generation);
    WorldEvent::Autoscaler(Event::Apply(DeserializeGuard(Ok(edited))))
}

fn policy(name: &str, created: i64, labels: &Value, spec: &Value) -> WorldEvent {
    let policy: RoleBasedGroupAutoscaler = serde_json::from_value(json!({
        "apiVersion": "rbg-autoscaler.dev/v1alpha1", "kind": "RoleBasedGroupAutoscaler",
        "metadata": {"name": name, "namespace": "a", "uid": name, "generation": 1, "labels": labels,
            "creationTimestamp": at(created).to_string()},
        "spec": spec,
    }))
    .expect("a policy");
    WorldEvent::Autoscaler(Event::Apply(DeserializeGuard(Ok(policy))))
}

fn spec() -> Value {
    json!({"groupRef": {"name": "demo"}, "roles": [{"name": "decode", "maxReplicas": 8, "behavior": {},
        "metrics": [{"name": "queue_length", "target": "10"}]}]})
}

fn pod(index: u32) -> WorldEvent {
    let name = format!("demo-decode-{index}");
    let labels = json!({rbg::GROUP_NAME: "demo", rbg::ROLE_NAME: "decode", rbg::ROLE_INSTANCE_NAME: name,
        rbg::ROLE_INSTANCE_INDEX: index.to_string()});
    let pod = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "a", "labels": labels}, "spec": {"nodeName": "n", "containers": []},
        "status": {"phase": "Running", "startTime": at(-600).to_string(),
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(-500).to_string()}]}
    }));
    WorldEvent::Pod(Box::new(Event::Apply(pod.expect("a pod"))))
}

/// One role of two pods with a policy; nothing is decided yet.
fn reconciler() -> Reconciler {
    let mut reconciler = Reconciler::default();
    for event in [group(2, 1), policy("p", 0, &json!({}), &spec()), pod(0), pod(1)] {
        reconciler.world.take(event);
    }
    reconciler
}

/// An API server that takes everything, or refuses writes of groups, and keeps what it was asked.
#[derive(Clone, Default)]
struct Server {
    refuses: Option<StatusCode>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let line = format!("{} {}", parts.method, parts.uri.path());
                let (code, answer) = match server.refuses {
                    Some(code) if line.contains("rolebasedgroups/") => (
                        code,
                        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "No",
                            "code": code.as_u16()}),
                    ),
                    _ => (
                        StatusCode::OK,
                        json!({"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "demo", "generation": 2},
                            "spec": {"roles": [], "groupRef": {"name": "demo"}}}),
                    ),
                };
                server.asked.lock().unwrap_or_else(PoisonError::into_inner).push((line, body));
                let answer = Body::from(serde_json::to_vec(&answer).expect("JSON"));
                Ok::<_, std::convert::Infallible>(
                    Response::builder().status(code).body(answer).expect("a response"),
                )
            }
        });
        Client::new(service, "default")
    }

    fn lines(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().map(|(line, _)| line.rsplit('/').next().unwrap_or(line).to_owned()).collect()
    }

    fn last_status(&self) -> Value {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, body) = asked.iter().rfind(|(line, _)| line.ends_with("/status")).expect("a status");
        body[1]["value"].clone()
    }
}

/// Takes a turn, runs its errand, settles; returns the reasons of events, or `None` when there was no errand.
async fn turn(reconciler: &mut Reconciler, server: &Server, second: i64) -> Option<Vec<String>> {
    let Turn::Errand(task) = reconciler.turn(&key(), at(second)) else { return None };
    assert!(matches!(reconciler.turn(&key(), at(second)), Turn::Waiting), "one errand at a time");
    let (recorder, mut happenings) = Recorder::to_queue();
    let returned = task.run(server.client(), recorder, Arc::default()).await;
    reconciler.settle(&returned, at(second));
    let mut reasons = Vec::new();
    while let Ok(Happening { reason, .. }) = happenings.try_recv() {
        reasons.push(reason);
    }
    Some(reasons)
}

#[tokio::test]
async fn scales_up_once_and_then_keeps_quiet() {
    let (mut reconciler, server) = (reconciler(), Server::default());
    queue(&mut reconciler, 0, &[("demo-decode-0", 20), ("demo-decode-1", 20)]);
    assert_eq!(turn(&mut reconciler, &server, 0).await, Some(vec!["SuccessfulRescale".to_owned()]));
    assert_eq!(server.lines(), ["demo", "status"]);
    let status = server.last_status();
    insta::assert_yaml_snapshot!(status, @r#"
    conditions:
      - lastTransitionTime: "2027-01-15T08:00:00Z"
        message: "replicas follow the policy; decode: 2 of 4 replicas are ready"
        reason: Scaling
        status: "True"
        type: Ready
      - lastTransitionTime: "2027-01-15T08:00:00Z"
        message: every metric answered
        reason: AllAnswered
        status: "True"
        type: MetricsHealthy
      - lastTransitionTime: "2027-01-15T08:00:00Z"
        message: nothing is kept back for want of room
        reason: NotLimited
        status: "False"
        type: CapacityLimited
    observedGeneration: 1
    roles:
      - conditions:
          - lastTransitionTime: "2027-01-15T08:00:00Z"
            message: replicas were set from 2 to 4
            reason: SucceededRescale
            status: "True"
            type: AbleToScale
          - lastTransitionTime: "2027-01-15T08:00:00Z"
            message: the count was computed from queue_length
            reason: ValidMetricFound
            status: "True"
            type: ScalingActive
          - lastTransitionTime: "2027-01-15T08:00:00Z"
            message: the desired count is within the acceptable range
            reason: DesiredWithinRange
            status: "False"
            type: ScalingLimited
        decision:
          - from: 2
            message: "queue_length: 20 per replica over 2 ready replicas, target 10: 4, so 4"
            reason: MetricsProposal
            stage: metrics
            to: 4
        desiredReplicas: 4
        gangReplicas: 1
        history:
          answeredAt: "2027-01-15T08:00:00Z"
          recommendations:
            - replicas: 4
              time: "2027-01-15T08:00:00Z"
          scaleEvents:
            - from: 2
              time: "2027-01-15T08:00:00Z"
              to: 4
        lastScaleTime: "2027-01-15T08:00:00Z"
        metrics:
          - current:
              averageValue: "20"
            lastSampleTime: "2027-01-15T08:00:00Z"
            missingReplicas: 0
            name: queue_length
            proposedReplicas: 4
            target:
              averageValue: "10"
              type: AverageValue
        name: decode
        pendingReplicas: 0
        podsPerReplica: 1
        readyReplicas: 2
        recommendedReplicas: 4
        replicas: 4
    summary: decode=2/4
    "#);
    assert!(matches!(reconciler.turn(&key(), at(1)), Turn::Waiting), "the cache does not show the write yet");
    reconciler.world.take(group(4, 2));
    queue(&mut reconciler, 1, &[("demo-decode-0", 10), ("demo-decode-1", 10)]);
    assert_eq!(turn(&mut reconciler, &server, 1).await, Some(vec![]), "conditions changed");
    assert_eq!(turn(&mut reconciler, &server, 2).await, None);
    queue(&mut reconciler, 300, &[("demo-decode-0", 10), ("demo-decode-1", 10)]);
    assert_eq!(turn(&mut reconciler, &server, 300).await, None, "constant metrics write nothing");
}

/// Decisions that come to the same as the stored status are not compared with it; that they would have told nothing is
/// asserted where that is skipped.
#[tokio::test]
async fn what_is_told_already_is_told_again_once_it_changes() {
    let (mut reconciler, server) = (reconciler(), Server::default());
    let both = |value: i64| [("demo-decode-0", value), ("demo-decode-1", value)];
    let is_told = |reconciler: &Reconciler| reconciler.policies.values().all(|memory| memory.told.is_some());
    queue(&mut reconciler, 0, &both(10));
    turn(&mut reconciler, &server, 0).await.expect("the first status");
    assert!(!is_told(&reconciler), "the new status was compared with nothing yet");
    for second in [5, 10, 55] {
        queue(&mut reconciler, second, &both(if second == 55 { 9 } else { 10 }));
        assert_eq!(turn(&mut reconciler, &server, second).await, None);
        assert!(is_told(&reconciler));
    }
    queue(&mut reconciler, 58, &both(11));
    assert_eq!(turn(&mut reconciler, &server, 58).await, None, "a tenth is no news");
    // Of two replicas one answers, another value within the tolerance.
    queue(&mut reconciler, 65, &[("demo-decode-0", 10)]);
    assert_eq!(turn(&mut reconciler, &server, 65).await, Some(vec![]), "a replica is missing");
    assert!(!is_told(&reconciler));
    queue(&mut reconciler, 70, &both(10));
    assert_eq!(turn(&mut reconciler, &server, 70).await, Some(vec![]), "it is back");
    assert_eq!(turn(&mut reconciler, &server, 71).await, None);
    assert!(is_told(&reconciler));
    let mut held = spec();
    held["hold"] = json!(["Up"]);
    reconciler.world.take(policy_of(2, &held));
    assert_eq!(turn(&mut reconciler, &server, 72).await, Some(vec!["HeldUp".to_owned()]), "an edit");
}

#[tokio::test]
async fn a_conflict_waits_for_the_cache_and_keeps_the_events_of_before() {
    let (mut reconciler, server) =
        (reconciler(), Server { refuses: Some(StatusCode::CONFLICT), ..Server::default() });
    queue(&mut reconciler, 0, &[("demo-decode-0", 20), ("demo-decode-1", 20)]);
    assert_eq!(turn(&mut reconciler, &server, 0).await, Some(vec![]), "a conflict is no event");
    assert_eq!(server.last_status()["roles"][0]["history"]["scaleEvents"], json!([]));
    assert!(matches!(reconciler.turn(&key(), at(1)), Turn::Waiting));
    reconciler.world.take(group(3, 2));
    assert!(matches!(reconciler.turn(&key(), at(1)), Turn::Errand(_)), "the world moved: decide again");
}

#[tokio::test]
async fn a_refused_write_is_told_and_tried_again_at_the_next_tick() {
    let (mut reconciler, server) =
        (reconciler(), Server { refuses: Some(StatusCode::FORBIDDEN), ..Server::default() });
    queue(&mut reconciler, 0, &[("demo-decode-0", 20), ("demo-decode-1", 20)]);
    assert_eq!(
        turn(&mut reconciler, &server, 0).await,
        Some(vec!["FailedRescale".to_owned(), "ScalingAdapterRequired".to_owned()])
    );
    let status = server.last_status();
    assert_eq!(status["conditions"][0]["reason"], "ScalingAdapterRequired");
    assert_eq!(status["roles"][0]["replicas"], 2);
    let server = Server::default();
    assert_eq!(
        turn(&mut reconciler, &server, 5).await,
        Some(vec!["SuccessfulRescale".to_owned(), "Ready".to_owned()])
    );
}

#[tokio::test]
async fn the_older_hand_written_policy_counts_and_the_others_say_so() {
    let (mut reconciler, server) = (Reconciler::default(), Server::default());
    let adopted = json!({inline::ORIGIN_LABEL: inline::ORIGIN_INLINE});
    for event in [
        group(2, 1),
        policy("a-adopted", 0, &adopted, &spec()),
        policy("b-young", 9, &json!({}), &spec()),
        policy("c-old", 1, &json!({}), &spec()),
    ] {
        reconciler.world.take(event);
    }
    queue(&mut reconciler, 0, &[]);
    let names: Vec<_> = reconciler.candidates(&key()).iter().map(|policy| policy.name_any()).collect();
    assert_eq!(names, ["c-old", "b-young", "a-adopted"]);
    turn(&mut reconciler, &server, 0).await.expect("an errand");
    let asked = server.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let told: Vec<_> = asked
        .iter()
        .map(|(line, body)| {
            let ready = &body[1]["value"]["conditions"][0];
            (
                line.split('/').rev().nth(1).unwrap_or_default().to_owned(),
                ready["reason"].clone(),
                ready["message"].clone(),
            )
        })
        .collect();
    assert_eq!(
        (told[0].0.as_str(), &told[0].1),
        ("c-old", &json!("MetricsFailing")),
        "no pod has told its queue"
    );
    assert_eq!(told[1].1, "Conflict");
    assert_eq!(told[2].2, "this policy is not in force: c-old scales this group; delete one of the two");
}

#[tokio::test]
async fn nothing_is_decided_before_a_signal_was_asked() {
    let mut reconciler = reconciler();
    reconciler.metrics.known = Arc::new(["queue_length".to_owned()].into());
    assert!(matches!(reconciler.turn(&key(), at(0)), Turn::Quiet));
    assert_eq!(reconciler.signals(), BTreeSet::from(["queue_length".to_owned()]), "so that it is asked");
}

#[tokio::test]
async fn what_is_missing_is_told() {
    let (mut reconciler, server) = (Reconciler::default(), Server::default());
    reconciler.world.take(policy("p", 0, &json!({}), &spec()));
    queue(&mut reconciler, 0, &[]);
    assert_eq!(turn(&mut reconciler, &server, 0).await, Some(vec!["GroupNotFound".to_owned()]));
    assert_eq!(turn(&mut reconciler, &server, 5).await, None, "told once");
    let mut other = spec();
    other["roles"][0]["name"] = json!("encode");
    reconciler.world.take(group(2, 1));
    reconciler.world.take(policy("p", 0, &json!({}), &other));
    reconciler.forget_decisions();
    assert_eq!(turn(&mut reconciler, &server, 6).await, Some(vec!["RoleNotFound".to_owned()]));
    let mut broken = spec();
    broken["roles"][0]["minReplicas"] = json!(9);
    reconciler.world.take(policy("p", 0, &json!({}), &broken));
    reconciler.forget_decisions();
    assert_eq!(turn(&mut reconciler, &server, 7).await, Some(vec!["InvalidPolicy".to_owned()]));
}

#[tokio::test]
async fn a_refused_write_is_decided_again_when_only_the_version_moved() {
    let (mut reconciler, server) =
        (reconciler(), Server { refuses: Some(StatusCode::CONFLICT), ..Server::default() });
    queue(&mut reconciler, 0, &[("demo-decode-0", 20), ("demo-decode-1", 20)]);
    turn(&mut reconciler, &server, 0).await.expect("an errand");
    reconciler.world.take(group(2, 2));
    let server = Server::default();
    assert_eq!(turn(&mut reconciler, &server, 1).await, Some(vec!["SuccessfulRescale".to_owned()]));
}

mod room;
