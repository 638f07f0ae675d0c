//! Signals of several pods together, without any rule: the real HPA controller follows Object and External metrics.

use anyhow::{Context, ensure};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::Api;
use rbg_autoscaler_tests::{
    fleet::{
        endpoint::Target,
        pin::{Fault, Pin},
    },
    harness::eventually,
};

use crate::{
    hpa,
    world::{PATIENCE, World},
};

/// The deployment that the others follow, as a role of a group.
const ROLE: &str = "chat-decode";
const BY_OBJECT: &str = "follows-object";
const BY_EXTERNAL: &str = "follows-external";

/// The deployment that others will follow; its pods are Ready for a while before they must answer.
pub async fn prepare(world: &World) -> Vec<String> {
    let labels = "rbg.workloads.x-k8s.io/group-name: chat, rbg.workloads.x-k8s.io/role-name: decode";
    world.deployment_labelled("vllm", ROLE, 2, labels).await
}

/// Two deployments go up and down with what waits at a third, and stay while a part of that is not known.
pub async fn hpas_follow_them(world: &World, sources: &[String]) {
    let target = |labels: &[(&str, &str)]| Target::labels(world.namespace.name(), labels);
    let pin = |queue: f64| world.fleet.pin(target(&[("app", ROLE)]), Pin::queue_length(queue));
    pin(12.0);
    for (name, metric) in [
        (
            BY_OBJECT,
            format!(
                "{{type: Object, object: {{metric: {{name: queue_length{}}}, target: {{type: AverageValue, averageValue: 10}}, \
                 describedObject: {{apiVersion: workloads.x-k8s.io/v1alpha2, kind: RoleBasedGroup, name: chat}}}}}}",
                hpa::OF_ONE_ENGINE
            ),
        ),
        (
            BY_EXTERNAL,
            format!(
                "{{type: External, external: {{metric: {{name: queue_length, selector: {{matchLabels: {{app: {ROLE}}}}}}}, \
                 target: {{type: AverageValue, averageValue: 10}}}}}}"
            ),
        ),
    ] {
        world.deployment(name, 1).await;
        world.hpa(name, (1, 5), &metric).await;
    }
    for name in [BY_OBJECT, BY_EXTERNAL] {
        has_replicas(world, name, 3).await;
    }
    // One of the two is not read any more and the other has nothing to do: too little is known to go down.
    let silent = &sources[0];
    let silent_pod = Target::pod(world.namespace.name(), silent);
    world.fleet.fail(silent_pod.clone(), Fault::Error);
    for name in [BY_OBJECT, BY_EXTERNAL] {
        is_told_of(world, name, silent).await;
    }
    let mut held = Vec::new();
    for name in [BY_OBJECT, BY_EXTERNAL] {
        held.push((name, replicas(world, name).await.unwrap()));
    }
    pin(0.0);
    let other = world.path("v1beta2", &format!("pods/{}/queue_length", sources[1]));
    eventually("nothing waits at the other", PATIENCE, async || {
        let items = world.items(&other).await?;
        ensure!(items[0]["value"] == "0", "{items:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    let group = world.path("v1beta2", "rolebasedgroups.workloads.x-k8s.io/chat/queue_length");
    let error = world.raw(&group).await.unwrap_err().to_string();
    assert!(error.starts_with("503: ") && error.contains(silent), "{error}");
    for (name, before) in held {
        is_told_of(world, name, silent).await;
        let now = replicas(world, name).await.unwrap();
        assert!(now == before && now > Some(1), "{name}: {before:?}, then {now:?}");
    }
    world.fleet.mend(silent_pod);
    for name in [BY_OBJECT, BY_EXTERNAL] {
        has_replicas(world, name, 1).await;
    }
}

async fn replicas(world: &World, name: &str) -> anyhow::Result<Option<i32>> {
    let deployments: Api<Deployment> = world.namespace.api();
    Ok(deployments.get(name).await?.spec.context("no spec")?.replicas)
}

async fn has_replicas(world: &World, name: &str, wanted: i32) {
    eventually(&format!("{name} has {wanted} replicas"), PATIENCE, async || {
        let found = replicas(world, name).await?;
        ensure!(found == Some(wanted), "{found:?}; {}", conditions(world, name).await?);
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// The HPA says that it has no metric, and which pod is the reason.
async fn is_told_of(world: &World, name: &str, pod: &str) {
    eventually(&format!("the HPA {name} names {pod}"), PATIENCE, async || {
        let conditions = conditions(world, name).await?;
        ensure!(conditions.contains("do not answer") && conditions.contains(pod), "{conditions}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

async fn conditions(world: &World, name: &str) -> anyhow::Result<String> {
    let hpas: Api<HorizontalPodAutoscaler> = world.namespace.api();
    let status = hpas.get(name).await?.status.context("no status")?;
    let conditions = status.conditions.unwrap_or_default().into_iter();
    let texts = conditions.map(|it| format!("{}={} {}", it.type_, it.status, it.message.unwrap_or_default()));
    Ok(texts.collect::<Vec<_>>().join("; "))
}
