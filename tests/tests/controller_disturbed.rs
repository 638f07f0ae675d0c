//! The controller while the ground moves: an API server that goes and comes, groups that are applied over and over.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use rbg_autoscaler_tests::{
    control_plane::{Component, ControlPlane, Options, shared},
    harness::throughout,
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
    scene.queue("demo", "decode", 10.0);
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 2)).autoscaling(policy())]).await?;
    scene.condition("demo-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    plane.stop_component(Component::ApiServer).await;
    scene.queue("demo", "decode", 20.0);
    plane.start_component(Component::ApiServer).await?;
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
    let before = (
        scene.group("demo").await?["metadata"]["generation"].clone(),
        scene.policy("p").await?.resource_version(),
    );
    let object = manifest("demo", [decode]);
    throughout("neither the group nor the status is written", Duration::from_secs(8), async || {
        scene.apply(object.clone()).await?;
        let now = (
            scene.group("demo").await?["metadata"]["generation"].clone(),
            scene.policy("p").await?.resource_version(),
        );
        ensure!(now == before, "{before:?} became {now:?}");
        Ok(())
    })
    .await
}
