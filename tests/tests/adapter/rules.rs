//! A configuration file of prometheus-adapter at work: values, the real HPA controller, reload.

use anyhow::{Context, bail};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::{Api, api::DeleteParams};
use rbg_autoscaler_tests::{
    fleet::{endpoint::Target, pin::Pin},
    harness::{apply_yaml, eventually, kubectl},
};

use crate::{
    hpa,
    world::{EXTERNAL, PATIENCE, World},
};

pub const CONFIG: &str = r#"
rules:
- seriesQuery: 'vllm:num_requests_waiting{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  name: {matches: "^vllm:(.*)$", as: "${1}_by_rule"}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- seriesQuery: 'vllm:num_requests_waiting{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, engine: {group: example.dev, resource: frob}}}
  name: {as: waiting_by_frob}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
externalRules:
- seriesQuery: 'vllm:num_requests_waiting{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}}}
  name: {as: waiting_in_all}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
"#;
/// The external metric of [`CONFIG`].
pub const TOTAL: &str = "waiting_in_all";
/// The path of the metric of a kind that is installed late, and the kind: an object is called as the label `engine` says.
const OF_A_NEW_KIND: &str = "frobs.example.dev/0/waiting_by_frob";
const NEW_KIND: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: frobs.example.dev}
spec:
  group: example.dev
  names: {plural: frobs, singular: frob, kind: Frob, listKind: FrobList}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";

/// Until its kind is there, a rule is left out alone, and told of.
pub async fn a_kind_is_installed(world: &World) {
    let error = world.raw(&world.path("v1beta2", OF_A_NEW_KIND)).await.unwrap_err().to_string();
    assert!(error.starts_with("404: "), "{error}");
    let log = world.log().await;
    assert!(log.contains("rule left out until the cluster has the kind"), "{log}");
    assert!(log.contains("no kind of object is called frob.example.dev"), "{log}");
    apply_yaml(&world.plane.client().await.unwrap(), "default", NEW_KIND).await.unwrap();
}

/// Metrics of that kind are served and discovered soon after, without a restart.
pub async fn a_kind_installed_later_is_served(world: &World) {
    let path = world.path("v1beta2", OF_A_NEW_KIND);
    let items = eventually("metrics of the new kind", PATIENCE, async || Ok(Some(world.items(&path).await?)));
    let items = items.await.unwrap();
    let described = &items[0]["describedObject"];
    assert_eq!(
        (described["kind"].as_str(), described["apiVersion"].as_str()),
        (Some("Frob"), Some("example.dev/v1"))
    );
    let listed = kubectl(&world.plane, &["get", "--raw", "/apis/custom.metrics.k8s.io/v1beta1?timeout=32s"]);
    assert!(listed.await.unwrap().contains(r#""name":"frobs.example.dev/waiting_by_frob""#));
    // To list them takes a permission that nobody gave.
    let error = world.raw(&path.replace("/0/", "/*/")).await.unwrap_err().to_string();
    assert!(error.starts_with("500: ") && error.contains("may the service account list them?"), "{error}");
}

pub fn external(world: &World, rest: &str) -> String {
    format!("/apis/{EXTERNAL}/v1beta1/namespaces/{}/{rest}", world.namespace.name())
}

pub async fn a_configuration_of_prometheus_adapter(world: &World) {
    let metric = "num_requests_waiting_by_rule";
    for (path, values) in [
        (world.path("v1beta2", &format!("pods/*/{metric}?labelSelector=app%3Dfirst")), vec!["12", "12"]),
        (world.path("v1beta1", &format!("pods/%2A/{metric}?labelSelector=app%3Dother")), vec!["3"]),
    ] {
        eventually(&format!("{path} is {values:?}"), PATIENCE, async || {
            let items = world.items(&path).await?;
            let got: Vec<_> = items.iter().filter_map(|item| item["value"].as_str()).collect();
            anyhow::ensure!(got == values, "{got:?}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    }
    // The total of the namespace, as a metric of the namespace itself and as an external metric, must agree.
    let of_namespace = world.items(&world.path("v1beta2", &format!("metrics/{metric}"))).await.unwrap();
    let of_nothing = world.items(&external(world, TOTAL)).await.unwrap();
    assert_eq!(of_namespace[0]["describedObject"]["kind"], "Namespace");
    assert_eq!(of_namespace[0]["value"], of_nothing[0]["value"]);
    assert_eq!(of_namespace.len(), 1);

    let listed = world.raw("/apis/custom.metrics.k8s.io/v1beta1").await.unwrap();
    for name in [format!("pods/{metric}"), format!("namespaces/{metric}"), "pods/queue_length".to_owned()] {
        assert!(listed.contains(&format!(r#""name":"{name}""#)), "{name} is not in {listed}");
    }
    let listed = world.raw("/apis/external.metrics.k8s.io/v1beta1").await.unwrap();
    assert!(listed.contains(&format!(r#""name":"{TOTAL}""#)), "{listed}");
    let error = world.raw(&external(world, "nothing")).await.unwrap_err().to_string();
    assert!(error.starts_with("404: "), "{error}");
}

pub async fn an_hpa_follows_object_and_external_metrics(world: &World) {
    let target = "target: {type: AverageValue, averageValue: 10}";
    let one_of = ", selector: {matchExpressions: [{key: engine, operator: In, values: [\"0\", \"1\"]}]}";
    let (one, namespace) = (hpa::OF_ONE_ENGINE, world.namespace.name());
    let hpas: Api<HorizontalPodAutoscaler> = world.namespace.api();
    for (name, metric) in [
        (
            "by-external",
            format!("{{type: External, external: {{metric: {{name: {TOTAL}{one_of}}}, {target}}}}}"),
        ),
        (
            "by-object",
            format!(
                "{{type: Object, object: {{metric: {{name: num_requests_waiting_by_rule{one}}}, {target}, \
                 describedObject: {{apiVersion: v1, kind: Namespace, name: {namespace}}}}}}}"
            ),
        ),
    ] {
        world.deployment(name, 1).await;
        world.fleet.pin(Target::labels(world.namespace.name(), &[("app", name)]), Pin::queue_length(0.0));
        world.hpa(name, (1, 5), &metric).await;
        // 24 wait at `first`, 2 at `scaled`; far more at `other` no tolerance of the HPA hides them. Then 4 in all.
        let pin = |app: &str, queue: f64| {
            world
                .fleet
                .pin(Target::labels(world.namespace.name(), &[("app", app)]), Pin::queue_length(queue));
        };
        pin("other", 60.0);
        has_replicas(world, name, 5).await;
        pin("other", 0.0);
        pin("first", 1.0);
        has_replicas(world, name, 1).await;
        pin("first", 12.0);
        // The next round begins at 1 replica.
        hpas.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

async fn has_replicas(world: &World, name: &str, replicas: i32) {
    let deployments: Api<Deployment> = world.namespace.api();
    eventually(&format!("{name} has {replicas} replicas"), PATIENCE, async || {
        let spec = deployments.get(name).await?.spec.context("no spec")?;
        if spec.replicas == Some(replicas) {
            return Ok(Some(()));
        }
        bail!("{:?}", spec.replicas)
    })
    .await
    .unwrap();
}

pub async fn a_configuration_changes(world: &World) {
    let renamed = world.path("v1beta2", "pods/*/renamed?labelSelector=app%3Dfirst");
    assert!(world.raw(&renamed).await.unwrap_err().to_string().starts_with("404: "));
    // One good rule and a bad one: the bad one is left out alone and named.
    let changed = CONFIG
        .replace("${1}_by_rule", "renamed")
        .replace("externalRules:", "- {seriesQuery: x}\nexternalRules:");
    std::fs::write(&world.rules, changed).unwrap();
    eventually("the renamed metric is served", PATIENCE, async || {
        let items = world.items(&renamed).await?;
        anyhow::ensure!(items.len() == 2, "{items:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    let log = world.log().await;
    assert!(log.contains("rule left out") && log.contains("rules[2]"), "{log}");

    std::fs::write(&world.rules, "rules: [").unwrap();
    eventually("the broken file is refused", PATIENCE, async || {
        Ok(world.log().await.contains("rules kept as they were").then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(world.items(&renamed).await.unwrap().len(), 2, "what was good stays");
}
