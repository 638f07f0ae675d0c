//! [`PrometheusSource`]: signals from anything that speaks Prometheus' HTTP API.

use std::{borrow::Cow, collections::HashMap, error::Error, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use reqwest::{Client, Url, header};
use serde::Deserialize;

use crate::{
    metrics::{
        Sample, Signal, SourceError,
        source::{Answer, Source},
    },
    units::MilliValue,
};

/// Queries longer than this go by POST even where GET is preferred: proxies limit URLs.
const LONGEST_GET: usize = 2048;
/// More of an answer than this is not read.
const LARGEST_ANSWER: usize = 256 * 1024 * 1024;

/// Signals from Prometheus, VictoriaMetrics, Thanos or Mimir.
pub struct PrometheusSource {
    client: Client,
    query_url: Url,
    name: String,
    post: bool,
}

/// Why no source can be made of the settings.
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
    /// The HTTP client could not be made.
    #[error("no HTTP client for Prometheus: {why}")]
    Client {
        /// What it said.
        why: String,
    },
}

impl PrometheusSource {
    /// Returns a source for a base URL, whose path prefix is kept.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, SettingsError> {
        let refuse = |why: String| SettingsError::Url { url: url.to_owned(), why };
        let base = Url::parse(url).map_err(|error| refuse(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(refuse(format!("scheme {:?} is neither http nor https", base.scheme())));
        }
        let mut query_url = base.clone();
        query_url.set_path(&format!("{}/api/v1/query", base.path().trim_end_matches('/')));
        let mut shown = base;
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_query(None);
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(5)))
            .pool_idle_timeout(Duration::from_secs(90))
            .build()
            .map_err(|error| SettingsError::Client { why: innermost(&error) })?;
        Ok(Self {
            client,
            query_url,
            name: format!("prometheus at {}", shown.as_str().trim_end_matches('/')),
            post: false,
        })
    }

    async fn ask(&self, query: &str, at: Timestamp) -> Result<Vec<u8>, SourceError> {
        let mut url = self.query_url.clone();
        // VictoriaMetrics otherwise answers with what was 30 s ago ("latency offset"); others ignore the parameter.
        url.query_pairs_mut()
            .append_pair("query", query)
            .append_pair("time", &seconds(at))
            .append_pair("nocache", "1");
        let request = if self.post || url.as_str().len() > LONGEST_GET {
            let form = url.query().unwrap_or_default().to_owned();
            let request = self.client.post(self.query_url.clone());
            request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
        } else {
            self.client.get(url)
        };
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(self.unreadable(format!("longer than {LARGEST_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let status = response.status();
        // Prometheus tells the cause of these in its JSON; anything else is no Prometheus.
        if status.is_success() || matches!(status.as_u16(), 400 | 422 | 503) {
            return Ok(body);
        }
        Err(SourceError::Refused { source_name: self.name.clone(), message: format!("HTTP status {status}") })
    }

    fn unreachable(&self, error: &reqwest::Error) -> SourceError {
        SourceError::Unreachable { source_name: self.name.clone(), cause: innermost(error) }
    }

    fn unreadable(&self, why: String) -> SourceError {
        SourceError::Unreadable { source_name: self.name.clone(), why }
    }

    fn read(&self, signal: &Signal, at: Timestamp, body: &[u8]) -> Result<Answer, SourceError> {
        let reply: Reply<'_> =
            serde_json::from_slice(body).map_err(|error| self.unreadable(error.to_string()))?;
        if reply.status != "success" {
            let kind = reply.error_type.unwrap_or_default();
            let message = format!("{kind}: {}", reply.error.unwrap_or_default());
            return Err(SourceError::Refused { source_name: self.name.clone(), message });
        }
        let Some(data) = reply.data else { return Err(self.unreadable("no data in it".to_owned())) };
        if data.result_type != "vector" {
            let why =
                format!("a {} instead of a vector; the query must give one value per pod", data.result_type);
            return Err(self.unreadable(why));
        }
        let mut answer = join(signal, at, &data.result);
        answer.warnings = reply.warnings.into_iter().map(Cow::into_owned).collect();
        Ok(answer)
    }
}

impl Source for PrometheusSource {
    fn collect<'a>(
        &'a self,
        signal: &'a Signal,
        at: Timestamp,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        async move {
            let body = self.ask(&signal.query(), at).await?;
            self.read(signal, at, &body)
        }
        .boxed()
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Puts the two halves of an answer together: values, and the times of the samples behind them.
fn join(signal: &Signal, at: Timestamp, vector: &[Element<'_>]) -> Answer {
    let mut times: HashMap<(&str, &str), Timestamp> = HashMap::new();
    for element in vector.iter().filter(|element| element.metric.part.as_deref() == Some("time")) {
        if let (Some(pod), Some(time)) = (element.metric.key(), element.number().and_then(timestamp)) {
            times.insert(pod, time);
        }
    }
    let mut answer = Answer::default();
    for element in vector.iter().filter(|element| element.metric.part.as_deref() != Some("time")) {
        let Some((namespace, pod)) = element.metric.key() else { continue };
        let unmarked = element.metric.part.is_none();
        let time = if unmarked { Some(at) } else { times.get(&(namespace, pod)).copied() };
        let value = match element.number() {
            Some(number) if number.is_nan() => signal.undefined_value(),
            Some(number) => MilliValue::from_f64_truncated(number),
            None => None,
        };
        match (value, time) {
            (Some(value), Some(time)) => answer.samples.insert(namespace, pod, Sample { value, time }),
            _ => answer.dropped += 1,
        }
    }
    answer
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
    #[serde(borrow, rename = "errorType")]
    error_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    warnings: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, rename = "resultType")]
    result_type: Cow<'a, str>,
    #[serde(borrow, default)]
    result: Vec<Element<'a>>,
}

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    metric: Labels<'a>,
    #[serde(borrow)]
    value: (f64, Cow<'a, str>),
}

#[derive(Deserialize)]
struct Labels<'a> {
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pod: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "rbga_part")]
    part: Option<Cow<'a, str>>,
}

impl Labels<'_> {
    fn key(&self) -> Option<(&str, &str)> {
        let (namespace, pod) = (self.namespace.as_deref()?, self.pod.as_deref()?);
        (!namespace.is_empty() && !pod.is_empty()).then_some((namespace, pod))
    }
}

impl Element<'_> {
    fn number(&self) -> Option<f64> {
        self.value.1.parse().ok()
    }
}

/// Writes an instant as Prometheus reads it: Unix seconds with milliseconds.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:03}", at.as_second(), at.subsec_millisecond())
}

fn timestamp(seconds: f64) -> Option<Timestamp> {
    // Rounded: a float of seconds may lie a little below its millisecond.
    let milliseconds = MilliValue::from_f64_truncated(seconds + 0.0005)?;
    Timestamp::from_millisecond(milliseconds.milli()).ok()
}

/// The innermost cause is what an operator can act on: `connection refused`, not `error sending request`.
fn innermost(error: &dyn Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalog;

    fn source() -> PrometheusSource {
        let _ = rustls::crypto::ring::default_provider().install_default();
        PrometheusSource::new("http://user:secret@prom.example:9090/prefix/?x=1", Duration::from_secs(1))
            .expect("a source")
    }

    fn signal(name: &str) -> Signal {
        let signals = catalog::built_in(catalog::RATE_WINDOW);
        Signal::clone(signals.iter().find(|signal| signal.name == name).expect("in the catalog"))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    #[test]
    fn the_name_shows_no_credentials_and_the_prefix_stays() {
        let source = source();
        assert_eq!(source.name(), "prometheus at http://prom.example:9090/prefix");
        assert_eq!(source.query_url.path(), "/prefix/api/v1/query");
        for bad in ["prometheus:9090", "/x", "ftp://x"] {
            assert!(PrometheusSource::new(bad, Duration::from_secs(1)).is_err(), "{bad}");
        }
    }

    fn element(pod: &str, part: &str, value: &str) -> String {
        format!(r#"{{"metric":{{"namespace":"ns","pod":"{pod}"{part}}},"value":[1800000000,"{value}"]}}"#)
    }

    fn vector(elements: &[String]) -> String {
        let result = elements.join(",");
        format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}},"warnings":["partial"]}}"#
        )
    }

    #[test]
    fn values_get_the_time_of_their_scrape_and_what_is_no_number_is_missing() {
        let (value, time) = (r#","rbga_part":"value""#, r#","rbga_part":"time""#);
        let body = vector(&[
            element("fresh", value, "12.3456"),
            element("fresh", time, "1799999990.123"),
            element("nan", value, "NaN"),
            element("nan", time, "1799999990"),
            element("infinite", value, "+Inf"),
            element("infinite", time, "1799999990"),
            element("vanished", value, "7"),
            element("no-rate-yet", time, "1799999990"),
            element("", value, "1"),
        ]);
        let answer = source().read(&signal("queue_length"), at(0), body.as_bytes()).expect("readable");
        let expected = Sample {
            value: MilliValue::from_milli(12_345),
            time: Timestamp::from_millisecond(1_799_999_990_123).expect("in range"),
        };
        assert_eq!(answer.samples.iter().collect::<Vec<_>>(), [("ns", "fresh", expected)]);
        assert_eq!(answer.dropped, 3, "nan, infinite, vanished");
        assert_eq!(answer.warnings, ["partial"]);
    }

    #[test]
    fn an_undefined_latency_is_idle() {
        let body = vector(&[
            element("p", r#","rbga_part":"value""#, "NaN"),
            element("p", r#","rbga_part":"time""#, "1800000000"),
        ]);
        let latency = Signal { unit: crate::metrics::Unit::Seconds, ..signal("queue_length") };
        let answer = source().read(&latency, at(0), body.as_bytes()).expect("readable");
        assert_eq!(answer.samples.get("ns", "p"), Some(Sample { value: MilliValue::ZERO, time: at(0) }));
    }

    #[test]
    fn a_query_without_times_is_as_old_as_its_evaluation() {
        let body = vector(&[element("p", "", "1e3")]);
        let answer = source().read(&signal("qps"), at(7), body.as_bytes()).expect("readable");
        assert_eq!(
            answer.samples.get("ns", "p"),
            Some(Sample { value: MilliValue::from_whole(1000), time: at(7) })
        );
    }

    #[test]
    fn failures_name_the_source_and_the_cause() {
        for (body, want) in [
            (
                r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
                "prometheus at http://prom.example:9090/prefix: bad_data: parse error",
            ),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
                "prometheus at http://prom.example:9090/prefix: unreadable answer: a matrix instead of a vector; the query must give one value per pod",
            ),
            (
                "<html>",
                "prometheus at http://prom.example:9090/prefix: unreadable answer: expected value at line 1 column 1",
            ),
        ] {
            let error = source().read(&signal("qps"), at(0), body.as_bytes()).expect_err(body);
            assert_eq!(error.to_string(), want);
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_connection_refused() {
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let _ = source();
        let source =
            PrometheusSource::new(&format!("http://{free}"), Duration::from_secs(5)).expect("a source");
        let error = source.collect(&signal("qps"), at(0)).await.expect_err("nobody listens");
        assert_eq!(error.class(), "unreachable");
        assert_eq!(error.to_string(), format!("prometheus at http://{free}: connection refused"));
    }
}
