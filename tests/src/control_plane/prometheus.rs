//! Prometheus beside the control plane: how it is started, and what it scrapes.
//!
//! One job finds pods as people's Prometheus does: role pod, annotation `prometheus.io/scrape: "true"`, port from
//! `prometheus.io/port`, path from `prometheus.io/path`. The lookback delta keeps its default. Debian builds Prometheus without
//! Kubernetes discovery; there [`super::discovery`] stands in for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::component::{file_flag, flag, go_duration};
use super::network::Network;
use super::pki::Pki;
use super::{Component, Options, programs};

/// Writes Prometheus's configuration and returns its arguments.
pub(super) fn args(state: &Path, network: &Network, pki: &Pki, options: &Options) -> Result<Vec<String>> {
    let mut jobs = vec![json!({
        "job_name": "pods",
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": relabel_pods(),
    })];
    jobs.extend(options.scrape_configs.iter().cloned());
    let discovers = discovers_pods()?;
    for job in &mut jobs {
        if discovers { with_credentials(job, network, pki)? } else { from_file(job, &targets_file(state))? }
    }
    let interval = go_duration(options.scrape_interval);
    let config = json!({
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": options.rule_files,
        "scrape_configs": jobs,
    });
    let file = state.join("prometheus.yaml");
    // JSON is YAML, too.
    fs::write(&file, format!("{config:#}\n")).context("cannot write the configuration of Prometheus")?;
    Ok(vec![
        file_flag("config.file", &file),
        file_flag("storage.tsdb.path", &state.join("prometheus")),
        flag("storage.tsdb.retention.time", "6h"),
        flag("web.listen-address", Component::Prometheus.address(network)),
        "--web.enable-lifecycle".to_owned(),
    ])
}

/// Tells whether the Prometheus in use can ask Kubernetes for pods: Go programs carry the names of the packages in them.
pub(super) fn discovers_pods() -> Result<bool> {
    let program = programs::find_prometheus("prometheus")?;
    let status = Command::new("grep")
        .args(["-q", "-a", "-F", "prometheus/discovery/kubernetes"])
        .arg(&program)
        .status();
    Ok(status.context("cannot run grep")?.success())
}

/// Returns the file that pods are read from when Prometheus does not discover them.
pub(super) fn targets_file(state: &Path) -> PathBuf {
    state.join("pods.json")
}

/// Tells a job's Kubernetes discovery where the API server is.
fn with_credentials(job: &mut Value, network: &Network, pki: &Pki) -> Result<()> {
    let Some(discoveries) = job.get_mut("kubernetes_sd_configs").and_then(Value::as_array_mut) else {
        return Ok(());
    };
    let user = pki.user("prometheus", Some("system:masters"))?;
    for discovery in discoveries {
        discovery["api_server"] = json!(format!("https://{}", Component::ApiServer.address(network)));
        discovery["tls_config"] =
            json!({"ca_file": pki.ca_file(), "cert_file": user.certificate, "key_file": user.key});
    }
    Ok(())
}

/// Makes a job read pods from a file instead of asking Kubernetes.
fn from_file(job: &mut Value, file: &Path) -> Result<()> {
    let Some(fields) = job.as_object_mut() else { return Ok(()) };
    let Some(discoveries) = fields.remove("kubernetes_sd_configs") else { return Ok(()) };
    if let Some(other) =
        discoveries.as_array().into_iter().flatten().find(|discovery| discovery["role"] != "pod")
    {
        bail!(
            "this Prometheus has no Kubernetes discovery, and {} is not imitated: run with PROMETHEUS_FROM=go",
            other["role"]
        );
    }
    fields.insert("file_sd_configs".to_owned(), json!([{"files": [file]}]));
    Ok(())
}

fn relabel_pods() -> Value {
    let label = |source: &str, target: &str| json!({"source_labels": [source], "target_label": target});
    json!([
        {"source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"], "regex": "true", "action": "keep"},
        {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Succeeded|Failed", "action": "drop"},
        {"source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        // A pod with several ports gives several targets; with the annotation they become one.
        {"source_labels": ["__meta_kubernetes_pod_ip", "__meta_kubernetes_pod_annotation_prometheus_io_port"],
            "regex": r"([^;]+);(\d+)", "replacement": "$1:$2", "target_label": "__address__"},
        label("__meta_kubernetes_namespace", "namespace"),
        label("__meta_kubernetes_pod_name", "pod"),
        label("__meta_kubernetes_pod_label_rbg_workloads_x_k8s_io_group_name", "rbg_group"),
        label("__meta_kubernetes_pod_label_rbg_workloads_x_k8s_io_role_name", "rbg_role"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_is_read_from_a_file_where_prometheus_has_none() {
        let mut job = json!({"job_name": "a", "kubernetes_sd_configs": [{"role": "pod"}]});
        from_file(&mut job, Path::new("/f.json")).unwrap();
        assert_eq!(job, json!({"job_name": "a", "file_sd_configs": [{"files": ["/f.json"]}]}));

        let mut job = json!({"job_name": "a", "kubernetes_sd_configs": [{"role": "endpoints"}]});
        assert!(from_file(&mut job, Path::new("/f.json")).unwrap_err().to_string().contains("endpoints"));

        let mut job = json!({"job_name": "a", "static_configs": []});
        let before = job.clone();
        from_file(&mut job, Path::new("/f.json")).unwrap();
        assert_eq!(job, before);
    }
}
