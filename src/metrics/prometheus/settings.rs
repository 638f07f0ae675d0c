//! [`Settings`]: where Prometheus is and how it is spoken to.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Certificate, Client, Identity,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::Instant;

use crate::metrics::innermost;

/// A token file is read again when it was read this long ago: projected tokens are renewed well before they expire.
const TOKEN_LASTS: Duration = Duration::from_secs(10);

/// Where Prometheus is and how it is spoken to. Needs a default TLS provider to be installed in the process.
pub struct Settings {
    /// The base URL; a path prefix is kept, user and password are used, a query part goes with every request.
    pub url: String,
    /// How long an answer is awaited.
    pub timeout: Duration,
    /// Whether short queries go by POST as well.
    pub post: bool,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// The bearer token.
    pub token: Option<Token>,
    /// Who signed the server's certificate, PEM; the system's authorities when absent.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its key, PEM.
    pub identity: Option<Vec<u8>>,
    /// Take any certificate of the server's.
    pub insecure: bool,
}

/// A bearer token.
pub enum Token {
    /// It does not change.
    Fixed(String),
    /// It is in a file that somebody renews.
    File(PathBuf),
}

/// Why Prometheus cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not an http or https URL.
    #[error("{url:?} is not a URL of Prometheus: {why}; write for example http://prometheus.monitoring:9090")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A header, certificate or key is unusable.
    #[error("{what} for Prometheus: {why}")]
    Unusable {
        /// What it is.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Settings {
    /// Returns the settings of a Prometheus that asks for no credentials.
    pub fn new(url: &str, timeout: Duration) -> Self {
        Self {
            url: url.to_owned(),
            timeout,
            post: false,
            headers: Vec::new(),
            token: None,
            ca: None,
            identity: None,
            insecure: false,
        }
    }

    /// Returns an HTTP client that does all of it but the token.
    pub(super) fn client(&self) -> Result<Client, SettingsError> {
        let unusable = |what: &str, why: String| SettingsError::Unusable { what: what.to_owned(), why };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let what = format!("header {name:?}");
            let name =
                HeaderName::try_from(name.as_str()).map_err(|error| unusable(&what, error.to_string()))?;
            let value =
                HeaderValue::try_from(value.as_str()).map_err(|error| unusable(&what, error.to_string()))?;
            headers.append(name, value);
        }
        let mut client = Client::builder()
            .timeout(self.timeout)
            .connect_timeout(self.timeout.min(Duration::from_secs(5)))
            .pool_idle_timeout(Duration::from_secs(90))
            .default_headers(headers)
            .tls_danger_accept_invalid_certs(self.insecure);
        if let Some(pem) = &self.ca {
            let authorities = Certificate::from_pem_bundle(pem)
                .map_err(|error| unusable("the authority", innermost(&error)))?;
            client = client.tls_certs_only(authorities);
        }
        if let Some(pem) = &self.identity {
            let identity = Identity::from_pem(pem)
                .map_err(|error| unusable("the client certificate", innermost(&error)))?;
            client = client.identity(identity);
        }
        client.build().map_err(|error| unusable("the HTTP client", innermost(&error)))
    }
}

/// A token ready to be sent, read again when it may have changed.
pub(super) struct Credentials {
    token: Option<Token>,
    read: Mutex<Option<(Instant, String)>>,
}

impl Credentials {
    pub(super) fn new(token: Option<Token>) -> Self {
        Self { token, read: Mutex::new(None) }
    }

    /// Returns the token. Errors: the file cannot be read.
    pub(super) fn token(&self) -> Result<Option<String>, String> {
        let path = match &self.token {
            None => return Ok(None),
            Some(Token::Fixed(token)) => return Ok(Some(token.clone())),
            Some(Token::File(path)) => path,
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, token)) = read.as_ref()
            && at.elapsed() < TOKEN_LASTS
        {
            return Ok(Some(token.clone()));
        }
        let token =
            fs::read_to_string(path).map_err(|error| format!("token file {}: {error}", path.display()))?;
        let token = token.trim().to_owned();
        *read = Some((Instant::now(), token.clone()));
        Ok(Some(token))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("Fixed(…)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}
