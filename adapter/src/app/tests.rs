use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use futures::{FutureExt, future::BoxFuture};
use http::StatusCode;
use http_body_util::BodyExt;
use jiff::Timestamp;
use rbg_autoscaler::{
    metrics::{
        Sample, Signal, SourceError, catalog, collector,
        prometheus::{PrometheusClient, Settings},
        source::{Answer, Source},
    },
    units::MilliValue,
};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use tower::ServiceExt;

use super::*;
use crate::{
    authentication::token::{Owner, TokenReviewer},
    authorization::{Memory, Reviewer},
    engine::objects::ObjectLister,
    pods::{Pod, Pods},
    rules::resources::ObjectKind,
};

const NOW: &str = "2026-11-20T10:00:30Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// p1 and p2 have values, p3's is stale, reborn's is older than the pod; down when told so.
#[derive(Default)]
struct Engines {
    is_down: Mutex<bool>,
}

impl Source for Engines {
    fn collect<'a>(&'a self, signal: &'a Signal, _: Timestamp) -> BoxFuture<'a, Result<Answer, SourceError>> {
        if *self.is_down.lock().expect("not poisoned") {
            let (source_name, cause) =
                ("prometheus at http://p:9090".to_owned(), "connection refused".to_owned());
            return futures::future::ready(Err(SourceError::Unreachable { source_name, cause })).boxed();
        }
        let sample = |milli, time| Sample { value: MilliValue::from_milli(milli), time: at(time) };
        let mut samples = vec![
            ("a", "p1", sample(12_500, "2026-11-20T10:00:25Z")),
            ("a", "p2", sample(3000, "2026-11-20T10:00:24Z")),
            ("a", "p3", sample(9000, "2026-11-20T09:59:00Z")),
            ("a", "reborn", sample(7000, "2026-11-20T10:00:10Z")),
            ("a", "gone", sample(7000, "2026-11-20T10:00:25Z")),
            ("b", "p1", sample(1000, "2026-11-20T10:00:25Z")),
        ];
        if signal.name == "kv_cache_usage" {
            samples.clear();
        }
        futures::future::ready(Ok(Answer { samples: samples.into_iter().collect(), ..Answer::default() }))
            .boxed()
    }

    fn name(&self) -> String {
        "engines".to_owned()
    }
}

/// Allows `hpa` everything, and nobody else anything.
struct OnlyHpa;

impl Reviewer for OnlyHpa {
    fn review<'a>(&'a self, user: &'a User, _: &'a Attributes) -> BoxFuture<'a, Result<Verdict, String>> {
        let allowed = user.name == "hpa";
        let verdict = if allowed { Verdict::Allowed } else { Verdict::Denied(String::new()) };
        futures::future::ready(Ok(verdict)).boxed()
    }
}

/// Knows one token.
struct OneToken;

impl TokenReviewer for OneToken {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Owner, String>> {
        let owner = if token == "t0ken" {
            Ok(User { name: "hpa".to_owned(), ..User::default() })
        } else {
            Err("unknown token".to_owned())
        };
        futures::future::ready(Ok(owner)).boxed()
    }
}

/// A cluster without other objects.
struct NoObjects;

impl ObjectLister for NoObjects {
    fn list<'a>(
        &'a self,
        _: &'a ObjectKind,
        _: Option<&'a str>,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        futures::future::ready(Ok(Vec::new())).boxed()
    }
}

struct World {
    app: Arc<App>,
    engines: Arc<Engines>,
    peer: Arc<Peer>,
}

fn pod(role: &str, started: &str) -> Arc<Pod> {
    let labels = [("app", "web"), ("role", role)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Arc::new(Pod::new(labels.into(), Some(at(started))))
}

fn front_proxy() -> (Trust, CertificateDer<'static>) {
    let authority = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = params.self_signed(&authority).expect("a certificate").pem();
    let issuer = Issuer::new(params, authority);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "front-proxy");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&KeyPair::generate().expect("a key"), &issuer).expect("a certificate");
    let data = [
        ("requestheader-client-ca-file", pem.as_str()),
        ("requestheader-username-headers", r#"["X-Remote-User"]"#),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
    ];
    let data: BTreeMap<_, _> = data.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    (Trust::from_config_map(&data).expect("usable"), certificate.der().clone())
}

fn world() -> World {
    let clock: Clock = Arc::new(|| at(NOW));
    let engines = Arc::new(Engines::default());
    let options = collector::Options::every(Duration::from_secs(15), clock.clone());
    let collector = Collector::new(engines.clone(), catalog::built_in(catalog::RATE_WINDOW), options);
    let running = collector.clone();
    tokio::spawn(async move { running.run().await });
    let started = "2026-11-20T09:00:00Z";
    let of_a: Pods = [
        ("p1", pod("decode", started)),
        ("p2", pod("decode", started)),
        ("p3", pod("decode", started)),
        ("reborn", pod("decode", "2026-11-20T10:00:20Z")),
        ("silent", pod("router", started)),
    ]
    .map(|(name, pod)| (name.to_owned(), pod))
    .into();
    let pods = Arc::new(PodCache::default());
    pods.replace(HashMap::from([("a".to_owned(), of_a)]));
    let (trust, certificate) = front_proxy();
    let memory = Memory { allowed: Duration::from_secs(10), denied: Duration::from_secs(10) };
    let authorizer = Authorizer::new(Arc::new(OnlyHpa), memory, vec!["/healthz".to_owned()]);
    let trust = watch::channel(Some(Arc::new(trust))).1;
    let prometheus = Settings::new("http://127.0.0.1:1", Duration::from_secs(1));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let prometheus = Arc::new(PrometheusClient::new(prometheus).expect("a client"));
    let engine =
        Engine::new(prometheus, Arc::new(NoObjects), pods.clone(), Duration::from_secs(15), clock.clone());
    let engine = Arc::new(engine);
    let tokens = Tokens::new(Arc::new(OneToken), Duration::from_secs(10));
    let telemetry = Telemetry::default();
    let answers = Answers::default();
    let room = Room::default();
    let app = App {
        collector,
        engine,
        pods,
        trust,
        tokens,
        authorizer,
        answers,
        external_signals: false,
        telemetry,
        clock,
        room,
    };
    let app = Arc::new(app);
    World { app, engines, peer: Arc::new(Peer::new(vec![certificate])) }
}

impl World {
    /// The same app once more, to be changed.
    fn apart(&self) -> App {
        let app = &self.app;
        let memory = Memory { allowed: Duration::from_secs(10), denied: Duration::from_secs(10) };
        App {
            collector: app.collector.clone(),
            engine: app.engine.clone(),
            pods: app.pods.clone(),
            trust: app.trust.clone(),
            tokens: Tokens::new(Arc::new(OneToken), Duration::from_secs(10)),
            authorizer: Authorizer::new(Arc::new(OnlyHpa), memory, Vec::new()),
            answers: Answers::default(),
            external_signals: app.external_signals,
            telemetry: app.telemetry.clone(),
            clock: app.clock.clone(),
            room: Room::default(),
        }
    }

    async fn ask(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        peer: Arc<Peer>,
    ) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.extension(peer).body(Body::empty()).expect("a request");
        let response = router(self.app.clone()).oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    /// Asks as the HPA controller, through the front proxy.
    async fn get(&self, path: &str) -> String {
        let (status, _, body) = self.ask(path, &[("x-remote-user", "hpa")], self.peer.clone()).await;
        format!("{} {body}", status.as_u16())
    }
}

const V1: &str = "/apis/custom.metrics.k8s.io/v1beta1";
const V2: &str = "/apis/custom.metrics.k8s.io/v1beta2";

#[tokio::test(start_paused = true)]
async fn the_hpa_s_request() {
    let world = world();
    let selector = "labelSelector=app%3Dweb%2Crole+in+%28decode%29";
    insta::assert_snapshot!(
        "pods_v1beta1",
        world.get(&format!("{V1}/namespaces/a/pods/%2A/queue_length?{selector}")).await
    );
    insta::assert_snapshot!(
        "pods_v1beta2",
        world.get(&format!("{V2}/namespaces/a/pods/*/qps?{selector}")).await
    );
    insta::assert_snapshot!(
        "one_pod",
        world.get(&format!("{V2}/namespaces/a/pods/p2/queue_length?pretty=true")).await
    );
}

#[tokio::test(start_paused = true)]
async fn no_data_is_an_empty_list_or_a_404_that_says_why() {
    let world = world();
    for (name, path) in [
        ("nothing_known_of_all", format!("{V2}/namespaces/a/pods/*/kv_cache_usage")),
        ("no_pod_matches", format!("{V2}/namespaces/a/pods/*/queue_length?labelSelector=app%3Dother")),
        ("no_such_pod", format!("{V2}/namespaces/a/pods/gone/queue_length")),
        ("stale_pod", format!("{V2}/namespaces/a/pods/p3/queue_length")),
        ("older_than_its_pod", format!("{V2}/namespaces/a/pods/reborn/queue_length")),
        ("no_such_metric", format!("{V2}/namespaces/a/pods/*/frobs")),
        ("metric_selector", format!("{V2}/namespaces/a/pods/*/qps?metricLabelSelector=a%3E1")),
        ("bad_selector", format!("{V2}/namespaces/a/pods/*/qps?labelSelector=a%3D%3D%3Db")),
        ("no_such_path", "/apis/apps/v1".to_owned()),
    ] {
        insta::assert_snapshot!(name, world.get(&path).await);
    }
}

/// Parameters and headers that clients send, whether they mean anything here or not.
#[tokio::test(start_paused = true)]
async fn what_clients_add_to_a_request() {
    let world = world();
    let all = format!("{V2}/namespaces/a/pods/*/queue_length");
    let one = format!("{V2}/namespaces/a/pods/p2/queue_length");
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let external = "/apis/external.metrics.k8s.io/v1beta1/namespaces/a/queue";
    for (path, accept, code, part) in [
        (format!("{all}?labelSelector=role%3Drouter"), "", 200, r#""items":[]"#),
        (format!("{all}?labelSelector=role%3Dnobody"), "", 404, "no pod in namespace a"),
        (format!("{one}?labelSelector=role%3Dnobody"), "", 200, r#""value":"3""#),
        (format!("{one}?fieldSelector=metadata.name%3Dp2"), "", 200, r#""value":"3""#),
        (format!("{one}?fieldSelector=metadata.name%3Dp1"), "", 400, "fieldSelector"),
        (format!("{one}?fieldSelector=spec.nodeName%3Dn"), "", 400, "fieldSelector"),
        (
            format!("{one}?selector=nothing&timeout=32s&limit=500&resourceVersion=0&watch=false"),
            "",
            200,
            r#""value":"3""#,
        ),
        (format!("{one}/"), "", 200, r#""value":"3""#),
        (one.replace("queue", "%71ueue"), "", 200, r#""value":"3""#),
        (one.clone(), "application/vnd.kubernetes.protobuf, */*", 200, r#""value":"3""#),
        (one.clone(), "application/vnd.kubernetes.protobuf,application/json", 200, r#""value":"3""#),
        (one.clone(), table, 200, r#""kind":"MetricValueList""#),
        (one.clone(), "application/vnd.kubernetes.protobuf", 406, "application/json"),
        (format!("{V2}?timeout=32s"), "", 200, r#""kind":"APIResourceList""#),
        (format!("{V2}/"), "", 200, r#""kind":"APIResourceList""#),
        ("/apis/".to_owned(), "", 200, r#""kind":"APIGroupList""#),
        (format!("{external}?watch=true"), "", 405, "MethodNotAllowed"),
        (format!("{V2}/namespaces/a/pods"), "", 400, "invalid request path"),
        (format!("{V2}/namespaces/a/pods/p1"), "", 404, "NotFound"),
        (format!("{V2}/nodes/n1"), "", 404, "NotFound"),
        (format!("{V2}/namespaces/a/pods/p1/a%2Fb"), "", 404, "NotFound"),
        ("/debug/pprof/heap".to_owned(), "", 404, "NotFound"),
    ] {
        let headers = [("x-remote-user", "hpa"), ("accept", accept)];
        let (status, headers, body) = world.ask(&path, &headers, world.peer.clone()).await;
        assert!(status.as_u16() == code && body.contains(part), "{path} {accept}: {status} {body}");
        assert_eq!(headers[header::CONTENT_TYPE], JSON, "{path}");
        if code >= 400 {
            let status: Value = serde_json::from_str(&body).expect("JSON");
            let whole = (&status["kind"], &status["apiVersion"], &status["status"], &status["code"]);
            assert_eq!(whole, (&json!("Status"), &json!("v1"), &json!("Failure"), &json!(code)), "{path}");
        }
    }
}

/// kube-apiserver probes discovery to know whether the API is there: every kubectl would complain if an outage took it away.
#[tokio::test(start_paused = true)]
async fn discovery_does_not_need_the_source() {
    let world = world();
    *world.engines.is_down.lock().expect("not poisoned") = true;
    world.get(&format!("{V2}/namespaces/a/pods/*/queue_length")).await;
    let mut unread = world.apart();
    unread.pods = Arc::default();
    let unread = World { app: Arc::new(unread), ..world };
    for path in ["/apis", "/apis/custom.metrics.k8s.io", V1, V2, "/openapi/v2", "/openapi/v3"] {
        assert!(unread.get(path).await.starts_with("200 "), "{path}");
    }
    let values = unread.get(&format!("{V2}/namespaces/a/pods/*/queue_length")).await;
    assert!(values.starts_with("503 ") && values.contains("not listed yet"), "{values}");
}

#[tokio::test(start_paused = true)]
async fn the_cause_of_an_outage_is_the_message() {
    let world = world();
    *world.engines.is_down.lock().expect("not poisoned") = true;
    insta::assert_snapshot!(
        "prometheus_down",
        world.get(&format!("{V2}/namespaces/a/pods/*/queue_length")).await
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_not_believed_or_may_not_gets_a_status() {
    let world = world();
    let path = format!("{V2}/namespaces/a/pods/*/queue_length");
    let named = [("x-remote-user", "hpa"), ("x-remote-group", "system:masters")];
    let nobody = Arc::new(Peer::default());
    let (status, _, body) = world.ask(&path, &named, nobody.clone()).await;
    assert_eq!(status, 403, "headers without the front proxy's certificate are nothing: {body}");
    insta::assert_snapshot!("anonymous", body);
    let (status, _, body) = world.ask(&path, &[("x-remote-user", "joe")], world.peer.clone()).await;
    assert_eq!(status, 403);
    insta::assert_snapshot!("forbidden", body);
    let (status, _, body) = world.ask("/metrics", &[("x-remote-user", "joe")], world.peer.clone()).await;
    assert_eq!(status, 403);
    insta::assert_snapshot!("forbidden_path", body);
    let stranger = Arc::new(Peer::new(vec![front_proxy().1]));
    let (status, _, body) = world.ask(&path, &named, stranger).await;
    assert_eq!(status, 401);
    insta::assert_snapshot!("unauthorized", body);
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(world.ask(path, &[], nobody.clone()).await.0, 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_source_is_told_but_does_not_count() {
    let world = world();
    *world.engines.is_down.lock().expect("not poisoned") = true;
    world.get(&format!("{V2}/namespaces/a/pods/*/queue_length")).await;
    let (status, _, body) = world.ask("/readyz?verbose", &[], Arc::new(Peer::default())).await;
    assert_eq!(status, 200);
    insta::assert_snapshot!(body, @r"
    [+]ping ok
    [+]pods ok
    [+]authentication ok
    [ ]the source of metrics is failing: queue_length (unreachable)
    [ ]external.metrics.k8s.io is not served: the configuration has no externalRules
    [ ]metrics.k8s.io is not served: the configuration has no resourceRules
    readyz check passed
    ");
    let (_, _, body) = world.ask("/livez?verbose=true", &[], Arc::new(Peer::default())).await;
    assert_eq!(body, "[+]ping ok\nlivez check passed\n");
}

#[tokio::test(start_paused = true)]
async fn checks_of_health_in_the_forms_of_kube_apiserver() {
    let world = world();
    let nobody = Arc::new(Peer::default());
    for (path, code, want) in [
        ("/healthz", 200, "ok"),
        ("/livez/ping", 200, "ok"),
        ("/healthz/ping", 200, "ok"),
        ("/readyz/ping", 200, "ok"),
        ("/readyz/authentication", 200, "ok"),
        ("/livez/pods", 404, "404 page not found\n"),
        ("/readyz/prometheus", 404, "404 page not found\n"),
        ("/livez?verbose", 200, "[+]ping ok\nlivez check passed\n"),
        ("/livez?verbose=false", 200, "ok"),
        ("/livez?exclude=ping&verbose", 200, "[+]ping excluded: ok\nlivez check passed\n"),
        (
            "/livez?exclude=pong&verbose",
            200,
            "[+]ping ok\nwarn: there is no check \"pong\" to exclude\nlivez check passed\n",
        ),
    ] {
        let (status, _, body) = world.ask(path, &[], nobody.clone()).await;
        assert_eq!((status.as_u16(), body.as_str()), (code, want), "{path}");
    }
    let mut unready = world.apart();
    unready.trust = watch::channel(None).1;
    let unready = World { app: Arc::new(unready), ..world };
    let listing = "[+]ping ok\n[+]pods ok\n[-]authentication failed: the ConfigMap of the aggregation layer is not read yet\n\
        readyz check failed\n";
    for (path, code, want) in [
        ("/readyz", 503, listing),
        ("/readyz/pods", 200, "ok"),
        (
            "/readyz/authentication",
            503,
            "authentication failed: the ConfigMap of the aggregation layer is not read yet\n",
        ),
        ("/readyz?exclude=authentication", 200, "ok"),
        ("/livez", 200, "ok"),
    ] {
        let (status, _, body) = unready.ask(path, &[], nobody.clone()).await;
        assert_eq!((status.as_u16(), body.as_str()), (code, want), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_is_told_to_come_back() {
    let world = world();
    let path = format!("{V2}/namespaces/a/pods/*/queue_length");
    let all = world.app.room.0.try_acquire_many(400).expect("nobody is there");
    let (status, headers, body) = world.ask(&path, &[("x-remote-user", "hpa")], world.peer.clone()).await;
    assert_eq!((status, headers[header::RETRY_AFTER].as_bytes()), (StatusCode::TOO_MANY_REQUESTS, &b"1"[..]));
    assert!(body.contains(r#""reason":"TooManyRequests""#), "{body}");
    assert_eq!(world.ask("/livez", &[], world.peer.clone()).await.0, 200, "probes are not turned away");
    drop(all);
    assert!(world.get(&path).await.starts_with("200 "));
}

#[tokio::test(start_paused = true)]
async fn people_find_their_way() {
    let world = world();
    let paths = world.get("/").await;
    for path in ["/apis/custom.metrics.k8s.io/v1beta2", "/apis", "/readyz", "/openapi/v3"] {
        assert!(paths.contains(&format!("{path:?}")), "{paths}");
    }
    assert!(!paths.contains(EXTERNAL_GROUP), "what is not served is not listed: {paths}");
    let version = world.get("/version").await;
    assert!(version.contains(concat!(r#""gitVersion":"v"#, env!("CARGO_PKG_VERSION"))), "{version}");
    assert_eq!(world.ask("/version", &[("x-remote-user", "joe")], world.peer.clone()).await.0, 403);
    for (agent, query, is_pretty) in [
        ("curl/8.5.0", "", true),
        ("Mozilla/5.0 (X11)", "", true),
        ("curl/8.5.0", "?pretty=false", false),
        ("kubectl/v1.35", "", false),
        ("kubectl/v1.35", "?pretty", true),
        ("kubectl/v1.35", "?pretty=1", true),
    ] {
        let headers = [("x-remote-user", "hpa"), ("user-agent", agent)];
        for path in [V2.to_owned(), format!("{V2}/namespaces/a/pods/*/qps")] {
            let (_, _, body) = world.ask(&format!("{path}{query}"), &headers, world.peer.clone()).await;
            assert_eq!(body.starts_with("{\n  "), is_pretty, "{agent} {path}{query}: {body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_get_is_served() {
    let world = world();
    let request = Request::post(format!("{V2}/namespaces/a/pods/*/queue_length"))
        .header("x-remote-user", "hpa")
        .extension(world.peer.clone())
        .body(Body::empty())
        .expect("a request");
    let response = router(world.app.clone()).oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 405);
}

#[tokio::test(start_paused = true)]
async fn discovery_is_stable_and_in_the_form_asked_for() {
    let world = world();
    let hpa = ("x-remote-user", "hpa");
    let (status, headers, body) = world.ask(V2, &[hpa], world.peer.clone()).await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""name":"pods/queue_length""#), "{body}");
    let tag = headers[header::ETAG].to_str().expect("text").to_owned();
    let (status, _, body) = world.ask(V2, &[hpa, ("if-none-match", &tag)], world.peer.clone()).await;
    assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""));

    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let (status, headers, body) =
        world.ask("/apis", &[hpa, ("accept", aggregated)], world.peer.clone()).await;
    assert_eq!((status, headers[header::CONTENT_TYPE].as_bytes()), (StatusCode::OK, aggregated.as_bytes()));
    let known =
        [hpa, ("accept", aggregated), ("if-none-match", headers[header::ETAG].to_str().expect("text"))];
    assert_eq!(
        world.ask("/apis", &known, world.peer.clone()).await.0,
        304,
        "kube-apiserver asks each minute"
    );
    assert!(body.starts_with(r#"{"apiVersion":"apidiscovery.k8s.io/v2","items""#), "{body}");
    let (status, _, body) = world.ask(V2, &[hpa, ("accept", "application/yaml")], world.peer.clone()).await;
    assert_eq!(status, 406, "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_bearer_token_is_somebody_s_or_nobody_s() {
    let world = world();
    let path = format!("{V2}/namespaces/a/pods/*/queue_length");
    let nobody = Arc::new(Peer::default());
    for (header, code) in [
        ("Bearer t0ken", 200),
        ("bearer  t0ken ", 200),
        ("Bearer other", 401),
        ("Basic dDBrZW4=", 403),
        ("Bearer ", 403),
    ] {
        let (status, _, body) = world.ask(&path, &[("authorization", header)], nobody.clone()).await;
        assert_eq!(status, code, "{header}: {body}");
    }
    let stranger = Arc::new(Peer::new(vec![front_proxy().1]));
    let (status, _, _) = world.ask(&path, &[("authorization", "Bearer t0ken")], stranger).await;
    assert_eq!(status, 200, "a certificate that nobody knows does not spoil a good token");
}

#[tokio::test(start_paused = true)]
async fn own_metrics_count_what_was_asked_and_missed() {
    let world = world();
    world.get(&format!("{V2}/namespaces/a/pods/*/queue_length")).await;
    world.get(&format!("{V2}/namespaces/a/frobs/*/queue_length")).await;
    let metrics = world.get("/metrics").await;
    for line in [
        r#"rbg_metrics_adapter_requests_total{api="custom.metrics.k8s.io/v1beta2",resource="pods",code="200"} 1"#,
        r#"rbg_metrics_adapter_requests_total{api="custom.metrics.k8s.io/v1beta2",resource="other",code="404"} 1"#,
        r#"rbg_metrics_adapter_missing_total{metric="queue_length",reason="stale"} 1"#,
        r#"rbg_metrics_adapter_missing_total{metric="queue_length",reason="absent"} 1"#,
        r#"rbg_metrics_adapter_missing_total{metric="queue_length",reason="older_than_pod"} 1"#,
        r#"rbg_metrics_adapter_snapshot_samples{metric="queue_length"} 5"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
