//! Kubeconfig files: where the API server is, and as whom to talk to it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::pki::CertificateFiles;

/// How somebody proves who they are.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A client certificate.
    Certificate(CertificateFiles),
    /// A bearer token, as service accounts have.
    Token(String),
}

/// Writes a kubeconfig file with one cluster and one user.
pub fn write(file: &Path, server: &str, ca: &Path, credentials: &Credentials) -> Result<()> {
    let user = match credentials {
        Credentials::Certificate(files) => {
            json!({"client-certificate": files.certificate, "client-key": files.key})
        }
        Credentials::Token(token) => json!({"token": token}),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rbga", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "rbga", "context": {"cluster": "rbga", "user": "user"}}],
        "current-context": "rbga",
    });
    // JSON is YAML, too.
    fs::write(file, format!("{config:#}\n")).with_context(|| format!("cannot write {}", file.display()))
}
