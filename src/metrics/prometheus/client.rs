//! [`PrometheusClient`]: the HTTP API of Prometheus, with errors that name it and the cause.

use jiff::Timestamp;
use reqwest::{Client, Url, header};
use serde::Deserialize;

use super::settings::{Credentials, Settings, SettingsError};
use crate::metrics::{SourceError, innermost};

/// Queries longer than this go by POST even where GET is preferred: proxies limit URLs.
const LONGEST_GET: usize = 2048;
/// A refusal of more bytes than this is not repeated.
const LONGEST_WORDS: usize = 200;
/// More of an answer than this is not read.
const LARGEST_ANSWER: usize = 256 * 1024 * 1024;

/// Speaks Prometheus' HTTP API.
pub struct PrometheusClient {
    client: Client,
    base: Url,
    name: String,
    post: bool,
    timeout: String,
    credentials: Credentials,
}

impl PrometheusClient {
    /// Returns a client.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let refuse = |why: String| SettingsError::Url { url: settings.url.clone(), why };
        let base = Url::parse(&settings.url).map_err(|error| refuse(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(refuse(format!("scheme {:?} is neither http nor https", base.scheme())));
        }
        let mut shown = base.clone();
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_query(None);
        Ok(Self {
            client: settings.client()?,
            base,
            name: format!("prometheus at {}", shown.as_str().trim_end_matches('/')),
            post: settings.post,
            timeout: format!("{}s", settings.timeout.as_secs().max(1)),
            credentials: Credentials::new(settings.token),
        })
    }

    /// Names the server for errors and logs, without credentials.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// Returns what `/api/v1/query` answers at an instant: a JSON document, which may tell of an error.
    pub async fn query(&self, promql: &str, at: Timestamp) -> Result<Vec<u8>, SourceError> {
        // VictoriaMetrics otherwise answers with what was 30 s ago ("latency offset"); others ignore the parameter.
        let parameters =
            [("query", promql), ("time", &seconds(at)), ("timeout", &self.timeout), ("nocache", "1")];
        self.ask("api/v1/query", &parameters).await
    }

    /// Returns what `/api/v1/series` answers for a selector since `start`: a JSON document, which may tell of an error.
    pub async fn series(&self, selector: &str, start: Timestamp) -> Result<Vec<u8>, SourceError> {
        self.ask("api/v1/series", &[("match[]", selector), ("start", &seconds(start))]).await
    }

    async fn ask(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Result<Vec<u8>, SourceError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{endpoint}", self.base.path().trim_end_matches('/')));
        let plain = url.clone();
        url.query_pairs_mut().extend_pairs(parameters);
        let mut request = if self.post || url.as_str().len() > LONGEST_GET {
            let mut form = plain.clone();
            form.query_pairs_mut().clear().extend_pairs(parameters);
            let form = form.query().unwrap_or_default().to_owned();
            let request = self.client.post(plain);
            request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
        } else {
            self.client.get(url)
        };
        let unreadable = |cause: String| SourceError::Unreachable { source_name: self.name(), cause };
        if let Some(token) = self.credentials.token().map_err(unreadable)? {
            request = request.bearer_auth(token);
        }
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                let why = format!("longer than {LARGEST_ANSWER} bytes");
                return Err(SourceError::Unreadable { source_name: self.name(), why });
            }
            body.extend_from_slice(&chunk);
        }
        let status = response.status();
        if status.is_success() || tells_why(&body) {
            return Ok(body);
        }
        // Something before Prometheus, or its own words without JSON: Mimir says "no org id" so.
        let words = words(&body).map(|words| format!(": {words}")).unwrap_or_default();
        Err(SourceError::Refused {
            source_name: self.name(),
            message: format!("HTTP status {status}{words}"),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> SourceError {
        let cause = if error.is_timeout() { "no answer in time".to_owned() } else { innermost(error) };
        SourceError::Unreachable { source_name: self.name(), cause }
    }
}

/// Says whether a body is Prometheus' own form of a failure, whatever the status: Mimir and Thanos use more of them than it does.
fn tells_why(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Failure<'a> {
        status: &'a str,
    }
    serde_json::from_slice::<Failure<'_>>(body).is_ok_and(|failure| failure.status == "error")
}

/// The first line of a short text that is no page.
fn words(body: &[u8]) -> Option<&str> {
    let line = str::from_utf8(body).ok()?.trim().lines().next()?;
    (line.len() <= LONGEST_WORDS && !line.starts_with('<')).then_some(line)
}

/// Writes an instant as Prometheus reads it: Unix seconds with milliseconds.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:03}", at.as_second(), at.subsec_millisecond())
}
