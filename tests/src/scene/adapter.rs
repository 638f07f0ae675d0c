//! The metrics adapter in a [`Scene`], behind kube-apiserver as in a cluster.

use std::time::Duration;

use anyhow::Result;

use super::Scene;
use crate::{
    control_plane::ControlPlane,
    harness::{ApiService, MetricsAdapter, Program, free_port},
};

const CUSTOM: &str = "custom.metrics.k8s.io";
const EXTERNAL: &str = "external.metrics.k8s.io";
const PATIENCE: Duration = Duration::from_secs(60);

impl Scene {
    /// Starts the metrics adapter with a configuration of prometheus-adapter's form, and has kube-apiserver ask it for
    /// custom and external metrics. Only one test of a control plane may do so.
    pub async fn start_adapter(&self, plane: &ControlPlane, rules: &str) -> Result<Program> {
        let port = free_port()?;
        let hosts = [CUSTOM, EXTERNAL].map(ApiService::host);
        let certificate = plane.pki().server("adapter", &hosts.each_ref().map(String::as_str))?;
        let config = plane.folder().join("adapter-rules.yaml");
        std::fs::write(&config, rules)?;
        let adapter = MetricsAdapter { kubeconfig: &plane.kubeconfig(), port, certificate: &certificate };
        let mut adapter = adapter.start(&[
            &format!("--prometheus-url={}", plane.prometheus().await?),
            &format!("--config={}", config.display()),
            "--metrics-relist-interval=2s",
        ])?;
        adapter.printed("pods listed", PATIENCE).await?;
        let versions = [(CUSTOM, "v1beta1"), (CUSTOM, "v1beta2"), (EXTERNAL, "v1beta1")];
        ApiService::serve(&self.namespace.client(), &versions, port, &plane.pki().ca(), PATIENCE).await?;
        Ok(adapter)
    }
}
