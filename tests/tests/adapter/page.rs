//! [`Page`]: pods that expose one fixed page of metrics, for series that no engine has.

use anyhow::{Context as _, Result};
use axum::{Router, routing::get};
use rbg_autoscaler_tests::harness::free_port;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::world::World;

/// The Deployment, and the value of the label `app` of its pods.
pub const NAME: &str = "page";

/// A running server on every address of every pod; dropping it ends it.
pub struct Page {
    task: JoinHandle<()>,
    /// The pods, by name.
    pub pods: Vec<String>,
}

impl Page {
    /// Starts two pods that expose `text`, and waits until they are Ready.
    pub async fn start(world: &World, text: &'static str) -> Result<Self> {
        let port = free_port()?;
        let listener = TcpListener::bind(("0.0.0.0", port)).await.context("the page's port")?;
        let router = Router::new().route("/metrics", get(async move || text));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let yaml = format!(
            r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {NAME}, labels: {{app: {NAME}}}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {NAME}}}}}
  template:
    metadata:
      labels: {{app: {NAME}}}
      annotations: {{prometheus.io/scrape: "true", prometheus.io/port: "{port}", prometheus.io/path: /metrics}}
    spec: {{containers: [{{name: engine, image: engine}}]}}
"#
        );
        world.namespace.apply_yaml(&yaml).await?;
        Ok(Self { task, pods: world.ready_pods(NAME, 2).await? })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.task.abort();
    }
}
