//! [`Gate`]: stands before kube-apiserver and holds requests back, to stop the world between two steps of a program.

use std::{
    fs,
    future::pending,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode, header::HOST},
    response::{IntoResponse as _, Response},
};
use kube::Client;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{eventually, free_port};
use crate::control_plane::StateFolder;

/// The largest request that kube-apiserver takes.
const LARGEST: usize = 3 << 20;

/// When a request is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Before kube-apiserver gets it.
    Request,
    /// After kube-apiserver has done it: the answer does not come back.
    Answer,
}

/// A way to kube-apiserver that may be closed for some requests. Who comes through it acts as an administrator.
#[derive(Debug)]
pub struct Gate {
    kubeconfig: PathBuf,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
    _state: StateFolder,
}

struct Shared {
    client: Client,
    rule: Mutex<Option<Rule>>,
}

#[derive(Clone, Debug)]
struct Rule {
    method: Method,
    path: String,
    hold: Hold,
    /// Requests that came under the rule.
    held: usize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("rule", &self.rule).finish_non_exhaustive()
    }
}

impl Gate {
    /// Opens a way to the API server of a client.
    pub async fn open(client: Client) -> Result<Self> {
        let state = StateFolder::create("rbga-gate-")?;
        let port = free_port()?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let shared = Arc::new(Shared { client, rule: Mutex::default() });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let kubeconfig = state.path().join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "gate",
            "clusters": [{"name": "gate", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
            "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "gate"}}],
            "users": [{"name": "gate", "user": {}}],
        });
        fs::write(&kubeconfig, text.to_string()).context("cannot write the gate's kubeconfig")?;
        Ok(Self { kubeconfig, shared, server, _state: state })
    }

    /// Returns the kubeconfig file for programs that are to come through the gate.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Holds requests of a method back whose path ends like this, from now on.
    pub fn hold(&self, hold: Hold, method: Method, path: &str) {
        *self.shared.rule() = Some(Rule { method, path: path.to_owned(), hold, held: 0 });
    }

    /// Waits until a request is held back.
    pub async fn holds_one(&self, patience: Duration) -> Result<()> {
        eventually("the gate holds a request back", patience, async || {
            let rule = self.shared.rule().clone();
            ensure!(rule.as_ref().is_some_and(|rule| rule.held > 0), "{rule:?}");
            Ok(Some(()))
        })
        .await
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn rule(&self) -> std::sync::MutexGuard<'_, Option<Rule>> {
        self.rule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the rule does with a request.
    fn verdict(&self, request: &Request) -> Option<Hold> {
        let rule = self.rule();
        let rule = rule.as_ref()?;
        (rule.method == *request.method() && request.uri().path().ends_with(&rule.path)).then_some(rule.hold)
    }

    fn note(&self) {
        if let Some(rule) = self.rule().as_mut() {
            rule.held += 1;
        }
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let verdict = shared.verdict(&request);
    if verdict == Some(Hold::Request) {
        shared.note();
        return pending().await;
    }
    let answer = forward(&shared.client, request).await;
    if verdict == Some(Hold::Answer) {
        shared.note();
        return pending().await;
    }
    answer.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

async fn forward(client: &Client, request: Request) -> Result<Response> {
    let (mut head, body) = request.into_parts();
    head.headers.remove(HOST);
    let body = axum::body::to_bytes(body, LARGEST).await?;
    let request = Request::from_parts(head, kube::client::Body::from(body));
    Ok(client.send(request).await?.map(Body::new))
}
