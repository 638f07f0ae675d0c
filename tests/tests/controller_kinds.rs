//! The controller and every kind of workload that may run a role.

use anyhow::{Result, ensure};
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    rbg::manifest::Role,
    scene::Scene,
};
use serde_json::json;

#[tokio::test]
async fn every_kind_of_workload_is_counted_in_replicas() {
    shared().await.run(async |plane| kinds(plane).await).await;
}

async fn kinds(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "kinds").await?;
    let policy = || {
        json!({"maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 2}}})
    };
    let lws = "leaderworkerset.x-k8s.io/v1/LeaderWorkerSet";
    let roles = [
        ("instances", Role::standalone("instances", 1), 1),
        ("deployment", Role::standalone("deployment", 1).workload("apps/v1/Deployment"), 1),
        ("stateful", Role::standalone("stateful", 1).workload("apps/v1/StatefulSet"), 1),
        ("leaders", Role::leader_worker("leaders", 1, 2).workload(lws), 2),
    ];
    let mut built = Vec::new();
    for (name, role, _) in &roles {
        scene.queue("demo", name, 30.0);
        built.push(scene.serving(role.clone()).autoscaling(policy()));
    }
    scene.create_group("demo", built).await?;
    for (name, _, pods) in &roles {
        scene.role_asks_for("demo", name, 3).await?;
        scene.queue("demo", name, 10.0);
        scene.pods_are_ready("demo", name, 3 * pods).await?;
    }
    let all = "instances=3/3 deployment=3/3 stateful=3/3 leaders=3/3";
    let status =
        scene.status_shows("demo-inline", all, |status| status.summary.as_deref() == Some(all)).await?;
    let sizes: Vec<_> = status.roles.iter().map(|role| role.pods_per_replica).collect();
    ensure!(sizes == [1, 1, 1, 2], "{sizes:?}");
    for (name, _, _) in &roles {
        scene.queue("demo", name, 1.0);
    }
    for (name, _, pods) in &roles {
        scene.role_asks_for("demo", name, 1).await?;
        scene.pods_are_ready("demo", name, *pods).await?;
    }
    Ok(())
}
