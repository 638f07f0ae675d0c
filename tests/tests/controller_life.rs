//! The controller's life: leaders that die, standbys that take over, processes that end.

use std::time::Duration;

use anyhow::{Result, ensure};
use axum::http::Method;
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    harness::{Gate, Hold, eventually, throughout},
    rbg::manifest::Role,
    scene::Scene,
};
use serde_json::json;
use tokio::time::Instant;

#[tokio::test]
async fn a_standby_takes_over_from_a_leader_that_was_killed() {
    shared().await.run(async |plane| takeover(plane).await).await;
}

async fn takeover(plane: &ControlPlane) -> Result<()> {
    let mut scene = Scene::without_controller(plane, "lease").await?;
    let lease = ["--leader-elect", "--lease-namespace", scene.namespace().name(), "--lease-name", "test"]
        .map(str::to_owned);
    let flags: Vec<_> = lease.iter().map(String::as_str).collect();
    scene.start_controller(&flags).await?;
    leads(&scene, 1).await?;
    let policy = json!({"minReplicas": 2, "maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}}});
    scene.total_queue("demo", "decode", 40.0);
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 2)).autoscaling(policy)]).await?;
    let history = scene.watch_role("demo", "decode").await?;
    history.ends_with(4).await?;
    scene.pods_are_ready("demo", "decode", 4).await?;

    let mut first = scene.take_controller()?;
    scene.start_controller(&flags).await?;
    leads(&scene, 0).await?;
    first.kill();
    let died = Instant::now();
    // What it would have to do meanwhile.
    scene.total_queue("demo", "decode", 60.0);
    eventually("the standby raises the role", Duration::from_secs(40), async || {
        let counts = history.counts();
        ensure!(counts.last() == Some(&6), "{counts:?}");
        Ok(Some(()))
    })
    .await?;
    let took = died.elapsed();
    println!("a standby acted {:.1} s after the leader was killed", took.as_secs_f64());
    // 15 s of the lease, a look at it, a collection: 17 s; the rest is for a machine that is busy with other things.
    ensure!(took < Duration::from_secs(25), "{took:?}");
    leads(&scene, 1).await?;
    throughout("nothing shrinks for a change of leaders", Duration::from_secs(5), async || {
        ensure!(history.counts() == [2, 4, 6], "{:?}", history.counts());
        Ok(())
    })
    .await?;

    // A leader that ends in peace gives the lease back: the next need not wait for its end.
    let mut second = scene.take_controller()?;
    scene.start_controller(&flags).await?;
    second.stop().await?;
    ensure!(second.log().contains("gave the lease back"), "{}", second.log());
    eventually("the next one leads before the lease would have ended", Duration::from_secs(12), async || {
        ensure!(scene.metrics().await?.contains("rbg_autoscaler_leader 1"), "not yet");
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn a_leader_killed_before_its_write_is_followed_by_one_that_writes_once() {
    shared().await.run(async |plane| killed_while_writing(plane, Hold::Request).await).await;
}

#[tokio::test]
async fn a_leader_killed_after_its_write_is_followed_by_one_that_does_not_write_again() {
    shared().await.run(async |plane| killed_while_writing(plane, Hold::Answer).await).await;
}

/// The leader has decided on a step; it is killed before the API server has the write, or before it has the answer.
async fn killed_while_writing(plane: &ControlPlane, hold: Hold) -> Result<()> {
    let mut scene = Scene::without_controller(plane, "killed").await?;
    let namespace = scene.namespace().name().to_owned();
    let flags = ["--leader-elect", "--lease-namespace", &namespace, "--lease-name", "test"];
    let gate = Gate::open(plane.client().await?).await?;
    scene.total_queue("demo", "decode", 20.0);
    let policy = json!({"minReplicas": 2, "maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}}});
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 2)).autoscaling(policy)]).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.use_kubeconfig(gate.kubeconfig());
    scene.start_controller(&flags).await?;
    leads(&scene, 1).await?;
    scene.condition("demo-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    let mut leader = scene.take_controller()?;
    scene.use_kubeconfig(&plane.kubeconfig());
    scene.start_controller(&flags).await?;

    gate.hold(hold, Method::PATCH, "/rolebasedgroups/demo");
    scene.total_queue("demo", "decode", 40.0);
    gate.holds_one(Duration::from_secs(60)).await?;
    leader.kill();
    eventually("the standby leads and the step is taken", Duration::from_secs(40), async || {
        ensure!(scene.metrics().await?.contains("rbg_autoscaler_leader 1"), "it does not lead yet");
        ensure!(history.counts().len() > 1, "{:?}", history.counts());
        Ok(Some(()))
    })
    .await?;
    throughout("the step is taken once and nothing shrinks", Duration::from_secs(4), async || {
        ensure!(history.counts() == [2, 4], "{:?}", history.counts());
        Ok(())
    })
    .await
}

/// Waits until the controller says that it leads, or that it does not.
async fn leads(scene: &Scene, leader: u32) -> Result<()> {
    let line = format!("rbg_autoscaler_leader {leader}");
    eventually(&line, Duration::from_secs(30), async || {
        let metrics = scene.metrics().await?;
        ensure!(metrics.lines().any(|shown| shown == line), "{metrics}");
        Ok(Some(()))
    })
    .await
}
