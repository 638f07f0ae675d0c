//! The metrics adapter in a [`Scene`], behind kube-apiserver as in a cluster.

use std::time::Duration;

use anyhow::Result;

use super::Scene;
use crate::{
    control_plane::ControlPlane,
    harness::{ApiService, Program, free_port},
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
        let flags = [
            ("--kubeconfig", plane.kubeconfig().display().to_string()),
            ("--prometheus-url", plane.prometheus().await?),
            ("--interval", "1s".to_owned()),
            ("--rate-window", "5s".to_owned()),
            ("--secure-port", port.to_string()),
            ("--tls-cert-file", certificate.certificate.display().to_string()),
            ("--tls-private-key-file", certificate.key.display().to_string()),
            ("--config", config.display().to_string()),
            ("--metrics-relist-interval", "2s".to_owned()),
        ];
        let flags: Vec<_> = flags.iter().map(|(flag, value)| format!("{flag}={value}")).collect();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let mut adapter = Program::start("rbg-metrics-adapter", &flags, &[])?;
        adapter.printed("pods listed", PATIENCE).await?;
        let client = self.namespace.client();
        for (group, version) in [(CUSTOM, "v1beta1"), (CUSTOM, "v1beta2"), (EXTERNAL, "v1beta1")] {
            let service = ApiService::register(&client, group, version, port, &plane.pki().ca()).await?;
            service.available(&client, PATIENCE).await?;
        }
        Ok(adapter)
    }
}
