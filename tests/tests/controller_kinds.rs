//! The controller and every kind of workload that may run a role, every kind of metric that may scale it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    fleet::{endpoint::Target, pin::Pin},
    harness::eventually,
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
    let status = scene
        .status_shows("demo-inline", "a value of each", |status| {
            let has_value = |role: &rbg_autoscaler::api::autoscaler::RoleStatus| {
                role.metrics.iter().all(|metric| metric.current.is_some() && metric.error.is_none())
            };
            status.roles.len() == metrics.len() && status.roles.iter().all(has_value)
        })
        .await?;
    ensure!(status.roles.iter().all(|role| role.desired_replicas == 3), "{status:?}");
    Ok(())
}

/// The same metric, bounds and behavior for a role and for a Deployment with an HPA: the same counts in the same order.
async fn beside_an_hpa(scene: &Scene) -> Result<()> {
    let behavior = json!({
        "scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 3}]},
        "scaleDown": {"stabilizationWindowSeconds": 3, "policies": [{"type": "Pods", "value": 3, "periodSeconds": 3}]},
    });
    let (low, high) = (2, 7);
    let role = json!({"minReplicas": low, "maxReplicas": high, "behavior": behavior.clone(),
        "metrics": [{"name": "queue_length", "target": "10"}]});
    scene.queue("twin", "engine", 10.0);
    let engine = scene.serving(Role::standalone("engine", 2)).autoscaling(role);
    scene.create_group("twin", [engine]).await?;
    scene.deployment("alone", 2).await?;
    let pin = |queue: f64| {
        let alone = Target::labels(scene.namespace().name(), &[("app", "alone")]);
        scene.fleet().pin(alone, Pin::queue_length(queue));
        scene.queue("twin", "engine", queue);
    };
    pin(10.0);
    scene.pods_are_ready("twin", "engine", 2).await?;
    scene
        .apply(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "alone"}, "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "alone"},
            "minReplicas": low, "maxReplicas": high, "behavior": behavior,
            "metrics": [{"type": "Pods", "pods": {"metric": {"name": "queue_length"},
                "target": {"type": "AverageValue", "averageValue": "10"}}}]}}))
        .await?;
    scene.condition("twin-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    let (ours, deployments) =
        (scene.watch_role("twin", "engine").await?, scene.namespace().api::<Deployment>());
    let mut theirs: Vec<u64> = Vec::new();
    for (queue, last) in [(40.0, 7), (0.0, 2)] {
        pin(queue);
        eventually(&format!("both are at {last}"), Duration::from_secs(60), async || {
            let replicas = replicas(&deployments).await?;
            if theirs.last() != Some(&replicas) {
                theirs.push(replicas);
            }
            ensure!(
                replicas == last && ours.counts().last() == Some(&last),
                "{:?} and {theirs:?}",
                ours.counts()
            );
            Ok(Some(()))
        })
        .await?;
    }
    ensure!(ours.counts() == theirs, "we took {:?}, the HPA {theirs:?}", ours.counts());
    ensure!(theirs == [2, 4, 6, 7, 4, 2], "{theirs:?}");
    Ok(())
}

async fn replicas(deployments: &Api<Deployment>) -> Result<u64> {
    let spec = deployments.get("alone").await?.spec.context("a Deployment without spec")?;
    Ok(u64::try_from(spec.replicas.context("a Deployment without replicas")?)?)
}
