//! Groups that want the same room.

use k8s_openapi::api::core::v1::{Node, Pod};

use super::*;
use crate::cache::room::RoomEvent;

/// A group of one role of 8-GPU pods, one replica of which runs, with a policy that creates only what fits.
fn fitting(reconciler: &mut Reconciler, name: &str) {
    asking(reconciler, name, 1);
}

/// The same, with a count of which one replica runs.
fn asking(reconciler: &mut Reconciler, name: &str, replicas: u32) {
    let container = json!({"name": "engine", "resources": {"limits": {"nvidia.com/gpu": 8}}});
    let pattern = json!({"template": {"spec": {"containers": [container]}}});
    let mut group = json!({
        "apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup",
        "metadata": {"name": name, "namespace": "a", "uid": name, "generation": 1, "resourceVersion": "10"},
        "spec": {"roles": [{"name": "decode", "replicas": 1, "standalonePattern": pattern}]}
    });
    group["spec"]["roles"][0]["replicas"] = json!(replicas);
    let group = serde_json::from_value(group).expect("a group");
    reconciler.world.take(WorldEvent::Group(Event::Apply(group)));
    let mut spec = spec();
    spec["groupRef"]["name"] = json!(name);
    spec["capacity"] = json!({"mode": "Fit"});
    reconciler.world.take(policy(name, 0, &json!({}), &spec));
    reconciler.world.take(WorldEvent::Pod(Box::new(Event::Apply(first_pod(name)))));
}

fn first_pod(name: &str) -> Pod {
    let labels = json!({rbg::GROUP_NAME: name, rbg::ROLE_NAME: "decode", rbg::ROLE_INSTANCE_INDEX: "0"});
    let pod = json!({
        "metadata": {"name": format!("{name}-decode-0"), "namespace": "a", "labels": labels},
        "spec": {"nodeName": "n0", "containers": [{"name": "engine"}]},
        "status": {"phase": "Running", "startTime": at(-600).to_string(), "conditions": [{"type": "Ready", "status": "True"}]}
    });
    serde_json::from_value(pod).expect("a pod")
}

fn nodes(reconciler: &mut Reconciler, count: u32) {
    for index in 0..count {
        let status = json!({"allocatable": {"nvidia.com/gpu": "8"}});
        let node = json!({"metadata": {"name": format!("n{index}")}, "status": status});
        let node: Node = serde_json::from_value(node).expect("a node");
        reconciler.world.take(WorldEvent::Room(RoomEvent::Node(Box::new(Event::Apply(node)))));
    }
}

fn listed(reconciler: &mut Reconciler) {
    reconciler.world.take(WorldEvent::Room(RoomEvent::Node(Box::new(Event::InitDone))));
    nodes(reconciler, 1);
    for event in [
        Event::Init,
        Event::InitApply(first_pod("one").into()),
        Event::InitApply(first_pod("two").into()),
        Event::InitDone,
    ] {
        reconciler.world.take(WorldEvent::Room(RoomEvent::Pod(event)));
    }
}

/// Takes the turn of a group; returns the counts written, and the reason of `CapacityLimited`.
async fn step(reconciler: &mut Reconciler, server: &Server, group: &str, second: i64) -> (Vec<u32>, Value) {
    let key = ObjectKey::new("a", group);
    let Turn::Errand(task) = reconciler.turn(&key, at(second)) else { return (Vec::new(), Value::Null) };
    let (recorder, _told) = Recorder::to_queue();
    let returned = task.run(server.client(), recorder, Arc::default()).await;
    reconciler.settle(&returned, at(second));
    let status = server.last_status();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let limited = conditions.into_iter().find(|condition| condition["type"] == "CapacityLimited");
    let written = returned.written.iter().filter(|written| written.outcome.is_ok());
    (
        written.map(|written| written.write.to.get()).collect(),
        limited.map_or(Value::Null, |limited| limited["reason"].clone()),
    )
}

/// Two groups with a queue that asks for two replicas each, and room for one.
fn contended() -> Reconciler {
    let mut reconciler = Reconciler::default();
    fitting(&mut reconciler, "one");
    fitting(&mut reconciler, "two");
    queue(&mut reconciler, 0, &[("one-decode-0", 20), ("two-decode-0", 20)]);
    reconciler
}

#[tokio::test]
async fn one_of_two_groups_gets_the_room_and_the_other_is_first_in_line() {
    let (mut reconciler, server) = (contended(), Server::default());
    assert_eq!(
        step(&mut reconciler, &server, "one", 0).await,
        (vec![], Value::Null),
        "the nodes are not listed yet"
    );
    assert!(reconciler.needs_room() && reconciler.waiting_for_room().len() == 1);
    listed(&mut reconciler);
    let (written, reason) = step(&mut reconciler, &server, "one", 1).await;
    assert_eq!((written, reason), (vec![2], json!("NotLimited")));
    assert_eq!(step(&mut reconciler, &server, "two", 1).await, (vec![], json!("NoFit")), "the ledger tells");
    assert_eq!(reconciler.waiting_for_room(), [ObjectKey::new("a", "two")]);

    reconciler.world.room.take_freed();
    nodes(&mut reconciler, 1);
    assert!(!reconciler.world.room.take_freed(), "the same node is no news");
    nodes(&mut reconciler, 2);
    assert!(reconciler.world.room.take_freed());
    assert_eq!(step(&mut reconciler, &server, "two", 2).await.0, [2]);
    assert!(reconciler.waiting_for_room().is_empty());
}

#[tokio::test]
async fn what_was_not_written_is_free_again() {
    let mut reconciler = contended();
    listed(&mut reconciler);
    let refuses = Server { refuses: Some(StatusCode::FORBIDDEN), ..Server::default() };
    assert_eq!(step(&mut reconciler, &refuses, "one", 0).await.0, [0; 0]);
    assert_eq!(step(&mut reconciler, &Server::default(), "two", 1).await.0, [2]);
}

#[tokio::test]
async fn nodes_that_may_not_be_listed_are_taken_as_fitting_and_said() {
    let (mut reconciler, server) = (contended(), Server::default());
    let broke = RoomEvent::WatchBroke { kind: "nodes", forbidden: true };
    reconciler.world.room.need(at(0));
    reconciler.world.take(WorldEvent::Room(broke));
    assert_eq!(step(&mut reconciler, &server, "one", 0).await, (vec![2], json!("Unknown")));
}

/// The leader before raised the first group, and died; nobody has made the pod yet.
#[tokio::test]
async fn what_an_earlier_leader_gave_away_is_not_given_again() {
    let (mut reconciler, server) = (Reconciler::default(), Server::default());
    asking(&mut reconciler, "one", 2);
    fitting(&mut reconciler, "two");
    queue(&mut reconciler, 0, &[("one-decode-0", 20), ("two-decode-0", 20)]);
    listed(&mut reconciler);
    assert_eq!(step(&mut reconciler, &server, "two", 0).await, (vec![], json!("NoFit")));
    queue(&mut reconciler, 60, &[("one-decode-0", 20), ("two-decode-0", 20)]);
    assert_eq!(step(&mut reconciler, &server, "two", 60).await.0, [2], "it never came");
}
