use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{metrics::catalog, units::MilliValue};

const START: i64 = 1_800_000_000;

/// Serves a page to everybody, `{n}` in it standing for the number of the request; returns its address.
async fn serve(page: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let count = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while connection.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let number = count.fetch_add(1, Ordering::Relaxed).to_string();
                    let body = page.replace("{n}", &number);
                    let (status, body) = body
                        .strip_prefix("503 ")
                        .map_or(("200 OK", body.as_str()), |body| ("503 Busy", body));
                    let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if connection.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}/metrics")
}

struct Scene {
    source: DirectSource,
    now: Arc<AtomicI64>,
}

impl Scene {
    fn new(pods: &[(&str, Result<String, TargetError>)]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let now = Arc::new(AtomicI64::new(START * 1000));
        let reads = now.clone();
        let options = Options {
            scope: Scope::Roles,
            namespace: None,
            interval: Duration::from_secs(15),
            clock: Arc::new(move || {
                Timestamp::from_millisecond(reads.load(Ordering::Relaxed)).expect("in range")
            }),
            on_scrape: Box::new(|_| ()),
        };
        let signals = catalog::built_in(catalog::RATE_WINDOW);
        let source = DirectSource::new(signals.iter().map(AsRef::as_ref), options).expect("a source");
        let target = |(pod, url): &(&str, Result<String, TargetError>)| {
            let target = |url: &String| Target {
                namespace: "ns".to_owned(),
                pod: (*pod).to_owned(),
                uid: "u".to_owned(),
                url: url.clone(),
            };
            (("ns".to_owned(), (*pod).to_owned()), url.as_ref().map(target).map_err(Clone::clone))
        };
        *lock(&source.shared.pods) = pods.iter().map(target).collect();
        source.shared.synced.send_replace(true);
        Self { source, now }
    }

    /// What a signal says at an instant, by pod.
    async fn ask(&self, signal: &str, second: i64) -> Result<Vec<(String, i64)>, String> {
        self.now.store((START + second) * 1000 + 10, Ordering::Relaxed);
        let signals = catalog::built_in(catalog::RATE_WINDOW);
        let signal = signals.iter().find(|known| known.name == signal).expect("in the catalog");
        let at = Timestamp::from_second(START + second).expect("in range");
        let answer = self.source.collect(signal, at).await.map_err(|error| error.to_string())?;
        let mut samples: Vec<_> = answer.samples.iter().collect();
        samples.sort_by_key(|(_, pod, _)| *pod);
        Ok(samples.iter().map(|(_, pod, sample)| ((*pod).to_owned(), sample.value.milli())).collect())
    }
}

fn milli(values: &[(&str, i64)]) -> Vec<(String, i64)> {
    let whole = |value: i64| MilliValue::from_whole(value).milli();
    values.iter().map(|(pod, value)| ((*pod).to_owned(), whole(*value))).collect()
}

#[tokio::test]
async fn one_round_feeds_every_signal() {
    let page =
        "vllm:num_requests_waiting 3\nvllm:num_requests_running {n}\nvllm:request_success_total 1{n}00\n";
    let scene = Scene::new(&[
        ("a", Ok(serve(page).await)),
        ("b", Ok(serve("vllm:num_requests_waiting 5\n").await)),
        ("c", Err(TargetError::NoPort)),
    ]);
    assert_eq!(scene.ask("queue_length", 0).await, Ok(milli(&[("a", 3), ("b", 5)])));
    assert_eq!(scene.ask("running_requests", 0).await, Ok(milli(&[("a", 0)])), "the first page");
    assert_eq!(scene.ask("qps", 0).await, Ok(milli(&[])), "one page makes no rate");
    assert_eq!(scene.ask("running_requests", 15).await, Ok(milli(&[("a", 1)])), "the second page");
    // 100 in 15 s, and half an interval before, over 60 s.
    assert_eq!(scene.ask("qps", 15).await, Ok(vec![("a".to_owned(), 2500)]));
    let why = scene.source.failure("ns", "c").expect("no port");
    assert_eq!(why.class(), "no_target");
    assert_eq!(scene.source.failure("ns", "a"), None);
}

#[tokio::test]
async fn a_pod_that_fails_is_missing_and_says_why() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        format!("http://{}/metrics", listener.local_addr().expect("an address"))
    };
    let good = serve("vllm:num_requests_waiting 3\n").await;
    let scene = Scene::new(&[
        ("busy", Ok(serve("503 vllm:num_requests_waiting 0\n").await)),
        ("gone", Ok(nobody.clone())),
        ("good", Ok(good)),
        ("page", Ok(serve("# no metrics\n").await)),
    ]);
    assert_eq!(scene.ask("queue_length", 0).await, Ok(milli(&[("good", 3)])));
    for (pod, class, text) in [
        ("busy", "http_status", "HTTP status 503"),
        ("gone", "unreachable", "connection refused"),
        ("page", "unreadable", "unreadable page: no metrics in it"),
    ] {
        let why = scene.source.failure("ns", pod).expect(pod);
        assert_eq!((why.class(), why.to_string().as_str()), (class, text));
    }
    let scene = Scene::new(&[("gone", Ok(nobody))]);
    assert_eq!(
        scene.ask("queue_length", 0).await,
        Err("direct scrape: none of 1 pods could be scraped; gone: connection refused".to_owned())
    );
    lock(&scene.source.shared.pods).clear();
    assert_eq!(scene.ask("queue_length", 15).await, Ok(milli(&[])), "no pods are no failure");
}

#[tokio::test]
async fn promql_needs_prometheus() {
    let scene = Scene::new(&[]);
    let signals = catalog::built_in(catalog::RATE_WINDOW);
    let signal = Signal {
        name: "own".to_owned(),
        definition: Definition::Query("x".to_owned()),
        ..Signal::clone(&signals[0])
    };
    let at = Timestamp::from_second(START).expect("in range");
    let error = scene.source.collect(&signal, at).await.expect_err("refused").to_string();
    assert!(error.contains("own is a PromQL query, which needs Prometheus"), "{error}");
}

#[tokio::test]
async fn pods_that_hang_do_not_hold_up_the_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("http://{}/metrics", listener.local_addr().expect("an address"));
    let hanging: Vec<String> = (0..2 * AT_ONCE).map(|number| format!("hangs-{number}")).collect();
    let mut pods: Vec<_> = hanging.iter().map(|name| (name.as_str(), Ok(silent.clone()))).collect();
    let good = serve("vllm:num_requests_waiting 3\n").await;
    pods.push(("good", Ok(good)));
    let scene = Scene::new(&pods);
    let told = async {
        // Whichever pods come first, those that hang keep their places for a moment only.
        while scene.ask("queue_length", 0).await != Ok(milli(&[("good", 3)])) {
            tokio::task::yield_now().await;
        }
    };
    let patience = SCRAPE_PATIENCE / 2;
    tokio::time::timeout(patience, told).await.expect("long before those that hang are given up");
}
