//! VictoriaMetrics in the place of Prometheus: it scrapes the same pods, an adapter reads it, and the real HPA controller scales on that.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rbg_autoscaler::{metrics::catalog, units::MilliValue};
use rbg_autoscaler_tests::harness::{ApiService, VictoriaMetrics, eventually, free_port};
use serde_json::Value;

use crate::{
    hpa, outage, rules,
    world::{EXTERNAL, GROUP, PATIENCE, World, adapter, ask},
};

pub async fn another_source_says_the_same(world: &World) {
    let Some(victoria) = VictoriaMetrics::start(&world.plane, &[]).await.unwrap() else { return };
    let port = free_port().unwrap();
    let mut program =
        adapter(&world.plane.kubeconfig(), victoria.url(), port, &world.certificate, &world.rules).unwrap();
    program.printed("pods listed", PATIENCE).await.unwrap();

    let signals = catalog::built_in(catalog::RATE_WINDOW);
    eventually("the same signals", PATIENCE, async || {
        let mut compared = 0;
        // Prometheus's outage is tried with a signal that nobody has asked for before.
        for signal in signals.iter().filter(|signal| signal.name != outage::FRESH) {
            let path = world.path("v1beta1", &format!("pods/*/{}?labelSelector=app%3Dfirst", signal.name));
            let (theirs, ours) = (values(world, world.port, &path).await?, values(world, port, &path).await?);
            ensure!(
                is_close(&theirs, &ours),
                "{}: {theirs:?} by Prometheus, {ours:?} by VictoriaMetrics",
                signal.name
            );
            compared += theirs.len();
        }
        ensure!(compared > 10, "only {compared} values");
        Ok(Some(()))
    })
    .await
    .unwrap();

    register(world, port).await.unwrap();
    hpa::follows_its_queue(world, "scaled", hpa::OF_ONE_ENGINE).await;
    rules::an_hpa_follows_object_and_external_metrics(world).await;
    register(world, world.port).await.unwrap();
    program.stop().await.unwrap();
}

/// Makes an adapter the one that kube-apiserver asks.
async fn register(world: &World, port: u16) -> Result<()> {
    let client = world.plane.client().await?;
    let versions = [(GROUP, "v1beta1"), (GROUP, "v1beta2"), (EXTERNAL, "v1beta1")];
    ApiService::serve(&client, &versions, port, &world.plane.pki().ca(), PATIENCE).await
}

/// The values by pod; a refusal is none.
async fn values(world: &World, port: u16, path: &str) -> Result<BTreeMap<String, i64>> {
    let certificate = Some(world.plane.pki().front_proxy_client());
    let headers = [("x-remote-user", "root"), ("x-remote-group", "system:masters")];
    let (_, text) = ask(port, path, certificate, &headers).await?;
    let list: Value = serde_json::from_str(&text)?;
    let mut values = BTreeMap::new();
    for item in list["items"].as_array().into_iter().flatten() {
        let pod = item["describedObject"]["name"].as_str().unwrap_or_default().to_owned();
        let value: MilliValue = item["value"].as_str().unwrap_or_default().parse()?;
        values.insert(pod, value.milli());
    }
    Ok(values)
}

/// The same pods, with values as equal as rates of two scrapers can be.
fn is_close(one: &BTreeMap<String, i64>, other: &BTreeMap<String, i64>) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((pod, value), (other_pod, other_value))| {
            pod == other_pod && (value - other_value).abs() <= value.abs() / 4 + 10
        })
}
