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
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::options::Options;

    fn settings_of(arguments: &[&str]) -> Result<Settings, UpstreamError> {
        let arguments = ["adapter"].iter().chain(arguments).map(OsString::from);
        let (options, _) = Options::parse_foreign(arguments).unwrap_or_else(|error| panic!("{error}"));
        settings("http://p:9090", &options.prometheus, Duration::from_secs(10))
    }

    #[test]
    fn headers_and_method() {
        let settings = settings_of(&[
            "--prometheus-header=a=b=c",
            "--prometheus-header",
            "d: e",
            "--prometheus-verb=POST",
        ]);
        let settings = settings.unwrap_or_else(|error| panic!("{error}"));
        let headers: Vec<_> =
            settings.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(headers, [("a", "b=c"), ("d", "e")]);
        assert!(settings.post);
        assert!(settings_of(&["--prometheus-header=nothing"]).is_err());
        assert!(settings_of(&["--prometheus-ca-file=/nowhere"]).is_err());
    }

    #[test]
    fn credentials_of_a_kubeconfig() {
        let file =
            std::env::temp_dir().join(format!("rbg-metrics-adapter-kubeconfig-{}", std::process::id()));
        let text = "
            current-context: here
            contexts: [{name: here, context: {cluster: c, user: u}}]
            clusters: [{name: c, cluster: {server: 'https://x', insecure-skip-tls-verify: true}}]
            users: [{name: other, user: {}}, {name: u, user: {token: t0ken}}]
        ";
        fs::write(&file, text).expect("written");
        let given = format!("--prometheus-auth-config={}", file.display());
        let settings = settings_of(&[&given]).unwrap_or_else(|error| panic!("{error}"));
        assert!(settings.insecure);
        assert!(matches!(&settings.token, Some(Token::Fixed(token)) if token == "t0ken"));
        fs::write(&file, "current-context: there").expect("written");
        let error = settings_of(&[&given]).err().expect("refused");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(cause.contains("there is no context \"there\""), "{cause}");
        fs::remove_file(file).expect("removed");
    }
}
