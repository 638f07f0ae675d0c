//! The controller on a real control plane: what it writes into groups, and what it says.

use std::time::Duration;

use anyhow::{Result, ensure};
use rbg_autoscaler_tests::{
    control_plane::{Component, ControlPlane, Options, shared},
    harness::throughout,
    rbg::manifest::Role,
    scene::Scene,
};
use serde_json::{Value, json};

/// Grows at once and shrinks after two seconds, so that tests need not wait five minutes.
fn behavior() -> Value {
    json!({"scaleDown": {"stabilizationWindowSeconds": 2}})
}

fn queue_policy() -> Value {
    json!({"maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}], "behavior": behavior()})
}

fn gang_policy() -> Value {
    let mut policy = queue_policy();
    policy["gang"] = json!({"replicas": 4});
    policy
}

#[tokio::test]
async fn a_gang_goes_up_and_down_whole_by_an_inline_policy() {
    shared().await.run(async |plane| whole_gangs(plane).await).await;
}

async fn whole_gangs(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "gang").await?;
    let decode = scene.serving(Role::standalone("decode", 4)).autoscaling(gang_policy());
    scene.create_group("demo", [Role::standalone("router", 1), decode]).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.pods_are_ready("demo", "decode", 4).await?;
    scene.queue("demo", "decode", 12.0);
    history.ends_with(8).await?;
    scene.pods_are_ready("demo", "decode", 8).await?;
    let status = scene
        .status_shows("demo-inline", "8 of 8", |status| status.summary.as_deref() == Some("decode=8/8"))
        .await?;
    ensure!(status.roles[0].gang_replicas == 4, "{status:?}");
    scene.queue("demo", "decode", 1.0);
    let counts = history.ends_with(4).await?;
    ensure!(counts == [4, 8, 4], "never between whole gangs: {counts:?}");
    let note = scene.event("demo-inline", "SuccessfulRescale").await?;
    ensure!(note.contains("decode: 4 → 8 replicas") && note.contains("gang of 4"), "{note}");
    let group = scene.group("demo").await?;
    ensure!(group["spec"]["roles"][1]["autoscaling"] == gang_policy(), "the inline text stays: {group}");
    ensure!(group["spec"]["roles"][0]["replicas"] == 1, "{group}");
    Ok(())
}

#[tokio::test]
async fn a_policy_outlives_its_inline_text_that_a_scaling_adapter_strips() {
    shared().await.run(async |plane| stripped(plane).await).await;
}

async fn stripped(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "strip").await?;
    let decode = scene.serving(Role::standalone("decode", 4)).scaling_adapter().autoscaling(gang_policy());
    scene.create_group("demo", [decode]).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.pods_are_ready("demo", "decode", 4).await?;
    scene.queue("demo", "decode", 12.0);
    history.ends_with(8).await?;
    let group = scene.group("demo").await?;
    ensure!(group["spec"]["roles"][0].get("autoscaling").is_none(), "upstream strips it: {group}");
    let told = scene.condition("demo-inline", "InlineGone", "True", "InlineGone").await?;
    ensure!(told.message.contains("kubectl delete rbga demo-inline"), "{}", told.message);
    scene.pods_are_ready("demo", "decode", 8).await?;
    scene.queue("demo", "decode", 1.0);
    let counts = history.ends_with(4).await?;
    ensure!(counts == [4, 8, 4], "never between whole gangs: {counts:?}");
    Ok(())
}

#[tokio::test]
async fn a_leader_worker_role_is_counted_in_replicas() {
    shared().await.run(async |plane| leader_workers(plane).await).await;
}

async fn leader_workers(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "leader").await?;
    let prefill = scene.serving(Role::leader_worker("prefill", 1, 4)).autoscaling(queue_policy());
    scene.create_group("demo", [prefill]).await?;
    let history = scene.watch_role("demo", "prefill").await?;
    scene.pods_are_ready("demo", "prefill", 4).await?;
    scene.total_queue("demo", "prefill", 25.0);
    history.ends_with(3).await?;
    scene.pods_are_ready("demo", "prefill", 12).await?;
    let status = scene
        .status_shows("demo-inline", "3 of 3", |status| status.summary.as_deref() == Some("prefill=3/3"))
        .await?;
    ensure!(status.roles[0].pods_per_replica == 4, "{status:?}");
    ensure!(history.counts() == [1, 3], "replicas, not pods: {:?}", history.counts());
    let note = scene.event("demo-inline", "SuccessfulRescale").await?;
    ensure!(note.contains("1 → 3 replicas × 4 pods = 12 pods"), "{note}");
    Ok(())
}

#[tokio::test]
async fn roles_changed_in_turn_keep_their_counts() {
    shared().await.run(async |plane| in_turn(plane).await).await;
}

async fn in_turn(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "turn").await?;
    let prefill = scene.serving(Role::standalone("prefill", 1)).autoscaling(queue_policy());
    let decode = scene.serving(Role::standalone("decode", 1)).autoscaling(queue_policy());
    scene.total_queue("demo", "prefill", 10.0);
    scene.total_queue("demo", "decode", 10.0);
    scene.create_group("demo", [prefill, decode]).await?;
    let history = scene.watch_role("demo", "prefill").await?;
    scene.pods_are_ready("demo", "prefill", 1).await?;
    scene.pods_are_ready("demo", "decode", 1).await?;
    scene.total_queue("demo", "prefill", 40.0);
    history.ends_with(4).await?;
    scene.pods_are_ready("demo", "prefill", 4).await?;
    scene.total_queue("demo", "decode", 30.0);
    scene.role_asks_for("demo", "decode", 3).await?;
    scene.pods_are_ready("demo", "decode", 3).await?;
    ensure!(history.counts() == [1, 4], "the first role keeps its count: {:?}", history.counts());
    Ok(())
}

#[tokio::test]
async fn nothing_is_lowered_while_prometheus_is_down() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let scene = Scene::start(&plane, "outage").await?;
    let decode = scene.serving(Role::standalone("decode", 4)).autoscaling(queue_policy());
    scene.queue("demo", "decode", 10.0);
    scene.create_group("demo", [decode]).await?;
    scene.pods_are_ready("demo", "decode", 4).await?;
    scene.condition("demo-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    plane.stop_component(Component::Prometheus).await;
    scene.queue("demo", "decode", 0.0);
    // Samples count for a minute; then the failure is told.
    let is_unhealthy = |status: &rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscalerStatus| {
        status.conditions.iter().any(|seen| seen.type_ == "MetricsHealthy" && seen.status == "False")
    };
    let status = scene
        .status_shows_within("demo-inline", "unhealthy metrics", Duration::from_secs(90), is_unhealthy)
        .await?;
    let told = status
        .conditions
        .iter()
        .find(|seen| seen.type_ == "MetricsHealthy")
        .map(|seen| seen.message.as_ref());
    ensure!(
        told.is_some_and(|told| told.contains("prometheus at") && told.contains("onnection refused")),
        "{told:?}"
    );
    throughout("4 replicas are asked for", Duration::from_secs(10), async || {
        let replicas = scene.replicas("demo", "decode").await?;
        ensure!(replicas == 4, "{replicas}");
        Ok(())
    })
    .await?;
    plane.start_component(Component::Prometheus).await?;
    scene.role_asks_for("demo", "decode", 1).await?;
    scene.condition("demo-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    scene.event("demo-inline", "MetricsHealthy").await?;
    Ok(())
}

#[tokio::test]
async fn a_role_follows_a_signal_of_the_users_own() {
    shared().await.run(async |plane| own_signal(plane).await).await;
}

async fn own_signal(plane: &ControlPlane) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rules.yaml");
    let rules = |factor: u32| {
        format!(
            "rules:\n- {{seriesQuery: x, metricsQuery: 'for the adapter'}}\n\
             - {{name: own_queue, query: 'sum by (namespace, pod) (vllm:num_requests_waiting) * {factor}', per: pod}}\n"
        )
    };
    std::fs::write(&file, rules(1))?;
    let mut scene = Scene::without_controller(plane, "own").await?;
    scene.start_controller(&["--config", &file.display().to_string()]).await?;
    let policy =
        json!({"maxReplicas": 8, "metrics": [{"name": "own_queue", "target": "10"}], "behavior": behavior()});
    let decode = scene.serving(Role::standalone("decode", 1)).autoscaling(policy);
    scene.queue("demo", "decode", 10.0);
    scene.create_group("demo", [decode]).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.pods_are_ready("demo", "decode", 1).await?;
    scene.condition("demo-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    std::fs::write(&file, rules(2))?;
    history.ends_with(8).await?;
    Ok(())
}

#[tokio::test]
async fn a_role_follows_its_queue_without_any_prometheus() {
    shared().await.run(async |plane| without_prometheus(plane).await).await;
}

async fn without_prometheus(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start_direct(plane, "direct").await?;
    // Workers of a leader-worker role serve no metrics of their own.
    let decode = scene.serving(Role::leader_worker("decode", 1, 2)).autoscaling(queue_policy());
    scene.create_group("demo", [decode]).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.pods_are_ready("demo", "decode", 2).await?;
    scene.total_queue("demo", "decode", 25.0);
    history.ends_with(3).await?;
    scene.pods_are_ready("demo", "decode", 6).await?;
    scene.condition("demo-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    scene.total_queue("demo", "decode", 1.0);
    history.ends_with(1).await?;
    Ok(())
}
