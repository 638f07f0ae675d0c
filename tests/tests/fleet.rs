//! The model-server fleet on a real control plane: pods are found, scraped and fed by what the API server says of them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    fleet::{
        Fleet, Options,
        endpoint::Target,
        load::Load,
        pin::{Fault, Pin},
        time::SimTime,
        trace::Trace,
    },
    harness::{Namespace, NodePool, eventually},
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace with nodes, and a fleet that follows its pods.
async fn setting(plane: &ControlPlane, name: &str, speed: f64) -> Result<(Namespace, Fleet)> {
    let namespace = Namespace::create(plane, name).await?;
    NodePool::new("fleet", 2, 0).create(&namespace.client()).await?;
    let mut fleet = Fleet::start(Options { port: 0, speed }).await?;
    fleet.follow(plane.client().await?);
    Ok((namespace, fleet))
}

/// A Deployment of model servers that Prometheus scrapes.
fn deployment(fleet: &Fleet, engine: &str, replicas: u32) -> Value {
    let annotations = json!({
        "prometheus.io/scrape": "true", "prometheus.io/port": fleet.port().to_string(),
        "fleet.rbg-autoscaler.dev/engine": engine, "fleet.rbg-autoscaler.dev/model": "8b",
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": engine},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": engine}}, "template": {
            "metadata": {"labels": {"app": engine}, "annotations": annotations},
            "spec": {"nodeSelector": {"rbga-pool": "fleet"}, "containers": [{"name": "engine", "image": "engine"}]},
        }},
    })
}

/// Asks Prometheus and returns the values by pod.
async fn by_pod(prometheus: &str, query: &str) -> Result<BTreeMap<String, f64>> {
    let url = reqwest::Url::parse_with_params(&format!("{prometheus}/api/v1/query"), [("query", query)])?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let text = client.get(url).send().await?.error_for_status()?.text().await?;
    let answer: Value = serde_json::from_str(&text)?;
    let series = answer["data"]["result"].as_array().context("no result")?;
    let value = |one: &Value| {
        let pod = one["metric"]["pod"].as_str().unwrap_or_default().to_owned();
        Ok((pod, one["value"][1].as_str().context("no value")?.parse()?))
    };
    series.iter().map(value).collect()
}

async fn pod_names(namespace: &Namespace, app: &str, wanted: usize) -> Result<Vec<String>> {
    let pods = namespace.api::<Pod>();
    eventually(&format!("{wanted} pods of {app}"), PATIENCE, async || {
        let listed = pods.list(&ListParams::default().labels(&format!("app={app}"))).await?.items;
        let mut names: Vec<String> = listed.iter().map(Pod::name_any).collect();
        names.sort();
        ensure!(names.len() == wanted, "{names:?}");
        Ok(Some(names))
    })
    .await
}

#[tokio::test]
async fn prometheus_finds_and_scrapes_every_pod() {
    shared().await.run(async |plane| {
        let prometheus = plane.prometheus().await?;
        let (namespace, fleet) = setting(plane, "fleet-scrape", 1.0).await?;
        namespace.apply_yaml(&deployment(&fleet, "vllm", 3).to_string()).await?;
        namespace.apply_yaml(&deployment(&fleet, "sglang", 1).to_string()).await?;
        let vllm = pod_names(&namespace, "vllm", 3).await?;
        let sglang = pod_names(&namespace, "sglang", 1).await?;
        let name = namespace.name();
        fleet.pin(Target::labels(name, &[]), Pin { qps: Some(5.0), ..Pin::queue_length(12.0) });
        fleet.pin(Target::pod(name, &vllm[1]), Pin::queue_length(30.0));

        let up = format!("up{{namespace=\"{name}\"}}");
        eventually("all four are scraped", PATIENCE, async || {
            let up = by_pod(&prometheus, &up).await?;
            ensure!(up.len() == 4 && up.values().all(|value| *value > 0.5), "{up:?}");
            Ok(Some(()))
        })
        .await?;
        let queue = format!(
            "sum by (namespace, pod) ({{__name__=~\"vllm:num_requests_waiting|sglang:num_queue_reqs\",namespace=\"{name}\"}})"
        );
        let want: BTreeMap<String, f64> = [(&vllm[0], 12.0), (&vllm[1], 30.0), (&vllm[2], 12.0), (&sglang[0], 12.0)]
            .into_iter()
            .map(|(pod, value)| (pod.clone(), value))
            .collect();
        eventually("the pinned values", PATIENCE, async || {
            let found = by_pod(&prometheus, &queue).await?;
            ensure!(found == want, "{found:?} instead of {want:?}");
            Ok(Some(()))
        })
        .await?;
        let rate = format!("rate(vllm:request_success_total{{namespace=\"{name}\",finished_reason=\"stop\"}}[10s])");
        eventually("the pinned rate", PATIENCE, async || {
            let found = by_pod(&prometheus, &rate).await?;
            let near = |pod: &String| found.get(pod).is_some_and(|rate| (rate - 5.0).abs() < 0.3);
            ensure!(near(&vllm[0]) && near(&vllm[2]) && found.get(&vllm[1]) == Some(&0.0), "{found:?}");
            Ok(Some(()))
        })
        .await?;

        fleet.fail(Target::pod(name, &vllm[0]), Fault::Error);
        fleet.fail(Target::pod(name, &vllm[2]), Fault::NotANumber);
        eventually("one is down, one answers no number", PATIENCE, async || {
            let up = by_pod(&prometheus, &up).await?;
            ensure!(up.get(&vllm[0]) == Some(&0.0) && up.get(&vllm[2]) == Some(&1.0), "{up:?}");
            let found = by_pod(&prometheus, &queue).await?;
            ensure!(!found.contains_key(&vllm[0]) && found.get(&vllm[2]).is_some_and(|value| value.is_nan()), "{found:?}");
            Ok(Some(()))
        })
        .await
    })
    .await;
}

#[tokio::test]
async fn requests_wait_at_the_gateway_for_pods_and_survive_their_end() {
    shared()
        .await
        .run(async |plane| {
            let (namespace, fleet) = setting(plane, "fleet-load", 30.0).await?;
            let minute = Duration::from_secs(60);
            let trace =
                Trace::azure_conversation()?.shaped(&[(Duration::ZERO, 10.0), (10 * minute, 10.0)], 1);
            let total = u64::try_from(trace.arrivals().len())?;
            let load =
                fleet.add_load(Load::once(Target::labels(namespace.name(), &[("app", "vllm")]), trace));
            eventually("requests are held while no pod is there", PATIENCE, async || {
                let sample = fleet.samples(load).last().copied().context("no sample yet")?;
                ensure!(sample.held > 0 && sample.ready_replicas == 0, "{sample:?}");
                Ok(Some(()))
            })
            .await?;

            namespace.apply_yaml(&deployment(&fleet, "vllm", 3).to_string()).await?;
            eventually("three replicas take them", PATIENCE, async || {
                let sample = fleet.samples(load).last().copied().context("no sample yet")?;
                ensure!(sample.ready_replicas == 3 && sample.held == 0 && sample.running > 0, "{sample:?}");
                Ok(Some(()))
            })
            .await?;
            let one = Patch::Merge(json!({"spec": {"replicas": 1}}));
            namespace.api::<Deployment>().patch("vllm", &PatchParams::default(), &one).await?;
            eventually("one replica finishes every request", PATIENCE, async || {
                let sample = fleet.samples(load).last().copied().context("no sample yet")?;
                let summary = fleet.summary(load, SimTime::ZERO).context("no load")?;
                ensure!(
                    sample.ready_replicas == 1 && summary.completed == total,
                    "{total}: {sample:?} {summary}"
                );
                Ok(Some(()))
            })
            .await
        })
        .await;
}

#[tokio::test]
async fn a_leader_answers_for_its_workers() {
    shared()
        .await
        .run(async |plane| {
            let prometheus = plane.prometheus().await?;
            let (namespace, fleet) = setting(plane, "fleet-leader", 1.0).await?;
            let name = namespace.name();
            let load = fleet
                .add_load(Load::once(Target::role(name, "demo", "decode"), Trace::azure_conversation()?));
            for index in 0..2 {
                let mut pod = deployment(&fleet, "vllm", 0)["spec"]["template"].take();
                pod["apiVersion"] = json!("v1");
                pod["kind"] = json!("Pod");
                pod["metadata"]["name"] = json!(format!("demo-decode-0-{index}"));
                pod["metadata"]["labels"] = json!({
                    "rbg.workloads.x-k8s.io/group-name": "demo", "rbg.workloads.x-k8s.io/role-name": "decode",
                    "rbg.workloads.x-k8s.io/role-instance-name": "demo-decode-0",
                    "rbg.workloads.x-k8s.io/component-index": index.to_string(),
                    "rbg.workloads.x-k8s.io/component-size": "2",
                });
                if index == 1 {
                    pod["metadata"]["annotations"]["fake/ready-after"] = json!("8s");
                }
                namespace.apply_yaml(&pod.to_string()).await?;
            }
            let up = format!("up{{namespace=\"{name}\"}}");
            let want =
                BTreeMap::from([("demo-decode-0-0".to_owned(), 1.0), ("demo-decode-0-1".to_owned(), 0.0)]);
            eventually("the leader shows metrics, the worker does not", PATIENCE, async || {
                let up = by_pod(&prometheus, &up).await?;
                ensure!(up == want, "{up:?}");
                Ok(Some(()))
            })
            .await?;
            eventually("the replica serves", PATIENCE, async || {
                let sample = fleet.samples(load).last().copied().context("no sample yet")?;
                ensure!(sample.ready_replicas == 1, "{sample:?}");
                Ok(Some(()))
            })
            .await?;
            let samples = fleet.samples(load);
            ensure!(
                samples.iter().any(|sample| sample.bound_pods == 2 && sample.ready_replicas == 0),
                "served before it was whole"
            );
            Ok(())
        })
        .await;
}
