//! Live decisions decided on again by `kubectl rbga decide`: whatever a policy uses, the answer is the same, bit for bit.

use anyhow::{Context, Result, ensure};
use rbg_autoscaler::api::snapshot::LiveDecision;
use rbg_autoscaler_tests::{
    fleet::{endpoint::Target, pin::Pin},
    harness::NodePool,
    rbg::manifest::Role,
    scene::Scene,
};
use serde_json::{Value, json};

use super::{
    told::rbga,
    world::{World, live},
};

/// Fit, a ratio, a schedule, token work, a sleeping role and a gang, in one group for which there is not enough room.
pub async fn with_room_ratio_schedule_and_token_work(world: &World) -> Result<()> {
    let scene = &world.scene;
    NodePool::new("tight", 2, 8).create(&world.plane.client().await?).await?;
    busy(scene, "every", "prefill");
    busy(scene, "every", "decode");
    scene.queue("every", "spare", 0.0);
    let roles = [
        scene.serving(Role::standalone("prefill", 1).gpus(1).on_pool("tight")),
        scene.serving(Role::standalone("decode", 2).gpus(2).on_pool("tight")),
        scene.serving(Role::standalone("spare", 1)),
    ];
    scene.create_group("every", roles).await?;
    let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let wake = json!([{"name": "queue_length", "role": "decode", "target": "1000"}]);
    let spec = json!({
        "capacity": {"mode": "Fit"},
        "ratios": [{"roles": ["prefill", "decode"], "min": "1:2", "max": "1:2"}],
        "schedules": [{"name": "always", "days": days, "from": "00:00", "to": "00:00", "timezone": "Asia/Shanghai",
            "roles": [{"name": "decode", "minReplicas": 4}]}],
        "roles": [
            {"name": "prefill", "maxReplicas": 8, "throughput": {"promptTokensPerSecond": "2000"},
                "metrics": [{"name": "token_utilization", "target": "0.8", "lookahead": "30s"}]},
            {"name": "decode", "minReplicas": 2, "maxReplicas": 16, "gang": {"replicas": 2},
                "metrics": [{"name": "running_requests", "target": "4"}]},
            {"name": "spare", "maxReplicas": 4, "metrics": [{"name": "queue_length", "target": "10"}],
                "scaleToZero": {"idleAfter": "1s", "wakeOn": wake}},
        ],
    });
    scene.create_policy("every", "every", spec).await?;
    scene.condition("every", "CapacityLimited", "True", "NoFit").await?;
    scene.role_asks_for("every", "spare", 0).await?;
    let told = replayed(scene, "every").await?;
    let decision = serde_json::to_value(&told.decision)?;
    let nodes = told.snapshot.capacity.and_then(|capacity| capacity.nodes).map(|nodes| nodes.len());
    ensure!(nodes.is_some_and(|nodes| nodes >= 6), "{nodes:?} nodes");
    ensure!(decision["roles"]["decode"]["activeSchedule"] == "always", "{decision:#}");
    ensure!(decision["roles"]["prefill"]["metrics"][0]["proposedReplicas"].is_number(), "{decision:#}");
    Ok(())
}

/// The same of a controller that has no Prometheus.
pub async fn scraped_by_the_controller_itself(world: &World) -> Result<()> {
    let scene = Scene::start_direct(&world.plane, "direct").await?;
    busy(&scene, "demo", "decode");
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 2))]).await?;
    let metrics = json!([{"name": "running_requests", "target": "4"}, {"name": "qps", "target": "2"},
        {"name": "token_utilization", "target": "0.8"}]);
    let throughput = json!({"promptTokensPerSecond": "2000", "generationTokensPerSecond": "1000"});
    let role = json!({"name": "decode", "maxReplicas": 4, "metrics": metrics, "throughput": throughput});
    scene.create_policy("demo", "demo", json!({"roles": [role]})).await?;
    scene.role_asks_for("demo", "decode", 4).await?;
    scene
        .status_shows("demo", "a value of every metric", |status| {
            status.roles.iter().any(|role| {
                role.metrics.len() == 3
                    && role.metrics.iter().all(|metric| metric.proposed_replicas.is_some())
            })
        })
        .await?;
    replayed(&scene, "demo").await?;
    Ok(())
}

fn busy(scene: &Scene, group: &str, role: &str) {
    let pin = Pin {
        running_requests: Some(16.0),
        qps: Some(3.0),
        prompt_tokens_per_second: Some(2100.0),
        generation_tokens_per_second: Some(600.0),
        ..Pin::queue_length(0.0)
    };
    scene.fleet().pin(Target::role(scene.namespace().name(), group, role), pin);
}

/// Decides five times on what the controller saw, and returns the last.
pub async fn replayed(scene: &Scene, name: &str) -> Result<LiveDecision> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("snapshot.json");
    let mut last = None;
    for _ in 0..5 {
        let told = live(scene, name).await?;
        std::fs::write(&file, serde_json::to_string(&told.snapshot)?)?;
        let decided = rbga(&["decide", "-o", "json", "-f", &file.display().to_string()]).await?;
        let decision: Value = serde_json::to_value(&told.decision)?;
        let decided: Value = serde_json::from_str(&decided)?;
        ensure!(decided == decision, "offline:\n{decided:#}\nlive:\n{decision:#}");
        last = Some(told);
    }
    last.context("no decision")
}
