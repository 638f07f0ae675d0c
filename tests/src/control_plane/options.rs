//! What a control plane is started with.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// Settings of a control plane; the default is what most tests need.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often the HPA controller looks at each HPA. Default 1 s (Kubernetes: 15 s).
    pub hpa_sync_period: Duration,
    /// Whether Prometheus starts at once; else the first [`ControlPlane::prometheus`](super::ControlPlane::prometheus) starts it.
    pub prometheus: bool,
    /// How often Prometheus scrapes and evaluates rules. Default 1 s.
    pub scrape_interval: Duration,
    /// More scrape configurations for Prometheus, each one entry of `scrape_configs`.
    pub scrape_configs: Vec<Value>,
    /// Rule files for Prometheus.
    pub rule_files: Vec<PathBuf>,
    /// Whether kube-apiserver keeps an audit log, `audit.log` among the logs: metadata of reads, bodies of writes.
    pub audit: bool,
    /// More flags for kube-apiserver.
    pub api_server_flags: Vec<String>,
    /// More flags for kube-controller-manager.
    pub controller_manager_flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hpa_sync_period: Duration::from_secs(1),
            prometheus: false,
            scrape_interval: Duration::from_secs(1),
            scrape_configs: Vec::new(),
            rule_files: Vec::new(),
            audit: false,
            api_server_flags: Vec::new(),
            controller_manager_flags: Vec::new(),
        }
    }
}
