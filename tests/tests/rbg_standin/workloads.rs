//! Roles that are run by a Deployment or StatefulSet.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::ResourceExt;
use rbg_autoscaler_tests::rbg::{
    labels,
    manifest::{Role, manifest},
};
use serde_json::json;

use crate::world::{World, eventually};

#[tokio::test]
async fn a_deployment_runs_the_role_and_gives_it_its_status() {
    let world = World::new("deployment").await;
    world.create(&manifest("demo", [Role::standalone("router", 2).workload("apps/v1/Deployment")])).await;
    world.has_status("demo", "router", [2; 3]).await;
    let made = world.get::<Deployment>("demo-router").await;
    assert_eq!(made.owner_references()[0].kind, "RoleBasedGroup");
    for pod in world.pods("router").await {
        assert_eq!(pod.owner_references()[0].kind, "ReplicaSet");
        assert_eq!(pod.labels()[labels::GROUP_NAME], "demo");
        assert_eq!(pod.labels()[labels::GROUP_UID], labels::group_hash(world.namespace.name(), "demo"));
        assert!(!pod.labels().contains_key(labels::ROLE_INSTANCE_NAME));
    }
    world.scale("demo", 0, 2, 1).await;
    world.has_status("demo", "router", [1; 3]).await;

    let path = "/spec/roles/0/standalonePattern/template/spec/containers/0/image";
    world.patch("demo", json!([{"op": "replace", "path": path, "value": "engine:2"}])).await;
    eventually("the new image runs", async || {
        let pods = world.pods("router").await;
        let images: Vec<_> =
            pods.iter().map(|pod| pod.spec.clone().unwrap().containers[0].image.clone()).collect();
        if images == [Some("engine:2".to_owned())] { Ok(()) } else { Err(images) }
    })
    .await;
    world.has_status("demo", "router", [1; 3]).await;
}

#[tokio::test]
async fn a_stateful_set_runs_the_role_until_the_role_becomes_something_else() {
    let world = World::new("statefulset").await;
    world.create(&manifest("demo", [Role::standalone("cache", 2).workload("apps/v1/StatefulSet")])).await;
    world.has_status("demo", "cache", [2; 3]).await;
    assert_eq!(world.pod_names("cache").await, ["demo-cache-0", "demo-cache-1"]);
    assert_eq!(world.pods("cache").await[0].owner_references()[0].kind, "StatefulSet");
    world.scale("demo", 0, 2, 1).await;
    world.has_status("demo", "cache", [1; 3]).await;

    world.patch("demo", json!([{"op": "remove", "path": "/spec/roles/0/annotations"}])).await;
    eventually("the stateful set is gone", async || {
        let found = world.api::<StatefulSet>().get_opt("demo-cache").await.unwrap();
        if found.is_none() { Ok(()) } else { Err(found) }
    })
    .await;
    eventually("the group makes the pod itself", async || {
        let pods = world.pods("cache").await;
        let owners: Vec<_> = pods.iter().map(|pod| pod.owner_references()[0].kind.clone()).collect();
        if owners == ["RoleBasedGroup"] { Ok(()) } else { Err(owners) }
    })
    .await;
    world.has_status("demo", "cache", [1; 3]).await;
}
