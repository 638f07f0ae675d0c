//! Prometheus as the flags describe it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rbg_autoscaler::metrics::prometheus::{Settings, Token};

use crate::{
    options::{Prometheus, Verb},
    upstream::kubeconfig::KubeconfigError,
};

mod kubeconfig;

/// Where a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why Prometheus cannot be spoken to as asked.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// A file cannot be read.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// A header has neither `=` nor `:`.
    #[error("--prometheus-header {header:?}: write name=value")]
    Header {
        /// What was given.
        header: String,
    },
    /// The kubeconfig cannot be used.
    #[error("--prometheus-auth-config")]
    Kubeconfig(#[source] KubeconfigError),
}

/// Returns how Prometheus is spoken to. As with prometheus-adapter, a CA file switches off what a kubeconfig or the service account
/// would add.
pub fn settings(url: &str, options: &Prometheus, timeout: Duration) -> Result<Settings, UpstreamError> {
    let mut settings = Settings::new(url, timeout);
    settings.post = options.prometheus_verb == Verb::Post;
    for header in &options.prometheus_headers {
        let (name, value) =
            header.split_once(['=', ':']).ok_or_else(|| UpstreamError::Header { header: header.clone() })?;
        settings.headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    if let Some(file) = &options.prometheus_ca_file {
        settings.ca = Some(read(file)?);
    } else if options.prometheus_auth_incluster {
        let folder = Path::new(SERVICE_ACCOUNT);
        settings.token = Some(Token::File(folder.join("token")));
        settings.ca = Some(read(&folder.join("ca.crt"))?);
    } else if let Some(file) = &options.prometheus_auth_config {
        kubeconfig::apply(file, &mut settings).map_err(UpstreamError::Kubeconfig)?;
    }
    if let (Some(certificate), Some(key)) =
        (&options.prometheus_client_tls_cert_file, &options.prometheus_client_tls_key_file)
    {
        let mut identity = read(key)?;
        identity.push(b'\n');
        identity.extend(read(certificate)?);
        settings.identity = Some(identity);
    }
    if let Some(file) = &options.prometheus_token_file {
        settings.token = Some(Token::File(file.clone()));
    }
    Ok(settings)
}

fn read(path: &Path) -> Result<Vec<u8>, UpstreamError> {
    fs::read(path).map_err(|source| UpstreamError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
