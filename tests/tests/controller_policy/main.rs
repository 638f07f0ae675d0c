//! What a policy may say besides a metric and its bounds: hold, schedules, fallback, several metrics.

mod told;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::{Timestamp, ToSpan as _, Unit, Zoned};
use rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscalerStatus;
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    harness::throughout,
    rbg::manifest::Role,
    scene::Scene,
};
use serde_json::{Value, json};

fn role(more: &Value) -> Value {
    let mut role = json!({"name": "decode", "maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 1}}});
    for (name, value) in more.as_object().into_iter().flatten() {
        role[name] = value.clone();
    }
    role
}

/// Whether the only role's decision has a step of that reason.
fn has_step(reason: &'static str) -> impl Fn(&RoleBasedGroupAutoscalerStatus) -> bool {
    move |status| status.roles.iter().flat_map(|role| &role.decision).any(|step| step.reason == reason)
}

/// Waits until that metric is said to fail.
async fn metric_fails(scene: &Scene, metric: &str) -> Result<()> {
    scene
        .status_shows("p", &format!("that {metric} fails"), |status| {
            status.conditions.iter().any(|seen| {
                seen.type_ == "MetricsHealthy" && seen.status == "False" && seen.message.contains(metric)
            })
        })
        .await?;
    Ok(())
}

async fn stays_at(scene: &Scene, replicas: u64) -> Result<()> {
    throughout(&format!("{replicas} replicas"), Duration::from_secs(3), async || {
        let seen = scene.replicas("demo", "decode").await?;
        ensure!(seen == replicas, "{seen}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_held_direction_waits_until_it_is_let_go() {
    shared().await.run(async |plane| held(plane).await).await;
}

async fn held(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "held").await?;
    scene.total_queue("demo", "decode", 40.0);
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 2))]).await?;
    scene.pods_are_ready("demo", "decode", 2).await?;
    let policy = |hold: &[&str]| json!({"hold": hold, "roles": [role(&json!({"minReplicas": 2}))]});
    scene.create_policy("p", "demo", policy(&["Up"])).await?;
    scene.status_shows("p", "raising is held", has_step("HeldUp")).await?;
    stays_at(&scene, 2).await?;
    scene.create_policy("p", "demo", policy(&["Down"])).await?;
    scene.role_asks_for("demo", "decode", 4).await?;
    scene.pods_are_ready("demo", "decode", 4).await?;
    scene.total_queue("demo", "decode", 0.0);
    scene.status_shows("p", "lowering is held", has_step("HeldDown")).await?;
    stays_at(&scene, 4).await?;
    scene.create_policy("p", "demo", policy(&[])).await?;
    scene.role_asks_for("demo", "decode", 2).await
}

#[tokio::test]
async fn a_schedule_begins_at_its_minute() {
    shared().await.run(async |plane| scheduled(plane).await).await;
}

#[expect(clippy::disallowed_methods, reason = "the controller reads the same clock")]
async fn scheduled(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "schedule").await?;
    scene.queue("demo", "decode", 10.0);
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 2))]).await?;
    scene.pods_are_ready("demo", "decode", 2).await?;
    // Far enough away to see the count before it.
    let begins = next_minute(Timestamp::now() + 5.seconds())?;
    let at = begins.strftime("%H:%M").to_string();
    let schedule = json!({"name": "rush", "from": at, "to": (&begins + 10.minutes()).strftime("%H:%M").to_string(),
        "roles": [{"name": "decode", "minReplicas": 5}]});
    scene.create_policy("p", "demo", json!({"roles": [role(&json!({}))], "schedules": [schedule]})).await?;
    let history = scene.watch_role("demo", "decode").await?;
    let status = scene
        .status_shows_within("p", "the schedule", Duration::from_secs(75), |status| {
            status.roles.first().is_some_and(|role| role.active_schedule.as_deref() == Some("rush"))
        })
        .await?;
    let scaled = status.roles.first().and_then(|role| role.last_scale_time).context("it was not scaled")?;
    let late = scaled.duration_since(begins.timestamp()).as_secs_f64();
    println!("scaled {late} s after {at}");
    // Never before; how long after is a question of how busy this machine is.
    ensure!((0.0..30.0).contains(&late), "scaled {late} s after {at}");
    ensure!(history.ends_with(5).await? == [2, 5], "{:?}", history.counts());
    Ok(())
}

/// The first full minute at or after a time.
fn next_minute(time: Timestamp) -> Result<Zoned> {
    let minute = jiff::ZonedRound::new().smallest(Unit::Minute).mode(jiff::RoundMode::Ceil);
    Ok(time.to_zoned(jiff::tz::TimeZone::UTC).round(minute)?)
}

#[tokio::test]
async fn a_schedule_ends_at_its_minute() {
    shared().await.run(async |plane| schedule_ends(plane).await).await;
}

#[expect(clippy::disallowed_methods, reason = "the controller reads the same clock")]
async fn schedule_ends(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "ends").await?;
    scene.total_queue("demo", "decode", 20.0);
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 2))]).await?;
    scene.pods_are_ready("demo", "decode", 2).await?;
    let history = scene.watch_role("demo", "decode").await?;
    // Time enough to see that it holds.
    let ends = next_minute(Timestamp::now() + 20.seconds())?;
    let schedule = json!({"name": "rush", "from": (&ends - 10.minutes()).strftime("%H:%M").to_string(),
        "to": ends.strftime("%H:%M").to_string(), "roles": [{"name": "decode", "minReplicas": 5}]});
    scene.create_policy("p", "demo", json!({"roles": [role(&json!({}))], "schedules": [schedule]})).await?;
    let active = |name: Option<&'static str>| {
        move |status: &RoleBasedGroupAutoscalerStatus| {
            status.roles.first().is_some_and(|role| role.active_schedule.as_deref() == name)
        }
    };
    scene.status_shows("p", "the schedule", active(Some("rush"))).await?;
    history.ends_with(5).await?;
    scene.status_shows_within("p", "no schedule", Duration::from_secs(90), active(None)).await?;
    // The count follows its metrics again, by the policy's own bounds and windows.
    let counts = history.ends_with(2).await?;
    ensure!(counts == [2, 5, 2], "{counts:?}");
    let status = scene
        .status_shows("p", "what was lowered", |status| status.summary.as_deref() == Some("decode=2/2"))
        .await?;
    let scaled = status.roles.first().and_then(|role| role.last_scale_time).context("it was not scaled")?;
    ensure!(scaled >= ends.timestamp(), "lowered at {scaled}, before {ends}");
    Ok(())
}

#[tokio::test]
async fn without_metrics_there_is_a_fallback() {
    shared().await.run(async |plane| fallback(plane).await).await;
}

async fn fallback(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "fallback").await?;
    // Nobody scrapes these pods.
    scene.create_group("demo", [Role::standalone("decode", 2)]).await?;
    scene.pods_are_ready("demo", "decode", 2).await?;
    let fallback = json!({"fallback": {"after": "3s", "replicas": 4}});
    scene.create_policy("p", "demo", json!({"roles": [role(&fallback)]})).await?;
    let history = scene.watch_role("demo", "decode").await?;
    metric_fails(&scene, "queue_length").await?;
    history.ends_with(4).await?;
    let note = scene.event("p", "SuccessfulRescale").await?;
    ensure!(note.contains("decode: 2 → 4 replicas") && note.contains("no metric has answered"), "{note}");
    stays_at(&scene, 4).await
}

#[tokio::test]
async fn of_two_metrics_the_failed_one_bars_lowering_alone() {
    shared().await.run(async |plane| one_fails(plane).await).await;
}

async fn one_fails(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "partial").await?;
    scene.total_queue("demo", "decode", 40.0);
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 1))]).await?;
    scene.pods_are_ready("demo", "decode", 1).await?;
    // Nothing serves external metrics here.
    let metrics = json!({"metrics": [{"name": "queue_length", "target": "10"}, {"type": "External",
        "external": {"metric": {"name": "gateway_queue"}, "target": {"type": "AverageValue", "averageValue": "5"}}}]});
    scene.create_policy("p", "demo", json!({"roles": [role(&metrics)]})).await?;
    scene.role_asks_for("demo", "decode", 4).await?;
    metric_fails(&scene, "gateway_queue").await?;
    scene.pods_are_ready("demo", "decode", 4).await?;
    scene.total_queue("demo", "decode", 0.0);
    scene
        .status_shows("p", "a metric that asks for less and one that fails", |status| {
            let metrics: Vec<_> = status.roles.iter().flat_map(|role| &role.metrics).collect();
            matches!(metrics[..], [queue, external] if queue.error.is_none()
                && queue.proposed_replicas.is_some_and(|proposed| proposed < 4) && external.error.is_some())
        })
        .await?;
    stays_at(&scene, 4).await
}
