//! The adapter scrapes the pods itself: the same answers as by Prometheus, then none of it in the scene.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use rbg_autoscaler::{metrics::catalog, units::MilliValue};
use rbg_autoscaler_tests::{
    control_plane::Component,
    fleet::{endpoint::Target, pin::Pin},
    harness::{ApiService, MetricsAdapter, Program, eventually, free_port, service_account_kubeconfig},
    rbg::install_crds,
};

use crate::{
    hpa, totals,
    world::{ACCOUNT, EXTERNAL, GROUP, NAMESPACE, PATIENCE, World},
};

pub async fn without_prometheus(world: &World) {
    let client = world.plane.client().await.unwrap();
    // The HPA controller learns of new kinds now and then.
    install_crds(&client).await.unwrap();
    let sources = totals::prepare(world).await;
    let port = free_port().unwrap();
    let mut adapter = start(world, port).await.unwrap();
    every_signal_is_the_same(world, port).await;
    world.plane.stop_component(Component::Prometheus).await;
    let versions = [(GROUP, "v1beta1"), (GROUP, "v1beta2"), (EXTERNAL, "v1beta1")];
    ApiService::serve(&client, &versions, port, &world.plane.pki().ca(), PATIENCE).await.unwrap();
    hpa::follows_its_queue(world, "scraped", hpa::OF_ONE_ENGINE).await;
    totals::hpas_follow_them(world, &sources).await;
    adapter.stop().await.unwrap();
}

async fn start(world: &World, port: u16) -> Result<Program> {
    let kubeconfig = service_account_kubeconfig(&world.plane, NAMESPACE, ACCOUNT).await?;
    let adapter = MetricsAdapter { kubeconfig: &kubeconfig, port, certificate: &world.certificate };
    let mut adapter = adapter.start(&["--metrics-from=direct", "--external-signals"])?;
    adapter.printed("pods to scrape listed", PATIENCE).await?;
    adapter.printed("pods listed", PATIENCE).await?;
    Ok(adapter)
}

async fn every_signal_is_the_same(world: &World, port: u16) {
    for engine in ["vllm", "sglang"] {
        world.deployment_of(engine, &format!("both-{engine}"), 2).await;
        let target = Target::labels(world.namespace.name(), &[("app", &format!("both-{engine}"))]);
        world.fleet.pin(target, busy());
    }
    for signal in catalog::built_in(catalog::RATE_WINDOW) {
        let path = world.path(
            "v1beta2",
            &format!("pods/*/{}?labelSelector=app+in+%28both-vllm%2Cboth-sglang%29", signal.name),
        );
        let what = format!("{} by Prometheus and by ourselves", signal.name);
        let answers = eventually(&what, PATIENCE, async || {
            let (theirs, ours) = (values(world, world.port, &path).await?, values(world, port, &path).await?);
            ensure!(theirs.keys().eq(ours.keys()), "{theirs:?} and {ours:?}");
            // Rates come with the second scrape; there are no GPUs.
            ensure!(theirs.len() == 4 || signal.name == "gpu_utilization", "{theirs:?}");
            for (pod, theirs) in &theirs {
                let ours = ours.get(pod).context("the same pods")?;
                // Scrapes are not of the same moment, so counters differ by what comes in half a second of a few.
                let apart = (theirs - ours).abs();
                ensure!(apart <= 0.002 + 0.04 * theirs.abs(), "{pod}: {theirs} and {ours}");
            }
            Ok(Some(()))
        });
        answers.await.unwrap();
    }
}

/// Every value that an engine can be given, rates fast enough to be even.
fn busy() -> Pin {
    Pin {
        queue_length: Some(12.0),
        running_requests: Some(7.0),
        kv_cache_usage: Some(0.4375),
        pending_tokens: Some(3000.0),
        qps: Some(40.0),
        mean_prompt_tokens: Some(600.0),
        mean_generated_tokens: Some(200.0),
        time_to_first_token: Some(0.3),
        time_per_output_token: Some(0.03),
        request_latency: Some(6.0),
        prompt_tokens_per_second: Some(24_000.0),
        prefix_cache_hit_rate: Some(0.25),
        generation_tokens_per_second: Some(8000.0),
    }
}

async fn values(world: &World, port: u16, path: &str) -> Result<BTreeMap<String, f64>> {
    let items = world.items_at(port, path).await?;
    let value = |item: &serde_json::Value| {
        let pod = item["describedObject"]["name"].as_str().context("no name")?;
        let value: MilliValue = item["value"].as_str().context("no value")?.parse()?;
        Ok((pod.to_owned(), value.as_f64()))
    };
    items.iter().map(value).collect()
}
