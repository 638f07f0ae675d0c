//! The credentials in a kubeconfig file, for a server that is no API server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::ByteString;
use rbg_autoscaler::metrics::prometheus::{Settings, Token};
use serde::Deserialize;

/// Why a kubeconfig gives no credentials.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// Not a kubeconfig.
    #[error("{path} is no kubeconfig: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<ByteString>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<ByteString>,
    client_key: Option<PathBuf>,
    client_key_data: Option<ByteString>,
}

/// Puts the current context's credentials into the settings. Its server is not used.
pub fn apply(path: &Path, settings: &mut Settings) -> Result<(), KubeconfigError> {
    let malformed = |why: String| KubeconfigError::Malformed { path: path.to_owned(), why };
    let text =
        fs::read_to_string(path).map_err(|source| KubeconfigError::File { path: path.to_owned(), source })?;
    let config: Kubeconfig = serde_saphyr::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    let context = config.contexts.iter().find(|context| context.name == config.current_context);
    let context =
        context.ok_or_else(|| malformed(format!("there is no context {:?}", config.current_context)))?;
    let cluster = config.clusters.into_iter().find(|cluster| cluster.name == context.context.cluster);
    let user = config.users.into_iter().find(|user| user.name == context.context.user);
    // Relative paths are relative to the file.
    let folder = path.parent().unwrap_or(Path::new("."));
    let bytes = |data: Option<ByteString>, file: Option<PathBuf>| match (data, file) {
        (Some(data), _) => Ok(Some(data.0)),
        (None, Some(file)) => {
            let path = folder.join(file);
            fs::read(&path).map(Some).map_err(|source| KubeconfigError::File { path, source })
        }
        (None, None) => Ok(None),
    };
    if let Some(cluster) = cluster.map(|named| named.cluster) {
        settings.ca = bytes(cluster.certificate_authority_data, cluster.certificate_authority)?;
        settings.insecure = cluster.insecure_skip_tls_verify;
    }
    if let Some(user) = user.map(|named| named.user) {
        settings.token = match (user.token, user.token_file) {
            (_, Some(file)) => Some(Token::File(folder.join(file))),
            (Some(token), None) => Some(Token::Fixed(token)),
            (None, None) => None,
        };
        let certificate = bytes(user.client_certificate_data, user.client_certificate)?;
        let key = bytes(user.client_key_data, user.client_key)?;
        settings.identity = certificate.zip(key).map(|(certificate, mut key)| {
            key.push(b'\n');
            key.extend(certificate);
            key
        });
    }
    Ok(())
}
