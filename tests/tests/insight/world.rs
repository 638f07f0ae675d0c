//! One group in which everything happens at once, and Prometheus that scrapes it all.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use rbg_autoscaler::api::snapshot::LiveDecision;
use rbg_autoscaler_tests::{
    control_plane::{Component, ControlPlane, Options},
    dashboards,
    fleet::{endpoint::Target, pin::Pin},
    harness::{ApiService, MetricsAdapter, Program, VictoriaMetrics, eventually, free_port},
    rbg::manifest::Role,
    scene::Scene,
};
use serde_json::json;
use tempfile::TempDir;

use super::platform::Platform;

pub const PATIENCE: Duration = Duration::from_secs(90);
const API: &str = "custom.metrics.k8s.io";
/// The name that the controller takes for its pod's.
pub const POD: &str = "rbg-autoscaler-0";

pub struct World {
    // The programs drop before the control plane.
    pub scene: Scene,
    _adapter: Program,
    pub prometheus: String,
    pub victoria: Option<VictoriaMetrics>,
    pub plane: ControlPlane,
    _platform: Platform,
    _targets: TempDir,
}

impl World {
    pub async fn start() -> Result<Self> {
        let targets = tempfile::tempdir()?;
        let file = |name: &str| targets.path().join(name);
        let job = |name: &str, scheme: &str, file: PathBuf| {
            json!({"job_name": name, "scheme": scheme, "honor_labels": true, "tls_config": {"insecure_skip_verify": true},
                "file_sd_configs": [{"files": [file], "refresh_interval": "1s"}]})
        };
        let options = Options {
            prometheus: true,
            rule_files: dashboards::rule_files()?,
            scrape_configs: vec![
                job("controller", "http", file("controller.json")),
                job("adapter", "https", file("adapter.json")),
                job("kubernetes", "https", file("kubernetes.json")),
                job("platform", "http", file("platform.json")),
            ],
            ..Options::default()
        };
        let plane = ControlPlane::start(options).await?;
        let mut scene = Scene::without_controller(&plane, "insight").await?;
        let home = scene.namespace().name().to_owned();
        let flags = ["--leader-elect", "--lease-namespace", home.as_str()];
        scene.start_controller_as(POD, &flags).await?;
        let (adapter, port) = start_adapter(&plane).await?;
        let platform = Platform::start(scene.namespace()).await?;
        let address = |port: u16| json!([{"targets": [format!("127.0.0.1:{port}")]}]).to_string();
        std::fs::write(file("controller.json"), address(scene.port()))?;
        std::fs::write(file("adapter.json"), address(port))?;
        std::fs::write(file("platform.json"), address(platform.port))?;
        let programs = [Component::ApiServer, Component::ControllerManager];
        let programs = programs.map(|program| plane.address(program).to_string());
        std::fs::write(file("kubernetes.json"), json!([{"targets": programs}]).to_string())?;
        let prometheus = plane.prometheus().await?;
        // What was just scraped is found at once, and not after half a minute.
        let mut victoria = VictoriaMetrics::start(&plane, &["-search.latencyOffset=1s"]).await?;
        if let Some(victoria) = &mut victoria {
            victoria.evaluate(&plane, &dashboards::rule_files()?)?;
        }
        let world = Self {
            scene,
            _adapter: adapter,
            prometheus,
            victoria,
            plane,
            _platform: platform,
            _targets: targets,
        };
        world.populate().await?;
        Ok(world)
    }

    /// Creates the group and waits until everything has happened.
    async fn populate(&self) -> Result<()> {
        let scene = &self.scene;
        scene.queue("demo", "down", 0.0);
        scene.queue("demo", "blocked", 30.0);
        scene.queue("demo", "zero", 0.0);
        scene.queue("demo", "router", 0.0);
        let busy = Pin {
            queue_length: Some(20.0),
            running_requests: Some(12.0),
            kv_cache_usage: Some(0.6),
            qps: Some(3.0),
            prompt_tokens_per_second: Some(2100.0),
            generation_tokens_per_second: Some(600.0),
            mean_prompt_tokens: Some(700.0),
            mean_generated_tokens: Some(200.0),
            time_to_first_token: Some(0.4),
            time_per_output_token: Some(0.02),
            request_latency: Some(4.5),
            ..Pin::default()
        };
        scene.fleet().pin(Target::role(scene.namespace().name(), "demo", "up"), busy);
        let roles = [
            scene.serving(Role::standalone("up", 2)),
            scene.serving(Role::standalone("down", 4)),
            scene.serving(Role::standalone("blocked", 2).gpus(8).on_pool("scene")),
            Role::standalone("silent", 1),
            scene.serving(Role::standalone("zero", 1)),
            scene.serving(Role::standalone("router", 1)),
        ];
        scene.create_group("demo", roles).await?;
        scene.deployment("plain", 1).await?;
        let queue = json!([{"name": "queue_length", "target": "10"}]);
        let at_once = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
        let spec = json!({
            "capacity": {"pendingTimeout": "2s", "backoff": {"initial": "10m"}},
            "roles": [
                {"name": "up", "maxReplicas": 4, "metrics": [{"name": "queue_length", "target": "10"}, {"name": "kv_cache_usage", "target": "0.8"}]},
                {"name": "down", "maxReplicas": 8, "metrics": queue, "behavior": at_once},
                {"name": "blocked", "maxReplicas": 8, "metrics": queue},
                {"name": "silent", "maxReplicas": 8, "metrics": queue},
                {"name": "zero", "maxReplicas": 4, "metrics": queue,
                    "scaleToZero": {"idleAfter": "2s", "wakeOn": [{"name": "queue_length", "role": "router"}]}},
            ],
        });
        scene.create_policy("demo", "demo", spec).await?;
        scene
            .create_policy(
                "lost",
                "nowhere",
                json!({"roles": [{"name": "a", "maxReplicas": 2, "minReplicas": 2}]}),
            )
            .await?;
        for (role, replicas) in [("up", 4), ("down", 1), ("silent", 1), ("zero", 0)] {
            scene.role_asks_for("demo", role, replicas).await?;
        }
        scene
            .status_shows("demo", "that one role is short and another finds no room", |status| {
                let short =
                    status.roles.iter().any(|role| role.name == "up" && role.recommended_replicas == 8);
                let blocked = status.roles.iter().find(|role| role.name == "blocked");
                short
                    && blocked.is_some_and(|role| {
                        role.ready_replicas == 4
                            && role.decision.iter().any(|step| step.reason == "BackingOff")
                    })
            })
            .await?;
        Ok(())
    }
}

/// Asks the controller of a scene itself.
pub async fn live(scene: &Scene, name: &str) -> Result<LiveDecision> {
    let (code, text) = ask(scene, name).await?;
    ensure!(code == 200, "{code}: {text}");
    serde_json::from_str(&text).context("an answer that is not understood")
}

pub async fn ask(scene: &Scene, name: &str) -> Result<(u16, String)> {
    let (port, namespace) = (scene.snapshots_port(), scene.namespace().name());
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/snapshots/{namespace}/{name}")).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

async fn start_adapter(plane: &ControlPlane) -> Result<(Program, u16)> {
    let port = free_port()?;
    let certificate = plane.pki().server("adapter", &[&ApiService::host(API)])?;
    let adapter = MetricsAdapter { kubeconfig: &plane.kubeconfig(), port, certificate: &certificate };
    let mut adapter = adapter.start(&[
        &format!("--prometheus-url={}", plane.prometheus_url()),
        "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
    ])?;
    adapter.printed("pods listed", PATIENCE).await?;
    let client = plane.client().await?;
    ApiService::serve(&client, &[(API, "v1beta2")], port, &plane.pki().ca(), PATIENCE).await?;
    Ok((adapter, port))
}

/// Waits until something is seen, with the patience of this file.
pub async fn seen<T>(what: &str, attempt: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    eventually(what, PATIENCE, attempt).await
}
