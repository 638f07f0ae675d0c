//! The endpoints for probes and Prometheus: `/livez`, `/readyz`, `/metrics`; and for people, on loopback: `/snapshots/NAMESPACE/NAME`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rbg_autoscaler::metrics::collector::Clock;
use tokio::sync::{mpsc, oneshot};

use crate::{
    cache::store::ObjectKey,
    health::Health,
    live::{NoDecision, Question},
    telemetry::{CONTENT_TYPE, Telemetry},
};

/// How long a decision may let wait who asked for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the endpoints answer from.
#[derive(Clone)]
pub struct Served {
    /// Whether the loop lives and is ready.
    pub health: Arc<Health>,
    /// The controller's own metrics.
    pub telemetry: Arc<Telemetry>,
    /// Reads the wall clock.
    pub clock: Clock,
}

/// Returns the endpoints that everybody may reach.
pub fn router(served: Served) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/healthz", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(served)
}

/// Returns the endpoint that answers with everything a decision sees, taking questions to the loop. It asks nobody who they are.
pub fn snapshots(questions: mpsc::Sender<Question>) -> Router {
    Router::new().route("/snapshots/{namespace}/{name}", get(snapshot)).with_state(questions)
}

async fn livez(State(served): State<Served>) -> Response {
    answer(served.health.not_alive((served.clock)()))
}

async fn readyz(State(served): State<Served>) -> Response {
    answer(served.health.not_ready())
}

fn answer(problem: Option<String>) -> Response {
    match problem {
        None => "ok".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    match served.telemetry.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Answers with the next decision on a policy, or on the group of that name.
async fn snapshot(
    State(questions): State<mpsc::Sender<Question>>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let (reply, answer) = oneshot::channel();
    let about = ObjectKey::new(namespace, name);
    if questions.try_send(Question { about, reply }).is_err() {
        return (StatusCode::TOO_MANY_REQUESTS, "too many people ask at the same time; try again")
            .into_response();
    }
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(Ok(live))) => Json(live).into_response(),
        Ok(Ok(Err(why))) => {
            let code = match why {
                NoDecision::Unknown(_) => StatusCode::NOT_FOUND,
                NoDecision::StandsBy => StatusCode::MISDIRECTED_REQUEST,
                NoDecision::Undecided(..) => StatusCode::CONFLICT,
            };
            (code, why.to_string()).into_response()
        }
        _ => {
            let why =
                "no decision was made within 20 s: caches are filled, or a write is under way; try again";
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use jiff::Timestamp;
    use tower::ServiceExt;

    use super::*;

    async fn ask(served: &Served, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router(served.clone()).oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn probes_and_metrics() {
        let served = Served {
            health: Arc::new(Health::new(Timestamp::UNIX_EPOCH)),
            telemetry: Arc::default(),
            clock: Arc::new(|| Timestamp::UNIX_EPOCH),
        };
        assert_eq!(ask(&served, "/livez").await, (StatusCode::OK, "ok".to_owned()));
        let (status, why) = ask(&served, "/readyz").await;
        assert_eq!((status, why.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "waiting for the first lists"));
        served.health.waits_for(&[]);
        assert_eq!(ask(&served, "/readyz").await.0, StatusCode::OK);
        served.telemetry.error("conflict");
        let (status, text) = ask(&served, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("rbg_autoscaler_errors_total{class=\"conflict\"} 1"), "{text}");
        assert_eq!(ask(&served, "/snapshots/a/demo").await.0, StatusCode::NOT_FOUND, "on loopback only");
    }
}
