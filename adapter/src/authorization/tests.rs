use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;

use super::*;

/// Allows jane, denies others, and cannot tell about `broken`.
#[derive(Default)]
struct Fake {
    asked: AtomicUsize,
    /// What it says of jane now.
    changed_mind: Mutex<Option<Result<Verdict, String>>>,
}

impl Reviewer for Fake {
    fn review<'a>(&'a self, user: &'a User, _: &'a Attributes) -> BoxFuture<'a, Result<Verdict, String>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            match user.name.as_str() {
                "jane" => {
                    let changed = self.changed_mind.lock().expect("not poisoned").clone();
                    changed.unwrap_or(Ok(Verdict::Allowed))
                }
                "broken" => Err("connection refused".to_owned()),
                _ => Ok(Verdict::Denied("no rule".to_owned())),
            }
        }
        .boxed()
    }
}

fn authorizer() -> (Arc<Fake>, Authorizer) {
    let fake = Arc::new(Fake::default());
    let memory = Memory { allowed: Duration::from_secs(30), denied: Duration::from_secs(10) };
    (fake.clone(), Authorizer::new(fake, memory, vec!["/healthz".to_owned(), "/open/*".to_owned()]))
}

fn user(name: &str) -> User {
    User { name: name.to_owned(), ..User::default() }
}

fn attributes(path: &str) -> Attributes {
    Attributes::of(path, &Target::parse(path).expect("parses"))
}

#[test]
fn derives_attributes_as_kube_apiserver_does() {
    let custom = "/apis/custom.metrics.k8s.io/v1beta2";
    let external = "/apis/external.metrics.k8s.io/v1beta1";
    for (path, want) in [
        (
            format!("{custom}/namespaces/a/pods/%2A/q"),
            r#"get resource "pods/q" in API group "custom.metrics.k8s.io" in the namespace "a""#,
        ),
        (
            format!("{custom}/namespaces/a/metrics/q"),
            r#"get resource "metrics" in API group "custom.metrics.k8s.io" in the namespace "a""#,
        ),
        (
            format!("{custom}/nodes/n1/q"),
            r#"get resource "nodes/q" in API group "custom.metrics.k8s.io" at the cluster scope"#,
        ),
        (
            format!("{external}/namespaces/a/q"),
            r#"list resource "q" in API group "external.metrics.k8s.io" in the namespace "a""#,
        ),
        (custom.to_owned(), r#"get path "/apis/custom.metrics.k8s.io/v1beta2""#),
        ("/metrics".to_owned(), r#"get path "/metrics""#),
    ] {
        assert_eq!(attributes(&path).to_string(), want, "{path}");
    }
    let Attributes::Resource { name, .. } = attributes(&format!("{custom}/namespaces/a/pods/%2A/q")) else {
        panic!("a resource");
    };
    assert_eq!(name, "*");
}

#[tokio::test(start_paused = true)]
async fn equal_questions_at_once_are_asked_once_and_remembered_for_a_while() {
    let (fake, authorizer) = authorizer();
    let what = |name: &str| (user(name), attributes("/apis/custom.metrics.k8s.io/v1beta1/nodes/n/q"));
    let (jane, joe) = (what("jane"), what("joe"));
    let (first, second) = tokio::join!(authorizer.authorize(&jane), authorizer.authorize(&jane));
    assert_eq!((first, second), (Ok(Verdict::Allowed), Ok(Verdict::Allowed)));
    assert_eq!(fake.asked.load(Ordering::Relaxed), 1);
    tokio::time::advance(Duration::from_secs(14)).await;
    authorizer.authorize(&jane).await.expect("an answer");
    assert_eq!(fake.asked.load(Ordering::Relaxed), 1, "still remembered");
    tokio::time::advance(Duration::from_secs(17)).await;
    authorizer.authorize(&jane).await.expect("an answer");
    assert_eq!(fake.asked.load(Ordering::Relaxed), 2, "asked again");

    let denied = authorizer.authorize(&joe).await;
    assert_eq!(denied, Ok(Verdict::Denied("no rule".to_owned())));
    tokio::time::advance(Duration::from_secs(11)).await;
    authorizer.authorize(&joe).await.expect("an answer");
    assert_eq!(fake.asked.load(Ordering::Relaxed), 4, "refusals are forgotten sooner");
}

#[tokio::test(start_paused = true)]
async fn a_permission_in_use_is_renewed_before_its_time_is_up() {
    let (fake, authorizer) = authorizer();
    let jane = (user("jane"), attributes("/apis/custom.metrics.k8s.io/v1beta1/nodes/n/q"));
    let asked = || fake.asked.load(Ordering::Relaxed);
    authorizer.authorize(&jane).await.expect("an answer");
    for round in 1..=4 {
        tokio::time::advance(Duration::from_secs(16)).await;
        let before = tokio::time::Instant::now();
        for _ in 0..3 {
            assert_eq!(authorizer.authorize(&jane).await, Ok(Verdict::Allowed));
        }
        assert_eq!(before.elapsed(), Duration::ZERO, "nobody waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(asked(), 1 + round, "one renewal");
    }
    *fake.changed_mind.lock().expect("not poisoned") = Some(Ok(Verdict::Denied("fired".to_owned())));
    tokio::time::advance(Duration::from_secs(16)).await;
    assert_eq!(authorizer.authorize(&jane).await, Ok(Verdict::Allowed), "as was said less than 30 s ago");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(authorizer.authorize(&jane).await, Ok(Verdict::Denied("fired".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_tried_again_now_and_then() {
    let (fake, authorizer) = authorizer();
    let jane = (user("jane"), attributes("/apis/custom.metrics.k8s.io/v1beta1/nodes/n/q"));
    authorizer.authorize(&jane).await.expect("an answer");
    *fake.changed_mind.lock().expect("not poisoned") = Some(Err("connection refused".to_owned()));
    for (millis, asked) in [(16_000, 1), (500, 2), (600, 2), (20, 3), (500, 3)] {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        assert_eq!(authorizer.authorize(&jane).await, Ok(Verdict::Allowed), "known for 30 s");
        assert_eq!(fake.asked.load(Ordering::Relaxed), asked, "after another {millis} ms");
    }
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert_eq!(authorizer.authorize(&jane).await, Err("connection refused".to_owned()), "its time is up");
}

#[tokio::test(start_paused = true)]
async fn a_failed_review_is_not_remembered() {
    let (fake, authorizer) = authorizer();
    for asked in 1..=2 {
        let verdict = authorizer.authorize(&(user("broken"), attributes("/metrics"))).await;
        assert_eq!(verdict, Err("connection refused".to_owned()));
        assert_eq!(fake.asked.load(Ordering::Relaxed), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn masters_pass_and_open_paths_are_open() {
    let (fake, authorizer) = authorizer();
    let master = User { groups: vec![MASTERS.to_owned()], ..user("root") };
    assert_eq!(authorizer.authorize(&(master, attributes("/metrics"))).await, Ok(Verdict::Allowed));
    assert_eq!(fake.asked.load(Ordering::Relaxed), 0);
    for (path, open) in [("/healthz", true), ("/healthz/x", false), ("/open/x", true), ("/metrics", false)] {
        assert_eq!(authorizer.is_always_allowed(path), open, "{path}");
    }
}
