//! What `kubectl get rbga` and `kubectl describe rbga` tell in six situations, to somebody who knows nothing else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscalerStatus;
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    harness::{NodePool, eventually, kubectl},
    rbg::manifest::Role,
    scene::Scene,
};
use serde_json::{Value, json};

/// A policy, its summary and its reason, and replicas that wait for nodes.
const AWAITED: [(&str, &str, &str, i32); 7] = [
    ("steady", "decode=1/1", "Scaling", 0),
    ("scaling", "decode=1/4", "Scaling", 3),
    ("limited", "decode=2/2", "ScaleUpLimit", 0),
    ("full", "decode=1/1", "CapacityLimited", 0),
    ("silent", "decode=1/1", "MetricsFailing", 0),
    ("held", "decode=1/1", "Paused", 0),
    ("held-too", "", "Conflict", 0),
];

#[tokio::test]
async fn kubectl_tells_the_whole_story() {
    shared().await.run(async |plane| six_situations(plane).await).await;
}

async fn six_situations(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "told").await?;
    NodePool::new("told-full", 1, 1).create(&scene.namespace().client()).await?;
    let slowly = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 600}]}});
    let decode = || scene.serving(Role::standalone("decode", 1));
    let situations = [
        ("steady", 10.0, decode(), json!({})),
        // New pods are on their way for as long as nobody opens their gates.
        (
            "scaling",
            40.0,
            decode().pod_spec("schedulingGates", json!([{"name": "example.com/later"}])),
            json!({}),
        ),
        ("limited", 40.0, decode(), json!({})),
        ("full", 40.0, decode().gpus(1).on_pool("told-full"), json!({"capacity": {"mode": "Fit"}})),
        ("silent", 0.0, Role::standalone("decode", 1), json!({})),
        ("held", 40.0, decode(), json!({"hold": ["Up"]})),
    ];
    for (name, queue, role, _) in &situations {
        scene.total_queue(name, "decode", *queue);
        scene.create_group(name, [role.clone()]).await?;
    }
    let pods: Api<Pod> = scene.namespace().api();
    let open = Patch::Merge(json!({"spec": {"schedulingGates": []}}));
    eventually("the first pod has no gate", Duration::from_secs(60), async || {
        pods.patch("scaling-decode-0", &PatchParams::default(), &open).await?;
        Ok(Some(()))
    })
    .await?;
    are_scraped(plane, scene.namespace().name(), situations.len() - 1).await?;
    for (name, _, _, mut policy) in situations {
        let mut role = json!({"name": "decode", "maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}]});
        if name == "limited" {
            role["behavior"] = slowly.clone();
        }
        policy["roles"] = json!([role]);
        scene.create_policy(name, name, policy.clone()).await?;
        if name == "held" {
            // The older policy wins, or of two that were created within a second the first by name.
            scene.create_policy("held-too", name, policy).await?;
        }
    }
    for (name, summary, reason, pending) in AWAITED {
        let what = format!("{summary} and {reason}");
        scene.status_shows(name, &what, |status| is_settled(status, summary, reason, pending)).await?;
    }
    for (name, reason) in [("limited", "SuccessfulRescale"), ("full", "NoFit"), ("held-too", "Conflict")] {
        scene.event(name, reason).await?;
    }
    let namespace = scene.namespace().name();
    let mut told = without_age(&kubectl(plane, &["get", "rbga", "-n", namespace]).await?);
    for (name, ..) in AWAITED {
        let text = kubectl(plane, &["describe", "rbga", name, "-n", namespace]).await?;
        told.push_str("\n\n");
        told.push_str(&lasting(&text, name == "silent")?);
    }
    insta::assert_snapshot!(told);
    Ok(())
}

/// Waits until Prometheus has scraped that many pods of a namespace.
async fn are_scraped(plane: &ControlPlane, namespace: &str, pods: usize) -> Result<()> {
    let mut url = reqwest::Url::parse(&plane.prometheus_url())?.join("api/v1/query")?;
    let query = format!("vllm:num_requests_waiting{{namespace=\"{namespace}\"}}");
    url.query_pairs_mut().append_pair("query", &query);
    eventually("all pods are scraped", Duration::from_secs(60), async || {
        let answer: Value = serde_json::from_str(&reqwest::get(url.clone()).await?.text().await?)?;
        let scraped = answer["data"]["result"].as_array().context("no answer")?.len();
        ensure!(scraped == pods, "{scraped} of {pods}");
        Ok(Some(()))
    })
    .await
}

/// Whether nothing will change any more: no write is news and no replica is still to be scraped.
fn is_settled(status: &RoleBasedGroupAutoscalerStatus, summary: &str, reason: &str, pending: i32) -> bool {
    status.summary.as_deref().unwrap_or_default() == summary
        && status.conditions.iter().any(|seen| seen.type_ == "Ready" && seen.reason == reason)
        && status.roles.iter().all(|role| {
            role.pending_replicas == pending
                && role.conditions.iter().all(|seen| seen.reason != "SucceededRescale")
                && role.metrics.iter().all(|metric| metric.missing_replicas.unwrap_or(0) == 0)
        })
}

fn without_age(table: &str) -> String {
    let lines = table.lines().map(|line| line.rsplit_once(' ').map_or(line, |(line, _)| line.trim_end()));
    lines.collect::<Vec<_>>().join("\n")
}

/// What a description holds besides times, names that are made up, and the history, which is for the controller.
fn lasting(description: &str, is_silent: bool) -> Result<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut skipped, mut in_events) = (None, false);
    for line in description.lines() {
        let depth = line.len() - line.trim_start().len();
        if skipped.is_some_and(|skipped| depth > skipped) {
            continue;
        }
        let text = line.trim_start();
        let is_for_machines = ["Metadata:", "History:"].contains(&text);
        skipped = is_for_machines.then_some(depth);
        let is_made_up = text.starts_with("Namespace:") || text.starts_with("Last ");
        if is_for_machines || is_made_up {
            continue;
        }
        if text.starts_with("Events:") {
            in_events = true;
            lines.push("Events:".to_owned());
            continue;
        }
        if in_events && depth > 0 {
            let columns: Vec<_> =
                text.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
            let [kind, reason, _age, _from, message] = columns[..] else {
                anyhow::bail!("an event in other columns: {line}");
            };
            // Whether the first look at metrics came before the first scrape is chance.
            let is_chance = !is_silent && ["FailedGetPodsMetric", "MetricsHealthy"].contains(&reason);
            if !is_chance && !["Type", "----"].contains(&kind) {
                lines.push(format!("  {kind} {reason}: {message}"));
            }
        } else {
            ensure!(text.split_whitespace().all(|word| word.parse::<Timestamp>().is_err()), "a time: {line}");
            lines.push(line.trim_end().to_owned());
        }
    }
    Ok(lines.join("\n"))
}
