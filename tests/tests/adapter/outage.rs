//! Prometheus stops and starts again.

use anyhow::Context as _;
use rbg_autoscaler_tests::{control_plane::Component, harness::eventually};

use crate::{
    rules,
    world::{PATIENCE, World},
};

/// A signal that no other test asks for.
pub const FRESH: &str = "pending_tokens";

pub async fn prometheus_goes_and_comes_back(world: &World) {
    world.plane.stop_component(Component::Prometheus).await;
    let fresh = world.path("v1beta2", &format!("pods/*/{FRESH}?labelSelector=app%3Dfirst"));
    let error = world.raw(&fresh).await.unwrap_err().to_string();
    let cause = format!("503: {FRESH}: prometheus at {}: connection refused", world.plane.prometheus_url());
    assert_eq!(error, cause, "the message is the cause");
    let cause = format!(
        "503: unable to fetch metrics: prometheus at {}: connection refused",
        world.plane.prometheus_url()
    );
    let ruled = world.path("v1beta1", "pods/*/renamed?labelSelector=app%3Dfirst");
    for path in [&ruled, &rules::external(world, rules::TOTAL)] {
        eventually(&format!("{path} tells the cause"), PATIENCE, async || {
            let refused = world.raw(path).await.err().context("an answer of a moment ago")?.to_string();
            anyhow::ensure!(refused == cause, "{refused}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    }

    // The API itself stays: kube-apiserver must not take it for gone, nor must probes.
    assert_eq!(world.direct("/readyz", None, &[]).await.0, 200);
    world.raw("/apis/custom.metrics.k8s.io/v1beta2").await.unwrap();

    world.plane.start_component(Component::Prometheus).await.unwrap();
    eventually("values again", PATIENCE, async || {
        let items = world.items(&fresh).await?;
        anyhow::ensure!(items.len() == 2, "{items:?}");
        anyhow::ensure!(world.items(&ruled).await?.len() == 2, "no rule yet");
        Ok(Some(()))
    })
    .await
    .unwrap();
}
