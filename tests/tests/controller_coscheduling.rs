//! Gangs under a real gang scheduler: coscheduling of scheduler-plugins, with one PodGroup over the whole group as RBG makes it.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use rbg_autoscaler_tests::{
    control_plane::{Component, ControlPlane, Options},
    harness::{NodePool, eventually, throughout},
    rbg::{
        install_coscheduling_crds, labels,
        manifest::{Role, manifest},
    },
    scene::Scene,
};
use serde_json::{Value, json};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(90);
/// How long the scheduler may take to bind all pods of a step, or none.
const BINDING: Duration = Duration::from_secs(5);

/// The adapter's own signals need no rules; it serves external metrics only where some are asked for.
const RULES: &str = r#"
externalRules:
- seriesQuery: 'vllm:num_requests_waiting{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}}}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
"#;

/// One pool of 24 GPUs for each case, on one control plane.
#[tokio::test]
async fn gangs_under_coscheduling() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    Box::pin(cases(&plane)).await.unwrap();
}

async fn cases(plane: &ControlPlane) -> Result<()> {
    install_coscheduling_crds(&plane.client().await?).await?;
    plane.stop_component(Component::Scheduler).await;
    plane.start_component(Component::Coscheduler).await?;
    plane.start_component(Component::PodGroupController).await?;
    tokio::try_join!(
        nothing_under_an_hpa(plane),
        wrong_label(plane),
        what_fits(plane, "fit", "Fit"),
        what_fits(plane, "optimistic", "Optimistic")
    )?;
    Ok(())
}

/// Prefill 1 × 4 pods and decode 2, a GPU each, in a pool of their own of 24 GPUs. With `label` the pods say to which PodGroup they
/// belong as the scheduler reads it; RBG's own label is one that it no longer reads.
async fn group(plane: &ControlPlane, scene: &Scene, pool: &str, label: bool) -> Result<()> {
    NodePool::new(pool, 3, 8).create(&plane.client().await?).await?;
    let roles = [Role::leader_worker("prefill", 1, 4).scaling_adapter(), Role::standalone("decode", 2)];
    let roles = roles.map(|role| {
        let role = scene.serving(role).gpus(1).on_pool(pool);
        if label { role.pod_label("scheduling.x-k8s.io/pod-group", "demo") } else { role }
    });
    let mut object = manifest("demo", roles);
    object["metadata"]["annotations"] = json!({(labels::GANG_SCHEDULING): "true"});
    scene.queue("demo", "prefill", 60.0);
    scene.apply(object).await?;
    scene.pods_are_ready("demo", "prefill", 4).await?;
    scene.pods_are_ready("demo", "decode", 2).await
}

/// Pods that are to stay, and those of them that have a node.
async fn bound(scene: &Scene) -> Result<(usize, usize)> {
    let pods: Api<Pod> = scene.namespace().api();
    let mut pods = pods.list(&ListParams::default()).await?.items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    let has_node = |pod: &&Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    Ok((pods.len(), pods.iter().filter(has_node).count()))
}

/// A plain HPA asks for all six replicas that are wanted: 26 pods, on 24 GPUs. None of the new ones runs, though 16 would fit.
async fn nothing_under_an_hpa(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::without_controller(plane, "hpa").await?;
    let _adapter = scene.start_adapter(plane, RULES).await?;
    group(plane, &scene, "hpa", true).await?;
    let target = json!({"apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroupScalingAdapter", "name": "demo-prefill"});
    scene
        .apply(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "prefill"}, "spec": {
            "scaleTargetRef": target, "maxReplicas": 6, "behavior": at_once(),
            "metrics": [{"type": "Pods", "pods": {"metric": {"name": "queue_length"},
                "target": {"type": "AverageValue", "averageValue": "10"}}}]}}))
        .await?;
    eventually("the HPA has 26 pods made", PATIENCE, async || {
        let seen = bound(&scene).await?;
        ensure!(seen.0 == 26, "{seen:?}");
        Ok(Some(()))
    })
    .await?;
    throughout("no new pod gets a node", Duration::from_secs(10), async || {
        let seen = bound(&scene).await?;
        ensure!(seen == (26, 6), "{seen:?}");
        Ok(())
    })
    .await
}

/// The annotation of the group has no effect, and the status says so.
async fn wrong_label(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "label").await?;
    group(plane, &scene, "label", false).await?;
    scene.create_policy("p", "demo", policy("Optimistic")).await?;
    let told = scene.condition("p", "GangSchedulingIneffective", "True", "PodsInNoPodGroup").await?;
    ensure!(told.message.contains("lack the label scheduling.x-k8s.io/pod-group"), "{}", told.message);
    Ok(())
}

/// As many replicas as are wanted in one step.
fn at_once() -> Value {
    json!({"scaleUp": {"policies": [{"type": "Pods", "value": 10, "periodSeconds": 15}]}})
}

fn policy(mode: &str) -> Value {
    json!({"capacity": {"mode": mode, "pendingTimeout": "10s", "backoff": {"initial": "2s", "max": "1m"}},
        "roles": [{"name": "prefill", "maxReplicas": 6, "metrics": [{"name": "queue_length", "target": "10"}],
            "behavior": at_once()}]})
}

/// Wanting 26 pods of 24 GPUs, a group gets the 22 that fit, and each step is bound wholly or not at all.
async fn what_fits(plane: &ControlPlane, pool: &str, mode: &str) -> Result<()> {
    let scene = Scene::start(plane, pool).await?;
    group(plane, &scene, pool, true).await?;
    let history = scene.watch_role("demo", "prefill").await?;
    scene.create_policy("p", "demo", policy(mode)).await?;
    let began = Instant::now();
    let (mut whole, mut since, mut longest) = (6, began, Duration::ZERO);
    eventually("22 pods are asked for and have a node", PATIENCE, async || {
        let (pods, bound) = bound(&scene).await?;
        if bound == pods {
            whole = bound;
        }
        if bound == whole {
            since = Instant::now();
        }
        longest = longest.max(since.elapsed());
        let counts = history.counts();
        ensure!(bound == 22 && counts.last() == Some(&5), "{bound} of {pods} after {counts:?}");
        Ok(Some(()))
    })
    .await?;
    let counts = history.counts();
    println!("{mode}: {counts:?} within {:.0} s", began.elapsed().as_secs_f64());
    ensure!(longest < BINDING, "a step was half bound for {longest:?}: {counts:?}");
    // Coscheduling may overlook that a step is complete, for minutes: then even what fits is taken back once and tried again.
    let most = if mode == "Fit" { 5 } else { 6 };
    ensure!(counts.iter().max() == Some(&most) && counts.last() == Some(&5), "{counts:?}");
    Ok(())
}
