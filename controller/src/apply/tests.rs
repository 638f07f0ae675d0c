//! Apply against a fake API server that records what it is asked.

use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::json;

use super::*;

type Seen = Arc<Mutex<Vec<String>>>;

/// A client whose requests are recorded as `METHOD path body` and answered by `answer`.
fn client(
    answer: impl Fn(&str) -> (StatusCode, serde_json::Value) + Clone + Send + 'static,
) -> (Client, Seen) {
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (record, answer) = (Arc::clone(&record), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            let line = format!("{} {} {}", parts.method, parts.uri.path(), String::from_utf8_lossy(&body));
            let (code, answer) = answer(&line);
            record.lock().expect("not poisoned").push(line);
            let answer = Body::from(serde_json::to_vec(&answer).expect("JSON"));
            Ok::<_, std::convert::Infallible>(
                Response::builder().status(code).body(answer).expect("a response"),
            )
        }
    });
    (Client::new(service, "default"), seen)
}

fn accept(line: &str) -> (StatusCode, serde_json::Value) {
    let answer = if line.contains("/scale ") {
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "x", "resourceVersion": "8"}})
    } else {
        json!({"apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup",
            "metadata": {"name": "demo", "generation": 4}, "spec": {"roles": []}})
    };
    (StatusCode::OK, answer)
}

fn refuse(code: StatusCode) -> (StatusCode, serde_json::Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "Conflict", "code": code.as_u16()});
    (code, status)
}

fn in_group(role: &str, place: usize, from: u32, to: u32) -> RoleWrite {
    let target = Target::Group { place };
    RoleWrite { role: role.to_owned(), target, from: Replicas::new(from), to: Replicas::new(to) }
}

fn in_adapter(role: &str, from: u32, to: u32) -> RoleWrite {
    let target = Target::ScalingAdapter { name: format!("demo-{role}"), resource_version: "7".to_owned() };
    RoleWrite { role: role.to_owned(), target, from: Replicas::new(from), to: Replicas::new(to) }
}

fn told(written: &[Written]) -> Vec<(&str, &'static str)> {
    written
        .iter()
        .map(|written| {
            let outcome = written.outcome.as_ref().map_or_else(ApplyError::class, |_| "written");
            (written.write.role.as_str(), outcome)
        })
        .collect()
}

#[tokio::test]
async fn lowers_before_it_raises_and_writes_nothing_for_no_change() {
    let (client, seen) = client(accept);
    let writes = vec![
        in_group("prefill", 0, 4, 8),
        in_group("decode", 1, 8, 4),
        in_group("router", 2, 2, 2),
        in_adapter("embed", 3, 1),
    ];
    let written = apply(&client, "serving", "demo", writes).await;
    assert_eq!(told(&written), [("decode", "written"), ("embed", "written"), ("prefill", "written")]);
    assert_eq!(written[0].outcome.as_ref().ok(), Some(&Version::Generation(4)));
    assert_eq!(written[1].outcome.as_ref().ok(), Some(&Version::After("7".to_owned())));
    insta::assert_yaml_snapshot!(*seen.lock().expect("not poisoned"), @r#"
    - "PATCH /apis/workloads.x-k8s.io/v1alpha2/namespaces/serving/rolebasedgroups/demo [{\"op\":\"test\",\"path\":\"/spec/roles/1/name\",\"value\":\"decode\"},{\"op\":\"test\",\"path\":\"/spec/roles/1/replicas\",\"value\":8},{\"op\":\"replace\",\"path\":\"/spec/roles/1/replicas\",\"value\":4}]"
    - "PUT /apis/workloads.x-k8s.io/v1alpha2/namespaces/serving/rolebasedgroupscalingadapters/demo-embed/scale {\"apiVersion\":\"autoscaling/v1\",\"kind\":\"Scale\",\"metadata\":{\"name\":\"demo-embed\",\"namespace\":\"serving\",\"resourceVersion\":\"7\"},\"spec\":{\"replicas\":1}}"
    - "PATCH /apis/workloads.x-k8s.io/v1alpha2/namespaces/serving/rolebasedgroups/demo [{\"op\":\"test\",\"path\":\"/spec/roles/0/name\",\"value\":\"prefill\"},{\"op\":\"test\",\"path\":\"/spec/roles/0/replicas\",\"value\":4},{\"op\":\"replace\",\"path\":\"/spec/roles/0/replicas\",\"value\":8}]"
    "#);
}

#[tokio::test]
async fn nothing_to_change_asks_nothing() {
    let (client, seen) = client(accept);
    let written = apply(&client, "serving", "demo", vec![in_group("decode", 0, 4, 4)]).await;
    assert!(written.is_empty() && seen.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_refused_lowering_postpones_every_raise() {
    let (client, seen) =
        client(|line| if line.contains("/scale ") { refuse(StatusCode::CONFLICT) } else { accept(line) });
    let writes = vec![in_adapter("decode", 8, 4), in_group("prefill", 0, 4, 8)];
    let written = apply(&client, "serving", "demo", writes).await;
    assert_eq!(told(&written), [("decode", "conflict"), ("prefill", "postponed")]);
    assert_eq!(seen.lock().expect("not poisoned").len(), 1, "the raise was not asked for");
}

#[tokio::test]
async fn a_failed_test_operation_is_a_conflict_of_every_role_in_the_patch() {
    let (client, _) = client(|_| refuse(StatusCode::UNPROCESSABLE_ENTITY));
    let writes = vec![in_group("decode", 1, 4, 8), in_group("prefill", 0, 4, 8)];
    let written = apply(&client, "serving", "demo", writes).await;
    assert_eq!(told(&written), [("decode", "conflict"), ("prefill", "conflict")]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let service = tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, std::io::Error>>()
    });
    let client = Client::new(service, "default");
    let written = apply(&client, "serving", "demo", vec![in_adapter("decode", 8, 4)]).await;
    assert_eq!(told(&written), [("decode", "timeout")]);
}
