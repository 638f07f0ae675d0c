//! [`App`]: the HTTP surface. Who asks, may they, and which document answers.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Extension, State},
    response::Response,
    routing::get,
};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use rbg_autoscaler::metrics::collector::{Clock, Collector};
use tokio::sync::watch;

use crate::{
    accept::Accept,
    authentication::{User, trust::Trust},
    authorization::{Attributes, Authorizer, Verdict},
    custom,
    discovery::{Discovery, Exposed},
    peer::Peer,
    pods::PodCache,
    reply,
    request::{MetricRequest, RequestError, target::Target},
};

/// A request that takes longer is given up.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the handlers share.
pub struct App {
    /// The signals.
    pub collector: Collector,
    /// The cluster's pods.
    pub pods: Arc<PodCache>,
    /// Whose certificates count; nothing until it has been read.
    pub trust: watch::Receiver<Option<Arc<Trust>>>,
    /// Who may do what.
    pub authorizer: Authorizer,
    /// Reads the wall clock.
    pub clock: Clock,
}

/// Returns the service; each request must carry the connection's [`Peer`] as an extension.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/livez", get(healthy))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .fallback(serve)
        .with_state(app)
}

async fn healthy() -> &'static str {
    "ok"
}

async fn ready(State(app): State<Arc<App>>) -> (StatusCode, String) {
    let checks = [
        ("pods", app.pods.is_synced(), "not listed yet"),
        (
            "authentication",
            app.trust.borrow().is_some(),
            "the ConfigMap of the aggregation layer is not read yet",
        ),
    ];
    if checks.iter().all(|(_, passed, _)| *passed) {
        return (StatusCode::OK, "ok".to_owned());
    }
    let failed =
        checks.iter().filter(|(_, passed, _)| !passed).map(|(name, _, why)| format!("{name}: {why}\n"));
    (StatusCode::SERVICE_UNAVAILABLE, failed.collect())
}

async fn serve(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request<Body>,
) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let answered = tokio::time::timeout(DEADLINE, answer(&app, &peer, method, uri, headers)).await;
    let answered = answered.unwrap_or_else(|_| {
        let message = format!("no answer within {} s", DEADLINE.as_secs());
        Err(RequestError { code: 504, reason: "Timeout", message })
    });
    match answered {
        Ok(document) => document.response(headers),
        Err(error) => refuse(&error),
    }
}

/// Bytes to send, and what they are.
struct Document {
    body: Vec<u8>,
    content_type: String,
    /// Whether the same bytes come again and again.
    is_stable: bool,
}

async fn answer(
    app: &App,
    peer: &Peer,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Document, RequestError> {
    let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
    let target = Target::parse(path_and_query)?;
    let user = authenticate(app, peer, headers)?;
    authorize(app, &user, uri.path(), &target).await?;
    if method != Method::GET && method != Method::HEAD {
        return Err(RequestError::method_not_allowed());
    }
    let is_pretty = target.first("pretty").is_some_and(|pretty| matches!(pretty, "true" | "1"));
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let accept = Accept::of(accepted, target.segments() == ["apis"]);
    if accept == Accept::Nothing {
        let message = "only the following media types are accepted: application/json".to_owned();
        return Err(RequestError { code: 406, reason: "NotAcceptable", message });
    }
    if let Accept::Aggregated(version) = accept {
        let content_type =
            format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        let body = write(&discovery(app).aggregated(version), is_pretty)?;
        return Ok(Document { body, content_type, is_stable: true });
    }
    let content_type = "application/json".to_owned();
    if target.segments().len() <= 3
        && let Some(document) = discovery(app).document(target.segments())
    {
        return Ok(Document { body: write(&document, is_pretty)?, content_type, is_stable: true });
    }
    let body = match MetricRequest::parse(path_and_query)? {
        MetricRequest::Custom(request) => {
            let now = (app.clock)();
            let known = custom::answer(&app.collector, &app.pods, &request, now).await;
            known.unwrap_or_else(|| {
                let (metric, resource) = (&request.metric, &request.resource);
                let message = format!("the server could not find the metric {metric} for {resource}");
                Err(RequestError::not_found(message))
            })?
        }
        MetricRequest::External(_) | MetricRequest::Resource(_) => return Err(RequestError::no_such_path()),
    };
    let body = if is_pretty {
        let value: serde_json::Value = serde_json::from_slice(&body).map_err(RequestError::internal)?;
        write(&value, true)?
    } else {
        body
    };
    Ok(Document { body, content_type, is_stable: false })
}

fn authenticate(app: &App, peer: &Peer, headers: &HeaderMap) -> Result<User, RequestError> {
    let Some(trust) = app.trust.borrow().clone() else {
        return Err(custom::unavailable(
            "the authorities of client certificates are not read yet".to_owned(),
        ));
    };
    match peer.identity(&trust, app.clock.as_ref()).user(&trust, headers) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Ok(User::anonymous()),
        Err(error) => {
            tracing::warn!(%error, "request not authenticated");
            Err(RequestError { code: 401, reason: "Unauthorized", message: format!("Unauthorized: {error}") })
        }
    }
}

async fn authorize(app: &App, user: &User, path: &str, target: &Target) -> Result<(), RequestError> {
    if app.authorizer.is_always_allowed(path) {
        return Ok(());
    }
    let attributes = Attributes::of(path, target);
    match app.authorizer.authorize(user, &attributes).await {
        Ok(Verdict::Allowed) => Ok(()),
        Ok(Verdict::Denied(why)) => Err(forbidden(user, &attributes, &why)),
        Err(error) => {
            tracing::error!(%error, "permissions cannot be checked: may the service account create subjectaccessreviews?");
            Err(RequestError::internal(error))
        }
    }
}

fn forbidden(user: &User, attributes: &Attributes, why: &str) -> RequestError {
    let object = match attributes {
        Attributes::Path(_) => String::new(),
        Attributes::Resource { group, resource, name, .. } => format!("{resource}.{group} {name:?} is "),
    };
    let because = if why.is_empty() { String::new() } else { format!(": {why}") };
    let message = format!("{object}forbidden: User {:?} cannot {attributes}{because}", user.name);
    RequestError { code: 403, reason: "Forbidden", message }
}

fn discovery(app: &App) -> Discovery {
    let signals = app.collector.signals();
    let exposed = signals.iter().map(|signal| Exposed {
        resource: "pods".to_owned(),
        metric: signal.name.clone(),
        namespaced: true,
    });
    Discovery::new(exposed.collect(), None)
}

fn write(value: &serde_json::Value, is_pretty: bool) -> Result<Vec<u8>, RequestError> {
    let written = if is_pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    written.map_err(RequestError::internal)
}

impl Document {
    fn response(self, asked: &HeaderMap) -> Response {
        let mut response = Response::builder()
            .header(header::CONTENT_TYPE, self.content_type)
            .header(header::CACHE_CONTROL, "no-cache, private");
        if self.is_stable {
            let mut hasher = DefaultHasher::new();
            self.body.hash(&mut hasher);
            let tag = format!("\"{:016x}\"", hasher.finish());
            response = response.header(header::ETAG, &tag).header(header::VARY, "Accept");
            if asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
                return finish(response.status(StatusCode::NOT_MODIFIED).body(Body::empty()));
            }
        }
        finish(response.body(Body::from(self.body)))
    }
}

fn refuse(error: &RequestError) -> Response {
    let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    finish(response.body(Body::from(reply::status(error))))
}

/// Fails for malformed headers only, and ours are fixed.
fn finish(response: Result<Response, http::Error>) -> Response {
    response.unwrap_or_else(|_| Response::new(Body::empty()))
}

#[cfg(test)]
mod tests;
