//! [`Engines`]: the metrics of all pods at one address, with the labels that scraping each pod would give them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use axum::{Router, routing::get};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::fleet::{Fleet, ROLES};

/// What a role's first pod shows while nothing was set: exactly what every policy aims at.
pub(super) const QUEUE: u32 = 10;

/// Returns the entry of Prometheus's configuration that reads them.
pub(super) fn scrape_config(port: u16) -> Value {
    json!({"job_name": "engines", "honor_labels": true, "static_configs": [{"targets": [format!("127.0.0.1:{port}")]}]})
}

/// Serves the metrics until it is dropped.
pub(super) struct Engines {
    queues: Arc<Mutex<BTreeMap<String, u32>>>,
    server: JoinHandle<()>,
}

impl Engines {
    /// Starts to serve the first pod of every role of a fleet.
    pub(super) async fn serve(port: u16, fleet: &Fleet) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let queues = Arc::<Mutex<BTreeMap<String, u32>>>::default();
        let (shown, groups, namespace) = (Arc::clone(&queues), fleet.groups, fleet.namespace().to_owned());
        let page = move || {
            let text = page(&shown.lock().unwrap_or_else(PoisonError::into_inner), groups, &namespace);
            async move { text }
        };
        let router = Router::new().route("/metrics", get(page));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { queues, server })
    }

    /// Sets the queue of a pod.
    pub(super) fn set(&self, pod: &str, queue: u32) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).insert(pod.to_owned(), queue);
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn page(queues: &BTreeMap<String, u32>, groups: usize, namespace: &str) -> String {
    let mut text = String::new();
    for group in 0..groups {
        for role in ROLES {
            let pod = format!("{}-{role}-0", Fleet::group(group));
            let queue = queues.get(&pod).copied().unwrap_or(QUEUE);
            let labels = format!("{{namespace=\"{namespace}\",pod=\"{pod}\"}}");
            let _ = writeln!(
                text,
                "vllm:num_requests_waiting{labels} {queue}\nvllm:kv_cache_usage_perc{labels} 0.5"
            );
        }
    }
    text
}
