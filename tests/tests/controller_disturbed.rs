//! The controller while the ground moves: an API server that goes and comes, groups that are applied over and over.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use rbg_autoscaler_tests::{
    control_plane::{Component, ControlPlane, Options, shared},
    harness::{eventually, throughout},
    rbg::manifest::{Role, manifest},
    scene::Scene,
};
use serde_json::{Value, json};

fn policy() -> Value {
    json!({"maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 2}}})
}

#[tokio::test]
async fn the_api_server_may_restart() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let scene = Scene::start(&plane, "restart").await?;
    scene.total_queue("demo", "decode", 10.0);
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 1)).autoscaling(policy())]).await?;
    scene.condition("demo-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    plane.stop_component(Component::ApiServer).await;
    scene.total_queue("demo", "decode", 40.0);
    plane.start_component(Component::ApiServer).await?;
    scene.role_asks_for("demo", "decode", 4).await?;
    Ok(())
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_stops_no_other() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let scene = Scene::start(&plane, "undecodable").await?;
    scene.total_queue("demo", "decode", 10.0);
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 1)).autoscaling(policy())]).await?;
    scene.condition("demo-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    // As if it had been stored by another version.
    let crds: Api<CustomResourceDefinition> = Api::all(plane.client().await?);
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let operations =
        json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": anything}]);
    let loosen = Patch::<()>::Json(serde_json::from_value(operations)?);
    crds.patch("rolebasedgroupautoscalers.rbg-autoscaler.dev", &PatchParams::default(), &loosen).await?;
    let broken = json!({"apiVersion": "rbg-autoscaler.dev/v1alpha1", "kind": "RoleBasedGroupAutoscaler",
        "metadata": {"name": "broken"}, "spec": {"groupRef": {"name": "demo"}, "roles": "all of them"}});
    eventually("an object that no version of ours reads is stored", Duration::from_secs(20), async || {
        scene.apply(broken.clone()).await?;
        let count = "rbg_autoscaler_undecodable_objects 1";
        ensure!(scene.metrics().await?.contains(count), "not counted");
        Ok(Some(()))
    })
    .await?;
    scene.total_queue("demo", "decode", 40.0);
    scene.role_asks_for("demo", "decode", 4).await?;
    Ok(())
}

#[tokio::test]
async fn a_group_that_is_applied_over_and_over_is_left_alone() {
    shared().await.run(async |plane| applied_again(plane).await).await;
}

/// Applied with the count that it has; constant metrics then mean no write at all.
async fn applied_again(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "applied").await?;
    scene.queue("demo", "decode", 10.0);
    let decode = scene.serving(Role::standalone("decode", 3));
    scene.create_group("demo", [decode.clone()]).await?;
    let mut role = policy();
    role["name"] = json!("decode");
    scene.create_policy("p", "demo", json!({"roles": [role]})).await?;
    scene.pods_are_ready("demo", "decode", 3).await?;
    scene
        .status_shows("p", "3 of 3, all measured", |status| {
            let measured = |role: &rbg_autoscaler::api::autoscaler::RoleStatus| {
                role.metrics
                    .iter()
                    .all(|metric| metric.missing_replicas == Some(0) && metric.proposed_replicas == Some(3))
            };
            status.summary.as_deref() == Some("decode=3/3") && status.roles.iter().all(measured)
        })
        .await?;
    let written = async || -> Result<_> {
        let policy = scene.policy("p").await?;
        let told = serde_json::to_string(&policy.status)?;
        Ok((scene.group("demo").await?["metadata"]["generation"].clone(), policy.resource_version(), told))
    };
    let before = written().await?;
    let object = manifest("demo", [decode]);
    throughout("neither the group nor the status is written", Duration::from_secs(8), async || {
        scene.apply(object.clone()).await?;
        let now = written().await?;
        ensure!(now == before, "{before:?} became {now:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_group_applied_without_replicas_keeps_them() {
    shared().await.run(async |plane| applied_without_replicas(plane).await).await;
}

async fn applied_without_replicas(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "omitted").await?;
    scene.total_queue("demo", "decode", 30.0);
    let decode = scene.serving(Role::standalone("decode", 1).without("replicas"));
    let object = manifest("demo", [decode.autoscaling(policy())]);
    scene.apply(object.clone()).await?;
    let history = scene.watch_role("demo", "decode").await?;
    history.ends_with(3).await?;
    scene.pods_are_ready("demo", "decode", 3).await?;
    throughout("the count stands", Duration::from_secs(5), async || {
        scene.apply(object.clone()).await?;
        ensure!(history.counts() == [1, 3], "{:?}", history.counts());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_group_applied_with_other_replicas_is_answered_once_each_time() {
    shared().await.run(async |plane| applied_with_other_replicas(plane).await).await;
}

/// Whoever keeps counts in git and applies them again and again sees each of them answered, and is told why once.
async fn applied_with_other_replicas(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "other").await?;
    scene.total_queue("demo", "decode", 40.0);
    let mut policy = policy();
    policy["minReplicas"] = json!(2);
    let decode = scene.serving(Role::standalone("decode", 2)).autoscaling(policy);
    let object = manifest("demo", [decode]);
    scene.apply(object.clone()).await?;
    let history = scene.watch_role("demo", "decode").await?;
    history.ends_with(4).await?;
    scene.pods_are_ready("demo", "decode", 4).await?;
    let mut want = vec![2, 4];
    for _ in 0..3 {
        scene.apply(object.clone()).await?;
        want.extend([2, 4]);
        eventually("the policy's count again", Duration::from_secs(20), async || {
            ensure!(history.counts() == want, "{:?}", history.counts());
            Ok(Some(()))
        })
        .await?;
        scene.pods_are_ready("demo", "decode", 4).await?;
    }
    let note = scene.event("demo-inline", "ReplicasEdited").await?;
    ensure!(note.contains("somebody else changed the replicas from 4 to 2"), "{note}");
    ensure!(scene.events("demo-inline", "ReplicasEdited").await?.len() == 1, "told more than once");
    Ok(())
}
