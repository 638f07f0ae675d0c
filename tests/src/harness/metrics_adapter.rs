//! [`MetricsAdapter`]: the metrics adapter as tests start it.

use std::path::Path;

use anyhow::Result;

use super::Program;
use crate::control_plane::CertificateFiles;

/// How the metrics adapter is reached, and by whose rights it reads.
#[derive(Debug, Clone, Copy)]
pub struct MetricsAdapter<'a> {
    /// The kubeconfig of the account that it runs as.
    pub kubeconfig: &'a Path,
    /// Where it serves.
    pub port: u16,
    /// What it serves with.
    pub certificate: &'a CertificateFiles,
}

impl MetricsAdapter<'_> {
    /// Starts it with more flags; it collects every second. When it has printed `pods listed` it answers for pods.
    pub fn start(self, more: &[&str]) -> Result<Program> {
        let flags = [
            format!("--kubeconfig={}", self.kubeconfig.display()),
            format!("--secure-port={}", self.port),
            format!("--tls-cert-file={}", self.certificate.certificate.display()),
            format!("--tls-private-key-file={}", self.certificate.key.display()),
            "--interval=1s".to_owned(),
            "--rate-window=5s".to_owned(),
        ];
        let flags: Vec<_> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Program::start("rbg-metrics-adapter", &flags, &[])
    }
}
