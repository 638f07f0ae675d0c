//! Roles that sleep at zero: a gateway holds requests and wakes them.

use std::time::Duration;

use anyhow::{Result, ensure};
use rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscalerStatus;
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    harness::{eventually, throughout},
    rbg::manifest::Role,
    scene::Scene,
};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Sleeps after a second without queue and running requests; the gateway's queue wakes it.
fn sleeper(name: &str) -> Value {
    json!({"name": name, "maxReplicas": 4, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 2}},
        "metrics": [{"name": "queue_length", "target": "10"}, {"name": "running_requests", "target": "50"}],
        "scaleToZero": {"idleAfter": "1s", "wakeOn": [{"name": "queue_length", "role": "router"}]}})
}

#[tokio::test]
async fn two_roles_sleep_and_wake_ten_times_without_a_flap() {
    shared().await.run(async |plane| ten_cycles(plane).await).await;
}

async fn ten_cycles(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "cycles").await?;
    let serving = |name| scene.serving(Role::standalone(name, 1));
    let roles = [scene.gateway(Role::standalone("router", 1)), serving("prefill"), serving("decode")];
    scene.create_group("demo", roles).await?;
    let ratios = json!([{"roles": ["prefill", "decode"], "min": "1:1", "max": "1:1"}]);
    let policy = json!({"roles": [sleeper("prefill"), sleeper("decode")], "ratios": ratios});
    scene.create_policy("p", "demo", policy).await?;
    let prefill = scene.watch_role("demo", "prefill").await?;
    let decode = scene.watch_role("demo", "decode").await?;
    let mut wanted = vec![1, 0];
    prefill.ends_with(0).await?;
    decode.ends_with(0).await?;
    for _ in 0..10 {
        // A pod that is about to go would still answer, and nobody would have to wake.
        scene.pods_are_ready("demo", "prefill", 0).await?;
        scene.pods_are_ready("demo", "decode", 0).await?;
        scene.send_request("demo", "decode")?;
        wanted.extend([1, 0]);
        eventually("the roles wake, serve and sleep again", Duration::from_secs(30), async || {
            let seen = (prefill.counts(), decode.counts());
            ensure!(seen.0.len() >= wanted.len() && seen.1.len() >= wanted.len(), "{seen:?}");
            Ok(Some(()))
        })
        .await?;
        let seen = (prefill.counts(), decode.counts());
        ensure!(seen.0 == wanted && seen.1 == wanted, "{seen:?}");
    }
    let sleeps =
        |status: &RoleBasedGroupAutoscalerStatus| status.summary.as_deref() == Some("prefill=0/0 decode=0/0");
    scene.status_shows("p", "0 of 0", sleeps).await?;
    Ok(())
}

#[tokio::test]
async fn roles_of_a_ratio_wake_together_and_load_for_as_long_as_they_must() {
    shared().await.run(async |plane| together(plane).await).await;
}

/// Loading takes three times as long as a role may be idle.
async fn together(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "together").await?;
    let slow = |name, replicas| {
        scene.serving(Role::standalone(name, replicas)).pod_annotation("fake/ready-after", "4s")
    };
    let roles = [scene.gateway(Role::standalone("router", 1)), slow("prefill", 1), slow("decode", 2)];
    scene.create_group("demo", roles).await?;
    let mut decode = sleeper("decode");
    decode["minReplicas"] = json!(2);
    let ratios = json!([{"roles": ["prefill", "decode"], "min": "1:2", "max": "1:2"}]);
    scene
        .create_policy("p", "demo", json!({"roles": [sleeper("prefill"), decode], "ratios": ratios}))
        .await?;
    let prefill = scene.watch_role("demo", "prefill").await?;
    let decode = scene.watch_role("demo", "decode").await?;
    prefill.ends_with(0).await?;
    decode.ends_with(0).await?;
    scene.pods_are_ready("demo", "decode", 0).await?;
    scene.send_request("demo", "decode")?;
    prefill.ends_with(1).await?;
    decode.ends_with(2).await?;
    throughout("nothing sleeps while it loads", Duration::from_secs(3), async || {
        ensure!((prefill.counts(), decode.counts()) == (vec![1, 0, 1], vec![2, 0, 2]));
        Ok(())
    })
    .await?;
    scene.pods_are_ready("demo", "decode", 2).await?;
    prefill.ends_with(0).await?;
    decode.ends_with(0).await?;
    ensure!((prefill.counts(), decode.counts()) == (vec![1, 0, 1, 0], vec![2, 0, 2, 0]));
    Ok(())
}

#[tokio::test]
async fn a_request_wakes_its_role_within_five_seconds() {
    shared().await.run(async |plane| soon(plane).await).await;
}

/// With the intervals that the program has by itself: five seconds for everything that is not asleep.
async fn soon(plane: &ControlPlane) -> Result<()> {
    let mut scene = Scene::without_controller(plane, "soon").await?;
    scene.set_flag("--sync-period", "5s");
    scene.set_flag("--collection-interval", "5s");
    scene.start_controller(&[]).await?;
    let roles = [scene.gateway(Role::standalone("router", 1)), scene.serving(Role::standalone("decode", 0))];
    scene.create_group("demo", roles).await?;
    scene.create_policy("p", "demo", json!({"roles": [sleeper("decode")]})).await?;
    let asleep = |status: &RoleBasedGroupAutoscalerStatus| {
        let conditions = status.roles.iter().flat_map(|role| &role.conditions);
        conditions.into_iter().any(|condition| condition.message.contains("every wake signal answers"))
    };
    scene.status_shows("p", "that the wake signal answers", asleep).await?;
    let history = scene.watch_role("demo", "decode").await?;
    for cycle in 0..2 {
        scene.pods_are_ready("demo", "decode", 0).await?;
        scene.send_request("demo", "decode")?;
        let began = Instant::now();
        history.ends_with(1).await?;
        let took = began.elapsed();
        println!("woken after {} ms", took.as_millis());
        ensure!(took <= Duration::from_secs(5), "cycle {cycle}: {took:?}");
        history.ends_with(0).await?;
    }
    Ok(())
}
