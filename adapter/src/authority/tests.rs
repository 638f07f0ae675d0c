use std::sync::Mutex;

use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;

use super::*;

/// A Secret and an `APIService` behind an API server; the first `conflicts` writes of the Secret come too late.
#[derive(Default)]
struct Fake {
    data: Mutex<Value>,
    bundle: Mutex<Value>,
    conflicts: Mutex<u32>,
    writes: Mutex<Vec<String>>,
}

impl Fake {
    fn client(self: &Arc<Self>) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let fake = fake.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let (code, answer) = fake.answer(&head.method, head.uri.path(), &body);
                let response = Response::builder().status(code).body(Body::from(answer.to_string()));
                response.map_err(|error| error.to_string())
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &Method, path: &str, body: &Value) -> (StatusCode, Value) {
        if method != Method::GET {
            self.writes.lock().expect("unpoisoned").push(format!("{method} {path}"));
        }
        if path.starts_with("/apis/apiregistration.k8s.io/v1/apiservices/") {
            let mut bundle = self.bundle.lock().expect("unpoisoned");
            if method == Method::PATCH {
                *bundle = body["spec"]["caBundle"].clone();
            }
            let spec = json!({"groupPriorityMinimum": 1, "versionPriority": 1, "caBundle": *bundle});
            return (StatusCode::OK, json!({"metadata": {"name": "v1.x"}, "spec": spec}));
        }
        assert_eq!(path, "/api/v1/namespaces/ns/secrets/tls");
        let mut conflicts = self.conflicts.lock().expect("unpoisoned");
        let mut data = self.data.lock().expect("unpoisoned");
        if method == Method::PUT {
            if *conflicts > 0 {
                *conflicts -= 1;
                *data = made(0);
                let status =
                    json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409});
                return (StatusCode::CONFLICT, status);
            }
            *data = body["data"].clone();
        }
        (StatusCode::OK, json!({"metadata": {"name": "tls", "resourceVersion": "1"}, "data": *data}))
    }

    fn writes(&self) -> Vec<String> {
        std::mem::take(&mut *self.writes.lock().expect("unpoisoned"))
    }
}

fn day(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + day * 24 * 3600).expect("in range")
}

fn named(text: &str) -> NamespacedName {
    text.parse().expect("sound")
}

/// What another replica wrote on that day.
fn made(on: i64) -> Value {
    let names: Vec<_> =
        ["adapter.ns.svc", "adapter.ns", "adapter.ns.svc.cluster.local"].map(str::to_owned).into();
    let pair = Pair::make(&names, day(on), &[]).expect("made");
    serde_json::to_value(pair.data()).expect("plain")
}

fn keeper(fake: &Arc<Fake>, now: &Arc<Mutex<Timestamp>>) -> Keeper {
    let places = Places {
        secret: named("ns/tls"),
        service: named("ns/adapter"),
        registrations: vec!["v1.x".to_owned()],
    };
    let now = now.clone();
    Keeper::new(fake.client(), places, Arc::new(move || *now.lock().expect("unpoisoned")))
}

const PUT: &str = "PUT /api/v1/namespaces/ns/secrets/tls";
const PATCH: &str = "PATCH /apis/apiregistration.k8s.io/v1/apiservices/v1.x";

#[tokio::test(start_paused = true)]
async fn a_certificate_is_made_told_kept_and_renewed() {
    let (fake, now) = (Arc::new(Fake::default()), Arc::new(Mutex::new(day(0))));
    let mut keeper = keeper(&fake, &now);
    let serving = ServingCertificate::new(keeper.begin().await);
    let (first, telemetry) = (serving.current(), Telemetry::default());
    assert_eq!(fake.writes(), [PUT], "made");
    keeper.round(&serving, &telemetry).await.expect("told");
    assert_eq!(fake.writes(), [PATCH], "told");
    keeper.round(&serving, &telemetry).await.expect("kept");
    assert_eq!(fake.writes(), [""; 0], "nothing is written when nothing changed");
    *now.lock().expect("unpoisoned") = day(250);
    keeper.round(&serving, &telemetry).await.expect("renewed");
    assert_eq!(fake.writes(), [PUT, PATCH], "renewed, and told before it is served");
    assert_ne!(serving.current().cert, first.cert);
    let bundle = keeper.current.as_ref().map(|pair| pair.bundle.matches("BEGIN").count());
    assert_eq!(bundle, Some(2), "who still serves the old one is believed");
}

#[tokio::test(start_paused = true)]
async fn replicas_agree_on_what_was_written_first() {
    let (fake, now) = (Arc::new(Fake::default()), Arc::new(Mutex::new(day(0))));
    *fake.conflicts.lock().expect("unpoisoned") = 1;
    let mut keeper = keeper(&fake, &now);
    keeper.begin().await;
    assert_eq!(fake.writes(), [PUT], "too late");
    let stored = fake.data.lock().expect("unpoisoned").clone();
    let ours = keeper.current.as_ref().map(|pair| serde_json::to_value(pair.data()).expect("plain"));
    assert_eq!(ours, Some(stored), "the other replica's");
}

#[tokio::test(start_paused = true)]
async fn an_emptied_secret_is_filled_again_and_the_served_certificate_stays_believed() {
    let (fake, now) = (Arc::new(Fake::default()), Arc::new(Mutex::new(day(0))));
    let mut keeper = keeper(&fake, &now);
    let serving = ServingCertificate::new(keeper.begin().await);
    *fake.data.lock().expect("unpoisoned") = Value::Null;
    keeper.round(&serving, &Telemetry::default()).await.expect("made again");
    let bundle = keeper.current.as_ref().map(|pair| pair.bundle.matches("BEGIN").count());
    assert_eq!(bundle, Some(2));
}
