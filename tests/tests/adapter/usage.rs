//! CPU and memory by `resourceRules`: what `kubectl top` shows.

use rbg_autoscaler_tests::harness::{ApiService, eventually, kubectl};

use crate::world::{PATIENCE, USAGE, World};

/// Engines' queues stand in for CPU and memory; nothing here runs on a real node.
pub const CONFIG: &str = r#"
resourceRules:
  cpu:
    containerQuery: sum(label_replace(vllm:num_requests_waiting{<<.LabelMatchers>>}, "container", "engine", "", "")) by (<<.GroupBy>>)
    nodeQuery: sum(label_replace(vector(1.5), "node", "node-0", "", "")) by (<<.GroupBy>>)
    resources: {overrides: {namespace: {resource: namespace}, node: {resource: node}, pod: {resource: pod}}}
    containerLabel: container
  memory:
    containerQuery: sum(label_replace(vllm:num_requests_waiting{<<.LabelMatchers>>}, "container", "engine", "", "") * 1048576) by (<<.GroupBy>>)
    nodeQuery: sum(label_replace(vector(1073741824), "node", "node-0", "", "")) by (<<.GroupBy>>)
    resources: {overrides: {namespace: {resource: namespace}, node: {resource: node}, pod: {resource: pod}}}
    containerLabel: container
  window: 1m
"#;

pub async fn kubectl_top(world: &World) {
    let client = world.plane.client().await.unwrap();
    let service =
        ApiService::register(&client, USAGE, "v1beta1", world.port, &world.plane.pki().ca()).await.unwrap();
    service.available(&client, PATIENCE).await.unwrap();
    let namespace = world.namespace.name();
    eventually("kubectl top shows pods", PATIENCE, async || {
        let shown =
            kubectl(&world.plane, &["top", "pods", "-n", namespace, "-l", "app=first", "--no-headers"])
                .await?;
        let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        anyhow::ensure!(rows.len() == 2 && rows.iter().all(|row| row[1..] == ["12000m", "12Mi"]), "{shown}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    let containers =
        kubectl(&world.plane, &["top", "pods", "-n", namespace, "-l", "app=first", "--containers"])
            .await
            .unwrap();
    assert!(containers.contains(" engine "), "{containers}");
    let nodes = kubectl(&world.plane, &["top", "nodes"]).await.unwrap();
    let node = nodes.lines().find(|line| line.starts_with("node-0 ")).unwrap_or_default();
    assert!(node.contains(" 1500m ") && node.contains(" 1024Mi "), "{nodes}");
    let error = world
        .raw(&format!("/apis/{USAGE}/v1beta1/namespaces/{namespace}/pods/nobody"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("404: podmetrics.metrics.k8s.io"), "{error}");
    service.remove(&client).await.unwrap();
}
