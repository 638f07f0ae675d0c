//! The controller and every kind of workload that may run a role, every kind of metric that may scale it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rbg_autoscaler::api::autoscaler::RoleStatus;
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    fleet::{endpoint::Target, pin::Pin},
    harness::{eventually, throughout},
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
    // The pods of a Deployment have no ordinals: all of them show the queue, so that only its bound stops the role.
    let policy = |name: &str| {
        json!({"maxReplicas": if name == "deployment" { 3 } else { 8 },
            "metrics": [{"name": "queue_length", "target": "10"}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 2}}})
    };
    let queue = |name: &str, requests: f64| {
        if name == "deployment" {
            scene.queue("demo", name, requests);
        } else {
            scene.total_queue("demo", name, requests);
        }
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
        queue(name, 30.0);
        built.push(scene.serving(role.clone()).autoscaling(policy(name)));
    }
    scene.create_group("demo", built).await?;
    let mut histories = Vec::new();
    for (name, _, _) in &roles {
        histories.push(scene.watch_role("demo", name).await?);
    }
    for ((name, _, pods), history) in roles.iter().zip(&histories) {
        history.ends_with(3).await?;
        scene.pods_are_ready("demo", name, 3 * pods).await?;
    }
    let all = "instances=3/3 deployment=3/3 stateful=3/3 leaders=3/3";
    let status =
        scene.status_shows("demo-inline", all, |status| status.summary.as_deref() == Some(all)).await?;
    let sizes: Vec<_> = status.roles.iter().map(|role| role.pods_per_replica).collect();
    ensure!(sizes == [1, 1, 1, 2], "{sizes:?}");
    for (name, _, _) in &roles {
        queue(name, 1.0);
    }
    for ((name, _, pods), history) in roles.iter().zip(&histories) {
        let counts = history.ends_with(1).await?;
        // The watch may begin after the first step; a replica that was not scraped yet holds the way down up.
        let down = counts.strip_prefix(&[1]).unwrap_or(&counts);
        let is_down = down.first() == Some(&3) && down.is_sorted_by(|before, after| before > after);
        ensure!(is_down, "{name}: {counts:?}");
        scene.pods_are_ready("demo", name, *pods).await?;
    }
    Ok(())
}

/// Metrics of a namespace and of nothing, as prometheus-adapter would be told of them.
const RULES: &str = r#"
rules:
- seriesQuery: 'vllm:num_requests_waiting{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}}}
  name: {as: waiting}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
externalRules:
- seriesQuery: 'vllm:num_requests_waiting{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}}}
  name: {as: waiting_in_all}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
"#;

#[tokio::test]
async fn every_kind_of_metric_scales_and_behaves_as_the_hpa_does() {
    let test = async |plane: &ControlPlane| {
        let scene = Scene::start(plane, "metrics").await?;
        let _adapter = scene.start_adapter(plane, RULES).await?;
        every_kind_of_metric(&scene).await?;
        beside_an_hpa(&scene).await
    };
    shared().await.run(async |plane| test(plane).await).await;
}

/// One role for each kind of metric, all of them wanting three replicas.
async fn every_kind_of_metric(scene: &Scene) -> Result<()> {
    let namespace = scene.namespace().name();
    let of_role =
        |name: &str, role: &str| json!({"name": name, "selector": {"matchLabels": {"rbg_role": role}}});
    let average = |value: &str| json!({"type": "AverageValue", "averageValue": value});
    let metrics = [
        (
            "resource",
            json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 50}}}),
        ),
        (
            "container",
            json!({"type": "ContainerResource", "containerResource":
            {"name": "cpu", "container": "engine", "target": average("500m")}}),
        ),
        (
            "pods",
            json!({"type": "Pods", "pods": {"metric": {"name": "queue_length"}, "target": average("10")}}),
        ),
        (
            "object",
            json!({"type": "Object", "object": {"metric": of_role("waiting", "object"), "target": average("10"),
            "describedObject": {"apiVersion": "v1", "kind": "Namespace", "name": namespace}}}),
        ),
        (
            "external",
            json!({"type": "External", "external":
            {"metric": of_role("waiting_in_all", "external"), "target": average("10")}}),
        ),
        ("total", json!({"name": "queue_length", "target": "10", "role": "object"})),
        ("tokens", json!({"name": "token_utilization", "target": "1"})),
    ];
    let mut roles = Vec::new();
    for (name, metric) in &metrics {
        let mut policy = json!({"maxReplicas": 3, "metrics": [metric]});
        if *name == "tokens" {
            policy["throughput"] =
                json!({"promptTokensPerSecond": "100", "generationTokensPerSecond": "100"});
        }
        scene.queue("demo", name, 30.0);
        roles.push(scene.serving(Role::standalone(name, 1).request("cpu", "1")).autoscaling(policy));
    }
    let tokens = Pin {
        prompt_tokens_per_second: Some(2000.0),
        generation_tokens_per_second: Some(2000.0),
        ..Pin::queue_length(0.0)
    };
    scene.fleet().pin(Target::role(namespace, "demo", "tokens"), tokens);
    scene.create_group("demo", roles).await?;
    // What a pod used before it was ready does not count, so it is measured until it does.
    eventually("the roles scaled by CPU ask for three replicas", Duration::from_secs(60), async || {
        for name in ["resource", "container"] {
            scene.usage("demo", name, &format!("demo-{name}-0"), "1500m").await?;
        }
        let seen = [scene.replicas("demo", "resource").await?, scene.replicas("demo", "container").await?];
        ensure!(seen == [3, 3], "{seen:?}");
        Ok(Some(()))
    })
    .await?;
    for (name, _) in &metrics {
        scene.role_asks_for("demo", name, 3).await?;
    }
    // The status is written after the replicas.
    scene
        .status_shows("demo-inline", "a value of each and three replicas", |status| {
            let is_told = |role: &RoleStatus| {
                role.desired_replicas == 3
                    && role.metrics.iter().all(|metric| metric.current.is_some() && metric.error.is_none())
            };
            status.roles.len() == metrics.len() && status.roles.iter().all(is_told)
        })
        .await?;
    Ok(())
}

/// The same metric, bounds and behavior for a role and for a Deployment with an HPA: the same counts in the same order.
///
/// The load is one series of one pod, so that each of them reads either all of a change or nothing of it, whenever it looks. Then
/// the behavior alone says what follows, however late somebody decides.
async fn beside_an_hpa(scene: &Scene) -> Result<()> {
    let behavior = json!({
        "scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 3}]},
        "scaleDown": {"stabilizationWindowSeconds": 3, "policies": [{"type": "Pods", "value": 3, "periodSeconds": 3}]},
    });
    let metrics = json!([{"type": "External", "external": {
        "metric": {"name": "waiting_in_all", "selector": {"matchLabels": {"rbg_role": "load"}}},
        "target": {"type": "AverageValue", "averageValue": "10"}}}]);
    let (low, high) = (2, 7);
    let role = json!({"minReplicas": low, "maxReplicas": high, "behavior": behavior.clone(), "metrics": metrics.clone()});
    scene.queue("twin", "load", 20.0);
    let load = scene.serving(Role::standalone("load", 1));
    scene.create_group("twin", [load, Role::standalone("engine", 2).autoscaling(role)]).await?;
    scene.deployment("alone", 2).await?;
    scene
        .apply(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "alone"}, "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "alone"},
            "minReplicas": low, "maxReplicas": high, "behavior": behavior, "metrics": metrics}}))
        .await?;
    let (ours, theirs) = (scene.watch_role("twin", "engine").await?, scene.watch_deployment("alone").await?);
    scene.condition("twin-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    let steps: [(f64, &[u64]); 2] = [(70.0, &[2, 4, 6, 7]), (0.0, &[2, 4, 6, 7, 4, 2])];
    for (queue, want) in steps {
        scene.queue("twin", "load", queue);
        for (who, history) in [("the role", &ours), ("the HPA", &theirs)] {
            let last = want.last().copied().context("no steps")?;
            let counts = history.ends_with(last).await?;
            ensure!(counts == want, "{who} took {counts:?} instead of {want:?}");
        }
        // Longer than any period or window: what comes next must not depend on when this step was taken.
        throughout("nobody goes on", Duration::from_secs(4), async || {
            let counts = (ours.counts(), theirs.counts());
            ensure!(counts.0 == want && counts.1 == want, "{counts:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
