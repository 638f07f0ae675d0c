//! [`Forward`]: a port of a pod on this machine, by `kubectl port-forward`.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use super::{Cluster, LiveError};

/// What kubectl prints before the port that it listens on.
const LISTENS: &str = "Forwarding from 127.0.0.1:";

/// A port that is forwarded for as long as this lives.
#[derive(Debug)]
pub(super) struct Forward {
    kubectl: Child,
}

impl Forward {
    /// Has kubectl forward the port of snapshots of a pod.
    pub(super) fn start(cluster: &Cluster, namespace: &str, pod: &str) -> Result<Self, LiveError> {
        let mut kubectl = Command::new("kubectl");
        if let Some(file) = &cluster.kubeconfig {
            kubectl.arg("--kubeconfig").arg(file);
        }
        if let Some(context) = &cluster.context {
            kubectl.args(["--context", context]);
        }
        kubectl
            .args(["--namespace", namespace, "port-forward", "--address", "127.0.0.1"])
            .args([&format!("pod/{pod}"), &format!(":{}", cluster.controller_port)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(Self { kubectl: kubectl.spawn().map_err(LiveError::NoKubectl)? })
    }

    /// Waits for the port on this machine; else what kubectl said.
    pub(super) async fn port(&mut self) -> Result<u16, String> {
        if let Some(out) = self.kubectl.stdout.as_mut() {
            let mut lines = BufReader::new(out).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let port = line.strip_prefix(LISTENS).and_then(|rest| rest.split(' ').next()?.parse().ok());
                if let Some(port) = port {
                    return Ok(port);
                }
            }
        }
        let mut said = String::new();
        if let Some(err) = self.kubectl.stderr.as_mut() {
            // Without its words the port is missing all the same.
            let _ = err.read_to_string(&mut said).await;
        }
        Err(said.trim().to_owned())
    }
}
