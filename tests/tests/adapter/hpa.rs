//! The real HPA controller scales on our numbers.

use anyhow::{Context, bail};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::Api;
use rbg_autoscaler_tests::{
    fleet::{endpoint::Target, pin::Pin},
    harness::eventually,
};

use crate::world::{PATIENCE, World};

/// Series of vLLM only: SGLang's have no such label.
pub const OF_ONE_ENGINE: &str = ", selector: {matchLabels: {engine: \"0\"}}";

pub async fn a_deployment_follows_its_queue(world: &World) {
    follows_its_queue(world, "scaled", "").await;
}

/// A Deployment of that name goes up and down with the queue of its pods, narrowed by a selector of series.
pub async fn follows_its_queue(world: &World, name: &str, selector: &str) {
    world.deployment(name, 2).await;
    let target = Target::labels(world.namespace.name(), &[("app", name)]);
    let metric = format!(
        "{{type: Pods, pods: {{metric: {{name: queue_length{selector}}}, target: {{type: AverageValue, averageValue: 10}}}}}}"
    );
    world.hpa(name, (2, 6), &metric).await;
    for (queue, replicas) in [(25.0, 6), (10.0, 6), (1.0, 2)] {
        world.fleet.pin(target.clone(), Pin::queue_length(queue));
        has_replicas(world, name, replicas, queue).await;
    }
}

async fn has_replicas(world: &World, name: &str, replicas: i32, queue: f64) {
    let deployments: Api<Deployment> = world.namespace.api();
    let hpas: Api<HorizontalPodAutoscaler> = world.namespace.api();
    eventually(&format!("{replicas} replicas while {queue} wait at each"), PATIENCE, async || {
        let spec = deployments.get(name).await?.spec.context("no spec")?;
        let status = hpas.get(name).await?.status.context("no status")?;
        let metric = status.current_metrics.iter().flatten().find_map(|metric| metric.pods.as_ref());
        let shown = metric.and_then(|metric| metric.current.average_value.clone());
        // The HPA must have seen the new value, or a passing state would count.
        if spec.replicas == Some(replicas) && shown.as_ref().is_some_and(|shown| shown.0 == queue.to_string())
        {
            return Ok(Some(()));
        }
        bail!("{:?} replicas, the HPA sees {shown:?}: {:?}", spec.replicas, status.conditions)
    })
    .await
    .unwrap();
}
