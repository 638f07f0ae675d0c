//! Values and discovery, as kubectl and controllers ask for them.

use rbg_autoscaler::units::MilliValue;
use rbg_autoscaler_tests::{
    fleet::{endpoint::Target, pin::Pin},
    harness::{eventually, kubectl},
};

use crate::world::{PATIENCE, World};

pub async fn values_for_people_and_controllers(world: &World) {
    let pods = world.deployment("first", 2).await;
    world.deployment("other", 1).await;
    let namespace = world.namespace.name().to_owned();
    world.fleet.pin(
        Target::labels(&namespace, &[("app", "first")]),
        Pin { queue_length: Some(12.0), kv_cache_usage: Some(0.8735), qps: Some(2.5), ..Pin::default() },
    );
    world.fleet.pin(Target::labels(&namespace, &[("app", "other")]), Pin::queue_length(3.0));
    let values = async |path: &str| -> anyhow::Result<Vec<(String, String)>> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let items = world.items(path).await?;
        Ok(items.iter().map(|item| (text(&item["describedObject"]["name"]), text(&item["value"]))).collect())
    };
    let both = |value: &str| pods.iter().map(|pod| (pod.clone(), value.to_owned())).collect::<Vec<_>>();
    for (version, rest, want) in [
        ("v1beta2", "pods/*/queue_length?labelSelector=app%3Dfirst".to_owned(), both("12")),
        ("v1beta1", "pods/%2A/queue_length?labelSelector=app+in+%28first%29%2Ctier".to_owned(), both("12")),
        ("v1beta1", "pods/%2A/queue_length?labelSelector=app%21%3Dother".to_owned(), both("12")),
        ("v1beta2", "pods/%2A/kv_cache_usage?labelSelector=app%3Dfirst".to_owned(), both("873m")),
        (
            "v1beta2",
            "pods/*/queue_length?labelSelector=app%3Dfirst&metricLabelSelector=model_name%21%3Dnone"
                .to_owned(),
            both("12"),
        ),
        (
            "v1beta1",
            "pods/*/queue_length?labelSelector=app%3Dfirst&metricLabelSelector=model_name%3Dnone".to_owned(),
            Vec::new(),
        ),
        ("v1beta2", format!("pods/{}/queue_length", pods[0]), both("12")[..1].to_vec()),
        ("v1beta2", format!("pod/{}/queue_length", pods[1]), both("12")[1..].to_vec()),
    ] {
        let path = world.path(version, &rest);
        eventually(&format!("{path} is {want:?}"), PATIENCE, async || {
            let got = values(&path).await?;
            anyhow::ensure!(got == want, "{got:?}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    }

    let path = world.path("v1beta2", "pods/*/qps?labelSelector=app%3Dfirst");
    eventually("about 2.5 requests per second", PATIENCE, async || {
        let items = world.items(&path).await?;
        anyhow::ensure!(items.len() == 2 && items.iter().all(|item| item["windowSeconds"] == 5), "{items:?}");
        let value: MilliValue = items[0]["value"].as_str().unwrap_or_default().parse()?;
        anyhow::ensure!((2400..2600).contains(&value.milli()), "{value}");
        Ok(Some(()))
    })
    .await
    .unwrap();

    for (rest, want) in [
        (
            "pods/*/queue_length?labelSelector=app%3Dnobody",
            "404: the server could not find the metric queue_length for pods: no pod in namespace",
        ),
        (
            "pods/nobody/queue_length",
            "404: the server could not find the metric queue_length for pods nobody: no such pod",
        ),
        ("pods/*/frobs", "404: the server could not find the metric frobs for pods"),
        ("pods/*/queue_length?labelSelector=a%3D%3D%3Db", "400: unable to parse the selector"),
    ] {
        let error = world.raw(&world.path("v1beta2", rest)).await.unwrap_err().to_string();
        assert!(error.starts_with(want), "{rest}: {error}");
    }
}

pub async fn discovery(world: &World) {
    for version in ["v1beta1", "v1beta2"] {
        let list = world.raw(&format!("/apis/custom.metrics.k8s.io/{version}")).await.unwrap();
        for signal in ["queue_length", "gpu_utilization"] {
            assert!(list.contains(&format!(r#""name":"pods/{signal}""#)), "{list}");
        }
    }
    // kubectl reads aggregated discovery and warns when a group cannot be read.
    let resources =
        kubectl(&world.plane, &["api-resources", "--api-group=apps", "-o", "name"]).await.unwrap();
    assert!(resources.contains("deployments.apps"), "{resources}");
    // A group that cannot be read makes both fail, for every user of the cluster.
    let all = kubectl(&world.plane, &["api-resources", "-o", "name"]).await.unwrap();
    assert!(all.contains("pods") && all.contains("apiservices.apiregistration.k8s.io"), "{all}");
    let ours = kubectl(&world.plane, &["api-resources", "--api-group=custom.metrics.k8s.io"]).await.unwrap();
    assert!(!ours.contains("queue_length"), "metrics are subresources, which are not listed: {ours}");
    let versions = kubectl(&world.plane, &["api-versions"]).await.unwrap();
    for version in ["custom.metrics.k8s.io/v1beta1", "custom.metrics.k8s.io/v1beta2"] {
        assert!(versions.contains(version), "{versions}");
    }
    let schemas = kubectl(&world.plane, &["get", "--raw", "/openapi/v3"]).await.unwrap();
    assert!(schemas.contains(r#""apis/custom.metrics.k8s.io/v1beta2""#), "{schemas:.2000}");
    for (path, begins) in [
        (
            world.path("v1beta2", "pods/*/queue_length"),
            r#"{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2""#,
        ),
        (world.path("v1beta1", "pods/%2A/queue_length?pretty=true"), "{\n  \"apiVersion\""),
        ("/apis/custom.metrics.k8s.io".to_owned(), r#"{"kind":"APIGroup""#),
        ("/apis/custom.metrics.k8s.io/v1beta1/".to_owned(), r#"{"apiVersion":"v1","groupVersion""#),
    ] {
        let raw = kubectl(&world.plane, &["get", "--raw", &path]).await.unwrap();
        assert!(raw.starts_with(begins), "{path}: {raw}");
    }
    let namespace = world.namespace.name();
    for (path, says) in [
        (
            world.path("v1beta2", "pods/*/frobs"),
            "Error from server (NotFound): the server could not find the metric frobs for pods".to_owned(),
        ),
        (
            world.path("v1beta1", "pods/%2A/queue_length?labelSelector=app%3Dnobody"),
            format!(
                "Error from server (NotFound): the server could not find the metric queue_length for pods: no pod in namespace {namespace}"
            ),
        ),
        (
            world.path("v1beta2", "pods/%2A/queue_length?labelSelector=a+b"),
            "Error from server (BadRequest): unable to parse the selector".to_owned(),
        ),
        (
            world.path("v1beta2", "pods/*/queue_length?fieldSelector=metadata.name%3Dother"),
            "Error from server (BadRequest): fieldSelector".to_owned(),
        ),
        (world.path("v1beta2", "pods"), "Error from server (BadRequest): invalid request path".to_owned()),
        (
            world.path("v1beta2", "pods/first"),
            "Error from server (NotFound): the server could not find the requested resource".to_owned(),
        ),
    ] {
        let error = kubectl(&world.plane, &["get", "--raw", &path]).await.unwrap_err().to_string();
        assert!(error.contains(&says), "{path}: {error}");
    }
}
