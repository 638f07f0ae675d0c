//! [`App`]: the HTTP surface. Who asks, may they, and which document answers.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Extension, State},
    response::Response,
    routing::get,
};
use http::{HeaderMap, Method, Request, Uri, header};
use rbg_autoscaler::metrics::collector::{Clock, Collector};
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use crate::{
    accept::Accept,
    answers::{Answers, Judge, Made},
    authentication::{User, token::Tokens, trust::Trust},
    authorization::{Attributes, Authorizer, Verdict},
    custom,
    discovery::{Discovery, Exposed},
    document::{Document, JSON, refusal},
    engine::Engine,
    external, object, openapi,
    peer::Peer,
    pods::PodCache,
    request::{CUSTOM_GROUP, EXTERNAL_GROUP, MetricRequest, RESOURCE_GROUP, RequestError, target::Target},
    telemetry::{self, Telemetry},
    total::{Gatherer, has_total},
};

mod health;

/// As many as kube-apiserver has; a source that hangs would otherwise fill the memory.
const MOST_IN_FLIGHT: usize = 400;
/// A request that takes longer is given up.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the handlers share.
pub struct App {
    /// The signals.
    pub collector: Collector,
    /// The rules at work; without a configuration it answers nothing.
    pub engine: Arc<Engine>,
    /// The cluster's pods.
    pub pods: Arc<PodCache>,
    /// Whose certificates count; nothing until it has been read.
    pub trust: watch::Receiver<Option<Arc<Trust>>>,
    /// Whose bearer tokens are.
    pub tokens: Tokens,
    /// Who may do what.
    pub authorizer: Authorizer,
    /// What was answered lately.
    pub answers: Answers,
    /// Whether signals are external metrics, too.
    pub external_signals: bool,
    /// Our own metrics.
    pub telemetry: Telemetry,
    /// Reads the wall clock.
    pub clock: Clock,
    /// Room for requests under way; who finds none is turned away.
    pub room: Room,
}

/// Room for [`MOST_IN_FLIGHT`] requests at once.
pub struct Room(Semaphore);

impl Default for Room {
    fn default() -> Self {
        Self(Semaphore::new(MOST_IN_FLIGHT))
    }
}

/// Returns the service; each request must carry the connection's [`Peer`] as an extension.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/livez", get(health::live))
        .route("/livez/{check}", get(health::live))
        .route("/healthz", get(health::live))
        .route("/healthz/{check}", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/readyz/{check}", get(health::ready))
        .fallback(serve)
        .with_state(app)
}

async fn serve(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request<Body>,
) -> Response {
    let started = Instant::now();
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let target = Target::parse(uri.path_and_query().map_or("/", |path| path.as_str()));
    let room = app.room.0.try_acquire();
    let answered = match &target {
        _ if room.is_err() => Err(too_many()),
        Ok(target) => tokio::time::timeout(DEADLINE, answer(&app, &peer, (method, uri, headers), target))
            .await
            .unwrap_or_else(|_| {
                let message = format!("no answer within {} s", DEADLINE.as_secs());
                Err(RequestError { code: 504, reason: "Timeout", message })
            }),
        Err(error) => Err(error.clone()),
    };
    let response = match answered {
        Ok(document) => document.response(headers),
        Err(error) => refusal(&error),
    };
    let (api, resource) = labels(&target.unwrap_or_default());
    app.telemetry.answered(api, resource, response.status().as_u16(), started.elapsed());
    response
}

fn too_many() -> RequestError {
    let message = "too many requests at once, please try again later".to_owned();
    RequestError { code: 429, reason: "TooManyRequests", message }
}

async fn answer(
    app: &App,
    peer: &Peer,
    request: (&Method, &Uri, &HeaderMap),
    target: &Target,
) -> Result<Document, RequestError> {
    let (method, uri, headers) = request;
    let user = authenticate(app, peer, headers).await?;
    authorize(app, user, uri.path(), target).await?;
    if method != Method::GET && method != Method::HEAD {
        return Err(RequestError::method_not_allowed());
    }
    if uri.path() == "/metrics" {
        let body = app.telemetry.text(&app.collector.snapshot(), (app.clock)()).into();
        return Ok(Document { body, content_type: telemetry::CONTENT_TYPE.into(), is_stable: false });
    }
    let is_pretty = is_pretty(target, headers);
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    match Accept::of(accepted, target.segments() == ["apis"]) {
        Accept::Json => {}
        Accept::Nothing => {
            let message = "only the following media types are accepted: application/json".to_owned();
            return Err(RequestError { code: 406, reason: "NotAcceptable", message });
        }
        Accept::Aggregated(version) => {
            let mut document = Document::stable(&discovery(app).aggregated(version), is_pretty)?;
            document.content_type =
                format!("{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList").into();
            return Ok(document);
        }
    }
    let segments = target.segments();
    if segments.len() <= 3 || segments.first().is_some_and(|first| first == "openapi") {
        let discovery = discovery(app);
        let served = discovery.group_versions();
        let document = discovery.document(segments).or_else(|| openapi::document(segments, &served));
        if let Some(document) = document.or_else(|| about(segments, &served)) {
            return Document::stable(&document, is_pretty);
        }
    }
    let question = uri.path_and_query().map_or("/", |path| path.as_str());
    let book = app.engine.book();
    let (pods, collector) = (&*app.pods, &app.collector);
    let judge = Judge { now: (app.clock)(), book: book.as_ref(), pods, collector };
    if let Some(body) = app.answers.get(question, &judge) {
        return Document::values(body, is_pretty);
    }
    let made = values(app, question, target).await?;
    app.answers.put(question, &made, &judge);
    Document::values(made.body, is_pretty)
}

/// As kube-apiserver: when asked for, and for people with a browser or curl.
fn is_pretty(target: &Target, headers: &HeaderMap) -> bool {
    if let Some(pretty) = target.first("pretty") {
        return !matches!(pretty, "false" | "0");
    }
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|person| agent.starts_with(person))
}

/// Which paths there are, and which version this is.
fn about(segments: &[String], served: &[String]) -> Option<Value> {
    match segments {
        [] => {
            let groups: BTreeSet<&str> =
                served.iter().filter_map(|version| version.split('/').next()).collect();
            let mut paths: Vec<String> = [
                "/apis",
                "/healthz",
                "/livez",
                "/metrics",
                "/openapi/v2",
                "/openapi/v3",
                "/readyz",
                "/version",
            ]
            .map(str::to_owned)
            .into();
            paths.extend(groups.iter().map(|group| format!("/apis/{group}")));
            paths.extend(served.iter().map(|version| format!("/apis/{version}")));
            paths.sort();
            Some(json!({"paths": paths}))
        }
        [version] if version == "version" => Some(json!({
            "major": env!("CARGO_PKG_VERSION_MAJOR"),
            "minor": env!("CARGO_PKG_VERSION_MINOR"),
            "gitVersion": concat!("v", env!("CARGO_PKG_VERSION")),
            "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        })),
        _ => None,
    }
}

/// Makes the answer to a request for values.
async fn values(app: &App, question: &str, target: &Target) -> Result<Made, RequestError> {
    match MetricRequest::parse(question)? {
        MetricRequest::Custom(request) => {
            let selector = target.first("labelSelector").unwrap_or_default();
            let mut known = app.engine.custom(&request, selector).await;
            if known.is_none() {
                let now = (app.clock)();
                known = custom::answer(&app.collector, &app.pods, &app.telemetry, &request, now).await;
            }
            let (metric, resource) = (&request.metric, &request.resource);
            let unknown = || {
                Err(RequestError::not_found(format!(
                    "the server could not find the metric {metric} for {resource}"
                )))
            };
            known.unwrap_or_else(unknown)
        }
        MetricRequest::External(request) => {
            let is_ruled =
                app.engine.book().is_some_and(|book| book.registry().external(&request.metric).is_some());
            let signal = app.collector.signal(&request.metric);
            match signal.filter(|_| app.external_signals && !is_ruled) {
                Some(signal) => external::answer(&gatherer(app), &signal, &request).await,
                None => app.engine.external(&request).await,
            }
        }
        MetricRequest::Resource(request) => {
            let selector = target.first("labelSelector").unwrap_or_default();
            app.engine.usage(&request, selector).await
        }
    }
}

fn gatherer(app: &App) -> Gatherer<'_> {
    let App { collector, pods, telemetry, clock, .. } = app;
    Gatherer { collector, pods, telemetry, now: clock() }
}

/// Returns who asks: by the front proxy's headers, a client certificate, a bearer token, or else nobody.
async fn authenticate(app: &App, peer: &Peer, headers: &HeaderMap) -> Result<User, RequestError> {
    let Some(trust) = app.trust.borrow().clone() else {
        return Err(custom::unavailable(
            "the authorities of client certificates are not read yet".to_owned(),
        ));
    };
    let refused = match peer.identity(&trust, app.clock.as_ref()).user(&trust, headers) {
        Ok(Some(user)) => return Ok(user),
        Ok(None) => None,
        Err(error) => Some(error.to_string()),
    };
    let refused = match (bearer_token(headers), refused) {
        (None, None) => return Ok(User::anonymous()),
        (None, Some(refused)) => refused,
        (Some(token), _) => match app.tokens.owner(token).await {
            Ok(Ok(user)) => return Ok(user),
            Ok(Err(refused)) => format!("bearer token: {refused}"),
            Err(error) => {
                tracing::error!(%error, "tokens cannot be checked: may the service account create tokenreviews?");
                return Err(RequestError::internal(error));
            }
        },
    };
    tracing::warn!(why = refused, "request not authenticated");
    Err(RequestError { code: 401, reason: "Unauthorized", message: format!("Unauthorized: {refused}") })
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

async fn authorize(app: &App, user: User, path: &str, target: &Target) -> Result<(), RequestError> {
    if app.authorizer.is_always_allowed(path) {
        return Ok(());
    }
    let question = (user, Attributes::of(path, target));
    match app.authorizer.authorize(&question).await {
        Ok(Verdict::Allowed) => Ok(()),
        Ok(Verdict::Denied(why)) => Err(forbidden(&question.0, &question.1, &why)),
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
    let mut custom: Vec<Exposed> = signals
        .iter()
        .map(|signal| Exposed { resource: "pods".to_owned(), metric: signal.name.clone(), namespaced: true })
        .chain(signals.iter().flat_map(|signal| object::exposed(signal)))
        .collect();
    let mut external: Vec<String> = Vec::new();
    if app.external_signals {
        external.extend(signals.iter().filter(|signal| has_total(signal)).map(|signal| signal.name.clone()));
    }
    let Some(book) = app.engine.book() else {
        return Discovery::new(custom, app.external_signals.then_some(external));
    };
    for exposed in book.registry().exposed() {
        if exposed.api == EXTERNAL_GROUP {
            external.push(exposed.name);
        } else if let Some((resource, metric)) = exposed.name.split_once('/') {
            let (resource, metric) = (resource.to_owned(), metric.to_owned());
            custom.push(Exposed { resource, metric, namespaced: exposed.namespaced });
        }
    }
    let rules = book.rules();
    let is_external = rules.asks.external || app.external_signals;
    Discovery::new(custom, is_external.then_some(external)).with_usage(rules.usage.is_some())
}

/// What a request counts as: its group and version, and its resource if it is one of few.
fn labels(target: &Target) -> (&'static str, &'static str) {
    let segments: Vec<&str> = target.segments().iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["apis", group, version, rest @ ..] => {
            let api = match (*group, *version) {
                (CUSTOM_GROUP, "v1beta1") => "custom.metrics.k8s.io/v1beta1",
                (CUSTOM_GROUP, "v1beta2") => "custom.metrics.k8s.io/v1beta2",
                (EXTERNAL_GROUP, "v1beta1") => "external.metrics.k8s.io/v1beta1",
                (RESOURCE_GROUP, "v1beta1") => "metrics.k8s.io/v1beta1",
                _ => return ("discovery", "discovery"),
            };
            let resource = match rest {
                [] => "discovery",
                ["namespaces", _, "pods" | "pod", ..] => "pods",
                ["namespaces", _, "metrics", _] => "namespaces",
                ["nodes", ..] => "nodes",
                _ => "other",
            };
            (api, resource)
        }
        ["apis", ..] => ("discovery", "discovery"),
        _ => ("other", "other"),
    }
}

#[cfg(test)]
mod tests;
