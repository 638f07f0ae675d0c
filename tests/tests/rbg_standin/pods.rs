//! Pods: names, labels, counts, rollouts.

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use rbg_autoscaler_tests::control_plane::Component;
use rbg_autoscaler_tests::rbg::{
    RoleBasedGroup, RoleBasedGroupScalingAdapter, labels,
    manifest::{Role, manifest},
};
use serde_json::json;

use crate::world::{World, eventually};

#[tokio::test]
async fn pods_have_the_names_and_labels_of_upstream() {
    let world = World::new("labels").await;
    let roles = [
        Role::standalone("prefill", 1).pod_label("app", "mine").pod_annotation("note", "kept"),
        Role::leader_worker("decode", 1, 2),
        Role::leader_worker("far", 1, 2).workload("leaderworkerset.x-k8s.io/v1/LeaderWorkerSet"),
    ];
    world.create(&manifest("demo", roles)).await;
    for (role, size) in [("prefill", 1), ("decode", 1), ("far", 1)] {
        world.has_status("demo", role, [size; 3]).await;
    }
    let uid = world.get::<RoleBasedGroup>("demo").await.uid().unwrap();
    let hash = labels::group_hash(world.namespace.name(), "demo");
    let mut shown = Vec::new();
    for role in ["prefill", "decode", "far"] {
        for mut pod in world.pods(role).await {
            assert_eq!(pod.owner_references()[0].uid, uid);
            assert_eq!(pod.owner_references()[0].controller, Some(true));
            for (key, value) in pod.labels_mut() {
                if *value == hash {
                    "sha1 of namespace/group".clone_into(value);
                } else if key.ends_with("revision-hash") {
                    "ten hex digits".clone_into(value);
                }
            }
            let gates = pod.spec.clone().unwrap().readiness_gates.unwrap_or_default();
            shown.push(json!({
                "name": pod.name_any(),
                "labels": pod.labels(),
                "annotations": pod.annotations(),
                "readinessGates": gates.into_iter().map(|gate| gate.condition_type).collect::<Vec<_>>(),
            }));
        }
    }
    insta::assert_yaml_snapshot!(shown);
}

#[tokio::test]
async fn highest_ordinals_are_removed_first() {
    let world = World::new("ordinals").await;
    world.create(&manifest("demo", [Role::standalone("decode", 11)])).await;
    world.has_status("demo", "decode", [11; 3]).await;
    let pods = world.api::<Pod>();
    let from = pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    world.scale("demo", 0, 11, 8).await;
    world.has_status("demo", "decode", [8; 3]).await;
    world.scale("demo", 0, 8, 1).await;
    world.has_pods("decode", &["demo-decode-0"]).await;

    let events = pods.watch(&WatchParams::default(), &from).await.unwrap();
    let going = events.try_filter_map(async |event| {
        Ok(match event {
            WatchEvent::Modified(pod) if pod.metadata.deletion_timestamp.is_some() => Some(pod.name_any()),
            _ => None,
        })
    });
    let mut order: Vec<String> = Vec::new();
    let mut going = Box::pin(going);
    while order.len() < 10 {
        let name = going.try_next().await.unwrap().unwrap();
        if !order.contains(&name) {
            order.push(name);
        }
    }
    let want: Vec<String> = (1..=10).rev().map(|ordinal| format!("demo-decode-{ordinal}")).collect();
    assert_eq!(order, want);
}

#[tokio::test]
async fn a_leader_worker_role_counts_replicas_not_pods() {
    let world = World::new("pairs").await;
    world.create(&manifest("demo", [Role::leader_worker("decode", 2, 4)])).await;
    world.has_status("demo", "decode", [2; 3]).await;
    assert_eq!(world.pods("decode").await.len(), 8);
    world.scale("demo", 0, 2, 3).await;
    world.has_status("demo", "decode", [3; 3]).await;
    assert_eq!(world.pods("decode").await.len(), 12);
    world.scale("demo", 0, 3, 1).await;
    world.has_status("demo", "decode", [1; 3]).await;
    assert_eq!(
        world.pod_names("decode").await,
        ["demo-decode-0-0", "demo-decode-0-1", "demo-decode-0-2", "demo-decode-0-3"]
    );
}

#[tokio::test]
async fn pods_that_vanish_come_back_and_removed_roles_take_theirs_along() {
    let world = World::new("vanish").await;
    world.create(&manifest("demo", [Role::standalone("a", 2), Role::standalone("b", 1)])).await;
    world.has_status("demo", "a", [2; 3]).await;
    world.has_status("demo", "b", [1; 3]).await;
    let old = world.get::<Pod>("demo-a-0").await.uid();
    world.api::<Pod>().delete("demo-a-0", &DeleteParams::default()).await.unwrap();
    eventually("another demo-a-0", async || {
        let pod = world.api::<Pod>().get_opt("demo-a-0").await.unwrap();
        if pod.as_ref().is_some_and(|pod| pod.uid() != old) { Ok(()) } else { Err(pod.is_some()) }
    })
    .await;
    world.has_status("demo", "a", [2; 3]).await;

    world.patch("demo", json!([{"op": "remove", "path": "/spec/roles/1"}])).await;
    world.has_pods("b", &[]).await;
    world.groups().delete("demo", &DeleteParams::default()).await.unwrap();
    world.has_pods("a", &[]).await;
}

#[tokio::test]
async fn two_roles_changed_in_turn_keep_their_counts_and_unknown_fields() {
    let world = World::new("turns").await;
    let policy = json!({"maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}]});
    let roles = ["a", "b"].map(|name| Role::standalone(name, 1).autoscaling(policy.clone()));
    world.create(&manifest("demo", roles)).await;
    world.scale("demo", 0, 1, 3).await;
    world.has_status("demo", "a", [3; 3]).await;
    world.scale("demo", 1, 1, 2).await;
    world.has_status("demo", "b", [2; 3]).await;
    world.has_status("demo", "a", [3; 3]).await;
    for (index, replicas) in [(0, 3), (1, 2)] {
        let role = world.role("demo", index).await;
        assert_eq!((&role["replicas"], &role["autoscaling"]), (&json!(replicas), &policy));
    }
}

#[tokio::test]
async fn a_changed_template_is_rolled_out_one_by_one() {
    let world = World::new("rollout").await;
    let role =
        |image: &str| Role::standalone("decode", 3).image(image).pod_annotation("fake/ready-after", "500ms");
    world.create(&manifest("demo", [role("engine:1")])).await;
    world.has_status("demo", "decode", [3; 3]).await;
    let revision = |pods: &[Pod]| -> Vec<String> {
        pods.iter().map(|pod| pod.labels()[labels::REVISION].clone()).collect()
    };
    let old = revision(&world.pods("decode").await)[0].clone();
    let path = "/spec/roles/0/standalonePattern/template/spec/containers/0/image";
    world.patch("demo", json!([{"op": "replace", "path": path, "value": "engine:2"}])).await;
    let groups = world.api::<RoleBasedGroup>();
    let from = groups.get("demo").await.unwrap().resource_version().unwrap();
    let mut events = Box::pin(groups.watch(&WatchParams::default(), &from).await.unwrap());
    let (mut updated, mut least_ready) = (vec![], 3);
    while updated.last() != Some(&3) {
        let Some(WatchEvent::Modified(group)) = events.try_next().await.unwrap() else { continue };
        let status = &group.status.unwrap().role_statuses[0];
        updated.push(status.updated_replicas);
        least_ready = least_ready.min(status.ready_replicas);
    }
    updated.dedup();
    assert_eq!((updated, least_ready), (vec![0, 1, 2, 3], 2), "one after the other");
    world.has_status("demo", "decode", [3; 3]).await;
    let new = revision(&world.pods("decode").await);
    assert!(new.iter().all(|one| *one == new[0] && *one != old), "{old} is replaced by one new: {new:?}");
}

#[tokio::test]
async fn nothing_is_written_when_nothing_changes() {
    let mut world = World::new("idle").await;
    let roles = [
        Role::standalone("a", 2).scaling_adapter(),
        Role::leader_worker("b", 1, 2),
        Role::standalone("c", 1).workload("apps/v1/Deployment"),
        Role::standalone("d", 1).workload("apps/v1/StatefulSet"),
    ];
    world.create(&manifest("demo", roles)).await;
    for (role, count) in [("a", 2), ("b", 1), ("c", 1), ("d", 1)] {
        world.has_status("demo", role, [count; 3]).await;
    }
    world.bound("demo-a", 2).await;

    let writes = world.restart_stand_in().await;
    world.create(&manifest("marker", [Role::standalone("e", 1)])).await;
    world.has_status("marker", "e", [1; 3]).await;
    let (of_marker, mut others): (Vec<_>, Vec<_>) =
        writes.seen().into_iter().partition(|at| at.contains("marker"));
    // A pod may be asked for once more before its watch tells of it.
    others.dedup();
    let pod = format!("POST /api/v1/namespaces/{}/pods", world.namespace.name());
    assert_eq!(others, [pod], "the new stand-in looked at both groups and only made the pod of the new one");
    assert!(!of_marker.is_empty(), "writes are seen");
}

#[tokio::test]
async fn an_outage_of_kube_apiserver_is_survived() {
    let world = World::alone("outage").await;
    world.create(&manifest("demo", [Role::standalone("decode", 1).scaling_adapter()])).await;
    world.bound("demo-decode", 1).await;
    world.plane.kill_component(Component::ApiServer).await;
    world.plane.start_component(Component::ApiServer).await.unwrap();
    let adapter = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let api = world.api::<RoleBasedGroupScalingAdapter>();
    api.patch("demo-decode", &PatchParams::default(), &adapter).await.unwrap();
    world.has_status("demo", "decode", [2; 3]).await;
}
