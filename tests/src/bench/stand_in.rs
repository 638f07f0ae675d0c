//! [`StandIn`]: answers the queries of both adapters as Prometheus would, at once, and counts them.
//!
//! A real Prometheus would need a core of its own and its evaluation time would count as the adapters'. This one has the answer
//! ready, with a body of real size, which favours whoever asks more often. Values are made up from names; every pod has one. It has a
//! thread of its own, so that the client need not wait for it.

use std::{
    collections::HashSet,
    fmt::Write as _,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::Result;
use axum::{
    Router,
    extract::{Query, State},
    http::header::CONTENT_TYPE,
    response::IntoResponse,
    routing::get,
};
use reqwest::Url;
use serde::Deserialize;
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot};

/// The series that all pods expose.
pub const SERIES: &str = "vllm:num_requests_waiting";

/// A running stand-in; dropping it ends it.
pub struct StandIn {
    shared: Arc<Shared>,
    url: String,
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct Shared {
    pods: RwLock<Vec<(String, String)>>,
    queries: AtomicU32,
}

#[derive(Deserialize)]
struct Asked {
    query: String,
    time: String,
}

impl StandIn {
    /// Starts answering on a free port of this machine.
    pub fn start() -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/api/v1/series", get(series))
            .route("/api/v1/query", get(by_url).post(by_form))
            .with_state(shared.clone());
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name("stand-in".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { shared, url, _stop: stop })
    }

    /// Returns its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes more pods known, by namespace and name.
    pub fn add(&self, pods: impl IntoIterator<Item = (String, String)>) {
        self.shared.pods.write().unwrap_or_else(PoisonError::into_inner).extend(pods);
    }

    /// Returns how many queries for values it has answered.
    pub fn queries(&self) -> u32 {
        self.shared.queries.load(Ordering::Relaxed)
    }
}

async fn series(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let pods = shared.pods.read().unwrap_or_else(PoisonError::into_inner);
    let one = |(namespace, pod): &(String, String)| {
        format!(
            r#"{{"__name__":"{SERIES}","instance":"127.0.0.1:8000","job":"pods","model_name":"m","namespace":"{namespace}","pod":"{pod}"}}"#
        )
    };
    let all: Vec<String> = pods.iter().map(one).collect();
    json(format!(r#"{{"status":"success","data":[{}]}}"#, all.join(",")))
}

async fn by_url(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> impl IntoResponse {
    json(answer(&shared, &asked))
}

/// Long queries come as forms.
async fn by_form(State(shared): State<Arc<Shared>>, form: String) -> impl IntoResponse {
    let mut asked = Asked { query: String::new(), time: String::new() };
    for (name, value) in Url::parse(&format!("http://localhost/?{form}")).iter().flat_map(Url::query_pairs) {
        match &*name {
            "query" => asked.query = value.into_owned(),
            "time" => asked.time = value.into_owned(),
            _ => {}
        }
    }
    json(answer(&shared, &asked))
}

fn json(body: String) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], body)
}

/// Three forms of query are known: one value per pod of a namespace (prometheus-adapter's), one per pod of the cluster (our batch
/// form), and the latter with the times of the samples beside the values (our signals).
fn answer(shared: &Shared, asked: &Asked) -> String {
    shared.queries.fetch_add(1, Ordering::Relaxed);
    let pods = shared.pods.read().unwrap_or_else(PoisonError::into_inner);
    let mut elements = String::new();
    let mut element = |labels: &str, value: &str| {
        let comma = if elements.is_empty() { "" } else { "," };
        let time = &asked.time;
        let _ = write!(elements, r#"{comma}{{"metric":{{{labels}}},"value":[{time},"{value}"]}}"#);
    };
    let value = |pod: &str| (pod.bytes().map(u32::from).sum::<u32>() % 40).to_string();
    if let Some(wanted) = matched(&asked.query, "namespace") {
        let names: HashSet<&str> =
            matched(&asked.query, "pod").map(|names| names.split('|').collect()).unwrap_or_default();
        let is_wanted =
            |(namespace, pod): &&(String, String)| namespace == wanted && names.contains(pod.as_str());
        for (_, pod) in pods.iter().filter(is_wanted) {
            element(&format!(r#""pod":"{pod}""#), &value(pod));
        }
    } else {
        let has_times = asked.query.contains("rbga_part");
        for (namespace, pod) in pods.iter() {
            let labels = format!(r#""namespace":"{namespace}","pod":"{pod}""#);
            if has_times {
                element(&format!(r#"{labels},"rbga_part":"value""#), &value(pod));
                element(&format!(r#"{labels},"rbga_part":"time""#), &asked.time);
            } else {
                element(&labels, &value(pod));
            }
        }
    }
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{elements}]}}}}"#)
}

/// What a label must be in a query: the text behind `label="` or `label=~"`.
fn matched<'a>(query: &'a str, label: &str) -> Option<&'a str> {
    let (_, rest) = query.split_once(&format!("{label}=")).filter(|(before, _)| !before.is_empty())?;
    rest.trim_start_matches('~').strip_prefix('"')?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> String {
        let shared = Shared::default();
        for (namespace, pod) in [("a", "p1"), ("a", "p2"), ("b", "p1")] {
            shared.pods.write().unwrap().push((namespace.to_owned(), pod.to_owned()));
        }
        let body = answer(&shared, &Asked { query: query.to_owned(), time: "7".to_owned() });
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let labels = body["data"]["result"].as_array().unwrap().iter().map(|one| one["metric"].to_string());
        labels.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_form_of_query_gets_its_pods() {
        assert_eq!(asked(r#"sum(x{namespace="a",pod=~"p1|p2"}) by (pod)"#), r#"{"pod":"p1"} {"pod":"p2"}"#);
        assert_eq!(asked(r#"sum(x{namespace="b",pod="p1"}) by (pod)"#), r#"{"pod":"p1"}"#);
        assert_eq!(asked("sum by (namespace, pod) (x)").matches("namespace").count(), 3);
        let both = asked(r#"label_replace(x, "rbga_part", "value", "", "")"#);
        assert_eq!((both.matches(r#""time""#).count(), both.matches(r#""value""#).count()), (3, 3));
    }
}
