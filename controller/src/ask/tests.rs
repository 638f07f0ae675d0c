//! What is asked of the metrics APIs, and how answers are read, against a fake API server.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Response, StatusCode};
use kube::client::Body;
use rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscalerSpec;
use serde_json::{Value, json};

use super::*;
use crate::cache::store::ObjectKey;

fn questions_of(metrics: &Value) -> Vec<Question> {
    let spec: RoleBasedGroupAutoscalerSpec = serde_json::from_value(json!({
        "groupRef": {"name": "demo"}, "roles": [{"name": "decode", "maxReplicas": 8, "metrics": metrics}]
    }))
    .expect("a spec");
    questions(&spec, &ObjectKey::new("serving", "demo"))
}

fn every_kind() -> Value {
    let selector = json!({"matchLabels": {"queue": "a/b"}, "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["x", "y"]}, {"key": "old", "operator": "DoesNotExist"}]});
    let target = json!({"type": "AverageValue", "averageValue": "5"});
    json!([
        {"name": "queue_length", "target": "10"},
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
        {"type": "Pods", "pods": {"metric": {"name": "tokens:rate"}, "target": target}},
        {"type": "Object", "object": {"metric": {"name": "hits"}, "target": target,
            "describedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "router"}}},
        {"type": "Object", "object": {"metric": {"name": "hits", "selector": selector}, "target": target,
            "describedObject": {"apiVersion": "v1", "kind": "Namespace", "name": "other"}}},
        {"type": "External", "external": {"metric": {"name": "gateway_queue", "selector": selector}, "target": target}},
        {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "engine",
            "target": {"type": "AverageValue", "averageValue": "1"}}},
    ])
}

type Log = Arc<Mutex<Vec<String>>>;

/// An API server that answers paths by their first match.
fn server(answers: Vec<(&'static str, Value)>) -> (Client, Log) {
    let log = Log::default();
    let record = Arc::clone(&log);
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().to_string();
        let found = answers.iter().find(|(part, _)| path.contains(part)).map(|(_, answer)| answer.clone());
        record.lock().unwrap_or_else(PoisonError::into_inner).push(path);
        async move {
            let (code, body) = match found {
                Some(body) => (StatusCode::OK, body),
                None => (
                    StatusCode::NOT_FOUND,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                        "message": "the server could not find the requested resource"}),
                ),
            };
            let body = Body::from(serde_json::to_vec(&body).expect("JSON"));
            Ok::<_, std::convert::Infallible>(
                Response::builder().status(code).body(body).expect("a response"),
            )
        }
    });
    (Client::new(service, "default"), log)
}

fn discovery() -> Vec<(&'static str, Value)> {
    let version = |version: &str| json!({"groupVersion": format!("custom.metrics.k8s.io/{version}"), "version": version});
    vec![
        (
            "/apis/apps/v1",
            json!({"resources": [{"name": "deployments/scale", "kind": "Scale"}, {"name": "deployments", "kind": "Deployment"}]}),
        ),
        ("/api/v1", json!({"resources": [{"name": "namespaces", "kind": "Namespace"}]})),
        ("/namespaces/", json!({"items": []})),
        (
            "/apis/custom.metrics.k8s.io",
            json!({"versions": [version("v1beta1"), version("v1beta2")], "preferredVersion": version("v1beta2")}),
        ),
    ]
}

#[tokio::test]
async fn every_kind_of_metric_is_asked_as_the_hpa_asks() {
    let (client, log) = server(discovery());
    let apis = MetricsApis::default();
    for question in questions_of(&every_kind()) {
        ask(&client, &apis, vec![question], Timestamp::UNIX_EPOCH).await;
    }
    insta::assert_yaml_snapshot!(*log.lock().unwrap_or_else(PoisonError::into_inner), @"
    - /apis/metrics.k8s.io/v1beta1/namespaces/serving/pods?labelSelector=rbg.workloads.x-k8s.io%2Fgroup-name%3Ddemo%2Crbg.workloads.x-k8s.io%2Frole-name%3Ddecode
    - /apis/custom.metrics.k8s.io
    - /apis/custom.metrics.k8s.io/v1beta2/namespaces/serving/pods/%2A/tokens%3Arate?labelSelector=rbg.workloads.x-k8s.io%2Fgroup-name%3Ddemo%2Crbg.workloads.x-k8s.io%2Frole-name%3Ddecode
    - /apis/apps/v1
    - /apis/custom.metrics.k8s.io/v1beta2/namespaces/serving/deployments.apps/router/hits
    - /api/v1
    - /apis/custom.metrics.k8s.io/v1beta2/namespaces/serving/metrics/hits?metricLabelSelector=queue%3Da%2Fb%2Ctier%20in%20%28x%2Cy%29%2C%21old
    - /apis/external.metrics.k8s.io/v1beta1/namespaces/serving/gateway_queue?labelSelector=queue%3Da%2Fb%2Ctier%20in%20%28x%2Cy%29%2C%21old
    - /apis/metrics.k8s.io/v1beta1/namespaces/serving/pods?labelSelector=rbg.workloads.x-k8s.io%2Fgroup-name%3Ddemo%2Crbg.workloads.x-k8s.io%2Frole-name%3Ddecode
    ");
}

#[tokio::test]
async fn answers_become_readings() {
    let mut answers = vec![
        (
            "/apis/metrics.k8s.io/",
            json!({"items": [
            {"metadata": {"name": "p-0"}, "timestamp": "2026-11-21T10:00:00Z", "window": "15.5s", "containers": [
                {"name": "engine", "usage": {"cpu": "350m", "memory": "1Gi"}}, {"name": "proxy", "usage": {"memory": "1Mi"}}]}]}),
        ),
        (
            "/pods/%2A/",
            json!({"items": [
            {"describedObject": {"kind": "Pod", "name": "p-0"}, "timestamp": "2026-11-21T10:00:00Z", "windowSeconds": 30, "value": "1500m"}]}),
        ),
        (
            "/deployments.apps/",
            json!({"items": [{"describedObject": {"name": "router"}, "timestamp": "2026-11-21T10:00:00Z", "value": "7"}]}),
        ),
        (
            "/external.metrics.k8s.io/",
            json!({"items": [
            {"metricName": "gateway_queue", "timestamp": "2026-11-21T10:00:00Z", "value": "10"}, {"metricName": "gateway_queue", "value": "20"}]}),
        ),
        ("/metrics/hits", json!({"items": []})),
    ];
    answers.extend(discovery());
    let (client, _) = server(answers);
    let answers =
        ask(&client, &MetricsApis::default(), questions_of(&every_kind()), Timestamp::UNIX_EPOCH).await;
    let told: std::collections::BTreeMap<_, _> = (0..7)
        .filter_map(|index| Some((index, answers.of(&Place::Metric("decode".to_owned(), index))?)))
        .collect();
    insta::assert_yaml_snapshot!(told, @r#"
    1:
      samples:
        - pod: p-0
          containers:
            engine: 350m
            proxy: ~
          timestamp: "2026-11-21T10:00:00Z"
          window: 15s500ms
    2:
      samples:
        - pod: p-0
          value: 1500m
          timestamp: "2026-11-21T10:00:00Z"
          window: 30s
    3:
      values:
        - "7"
      timestamp: "2026-11-21T10:00:00Z"
    4:
      error: the custom metrics API answered 0 values for one object
    5:
      values:
        - "10"
        - "20"
      timestamp: "2026-11-21T10:00:00Z"
    6:
      samples:
        - pod: p-0
          containers:
            engine: 350m
            proxy: ~
          timestamp: "2026-11-21T10:00:00Z"
          window: 15s500ms
    "#);
}

#[tokio::test]
async fn a_missing_api_is_told_in_its_own_words() {
    let (client, _) = server(Vec::new());
    let answers =
        ask(&client, &MetricsApis::default(), questions_of(&every_kind()), Timestamp::UNIX_EPOCH).await;
    let error = |index| {
        let answer = answers.of(&Place::Metric("decode".to_owned(), index)).expect("an answer");
        answer.error.clone().expect("an error")
    };
    assert_eq!(error(1), "the server could not find the requested resource");
    let want = "no custom metrics API is served, install an adapter for it: the server could not find the requested resource";
    assert_eq!(error(2), want);
}
