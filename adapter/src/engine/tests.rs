use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use futures::FutureExt;

use super::*;
use crate::{
    pods::{Pod, Pods},
    request::MetricRequest,
    rules::{
        config::RuleSet,
        resources::{ObjectKind, ResourceMap},
        series::SeriesShape,
    },
};

const CONFIG: &str = r#"
rules:
- seriesQuery: x
  resources: {template: "<<.Resource>>"}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- seriesQuery: x
  resources: {template: "<<.Resource>>"}
  name: {as: exact}
  metricsQuery: topk(1, <<.Series>>{<<.LabelMatchers>>})
- {name: plain, query: "sum by (namespace, pod) (y)"}
resourceRules:
  cpu:
    containerQuery: sum(cpu{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    nodeQuery: sum(cpu{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    resources: {template: "<<.Resource>>"}
    containerLabel: container
  memory:
    containerQuery: sum(memory{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    nodeQuery: sum(memory{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    resources: {template: "<<.Resource>>"}
    containerLabel: container
  window: 5m
externalRules:
- {seriesQuery: x, name: {as: queue}, resources: {namespaced: false}, metricsQuery: "sum(<<.Series>>{<<.LabelMatchers>>}) by (q)"}
"#;

/// Answers queries from a table and remembers them.
#[derive(Default)]
struct Fake {
    answers: HashMap<&'static str, &'static str>,
    asked: Mutex<Vec<String>>,
    /// Seconds since the beginning.
    passed: AtomicI64,
}

impl Upstream for Fake {
    fn query<'a>(&'a self, promql: &'a str, at: Timestamp) -> BoxFuture<'a, Result<Vec<u8>, SourceError>> {
        self.asked.lock().expect("not poisoned").push(format!("{promql} @{}", at.as_second() % 100));
        let answer = self.answers.get(promql).map(|result| {
            format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
                .into_bytes()
        });
        let down = || SourceError::Unreachable {
            source_name: "fake".to_owned(),
            cause: "connection refused".to_owned(),
        };
        futures::future::ready(answer.ok_or_else(down)).boxed()
    }

    fn series<'a>(&'a self, _: &'a str, _: Timestamp) -> BoxFuture<'a, Result<Vec<u8>, SourceError>> {
        futures::future::ready(Ok(Vec::new())).boxed()
    }

    fn name(&self) -> String {
        "fake".to_owned()
    }
}

/// Two Deployments, and nodes that may not be listed.
struct Objects;

impl ObjectLister for Objects {
    fn list<'a>(
        &'a self,
        kind: &'a ObjectKind,
        namespace: Option<&'a str>,
        selector: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        let listed = match (kind.resource.as_str(), namespace, selector) {
            ("deployments", Some("a"), "tier=web") => Ok(vec!["d2".to_owned(), "d1".to_owned()]),
            ("deployments", ..) => Ok(Vec::new()),
            ("namespaces", None, _) => Ok(vec!["a".to_owned(), "b".to_owned()]),
            _ => Err("nodes is forbidden".to_owned()),
        };
        futures::future::ready(listed).boxed()
    }
}

fn engine(answers: &[(&'static str, &'static str)]) -> (Arc<Fake>, Engine) {
    let fake = Arc::new(Fake { answers: answers.iter().copied().collect(), ..Fake::default() });
    let pod = || Arc::new(Pod::new([("app".to_owned(), "web".to_owned())].into(), None));
    let pods: Pods = ["p1", "p2"].map(|name| (name.to_owned(), pod())).into();
    let cache = Arc::new(PodCache::default());
    cache.replace(HashMap::from([("a".to_owned(), pods)]));
    let now = fake.clone();
    let clock: Clock = Arc::new(move || {
        let second = 1_800_000_007 + now.passed.load(Ordering::Relaxed);
        Timestamp::from_second(second).expect("in range")
    });
    let engine = Engine::new(fake.clone(), Arc::new(Objects), cache, Duration::from_secs(15), clock);
    let map = Arc::new(ResourceMap::built_in());
    let rules = RuleSet::load(CONFIG).expect("loads").bind(&map);
    assert_eq!(rules.errors, []);
    let labels = ["namespace", "pod", "node", "deployment"].map(str::to_owned).to_vec();
    let shapes = [SeriesShape { name: "x".to_owned(), labels }];
    engine.replace(Rulebook::new(rules, map, |_| &shapes));
    (fake, engine)
}

async fn ask(engine: &Engine, path: &str) -> Option<Result<String, (u16, String)>> {
    let answer = match MetricRequest::parse(&format!("/apis/{path}")).expect("parses") {
        MetricRequest::Custom(request) => {
            let target = crate::request::target::Target::parse(path).expect("parses");
            engine.custom(&request, target.first("labelSelector").unwrap_or_default()).await?
        }
        MetricRequest::External(request) => engine.external(&request).await,
        MetricRequest::Resource(request) => engine.usage(&request, "").await,
    };
    Some(
        answer
            .map(|made| String::from_utf8(made.body.to_vec()).expect("UTF-8"))
            .map_err(|error| (error.code, error.message)),
    )
}

const CUSTOM: &str = "custom.metrics.k8s.io/v1beta1";

#[tokio::test]
async fn all_requests_of_an_interval_share_one_query_over_the_cluster() {
    let batch = {
        let (fake, engine) = engine(&[]);
        let _ = ask(&engine, &format!("{CUSTOM}/namespaces/a/pods/*/x")).await;
        let asked = fake.asked.lock().expect("not poisoned");
        asked[0].split(" @").next().expect("a query").to_owned()
    };
    assert!(!batch.contains("p1"), "names of pods are not in it: {batch}");
    let answer = r#"{"metric":{"namespace":"a","pod":"p1"},"value":[1800000000,"1.5"]},
        {"metric":{"namespace":"b","pod":"p2"},"value":[1800000000,"9"]},{"metric":{"namespace":"a","pod":"stray"},"value":[1800000000,"7"]}"#;
    let (fake, engine) = engine(&[(Box::leak(batch.into_boxed_str()), answer)]);
    for _ in 0..3 {
        let list = ask(&engine, &format!("{CUSTOM}/namespaces/a/pods/%2A/x?labelSelector=app%3Dweb")).await;
        let list = list.expect("a rule's").expect("values");
        assert!(list.contains(r#""name":"p1""#) && list.contains(r#""value":"1500m""#), "{list}");
        assert!(
            !list.contains("p2") && !list.contains("stray"),
            "another namespace's, and no live pod: {list}"
        );
    }
    let one =
        ask(&engine, &format!("{CUSTOM}/namespaces/a/pods/p1/x")).await.expect("a rule's").expect("a value");
    assert!(one.contains(r#""timestamp":"2027-01-15T08:00:00Z""#), "{one}");
    let asked = fake.asked.lock().expect("not poisoned").clone();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].ends_with("@0"), "at the interval's instant: {asked:?}");
}

#[tokio::test]
async fn what_is_wanted_is_there_before_it_is_asked_for() {
    let (fake, engine) = engine(&[]);
    let count = || fake.asked.lock().expect("not poisoned").len();
    let external = "external.metrics.k8s.io/v1beta1/namespaces/a/queue";
    let named = format!("{CUSTOM}/namespaces/a/pods/*/exact");
    for path in [external, &named] {
        let _ = ask(&engine, path).await;
    }
    assert_eq!(count(), 2);
    for (passed, want) in [(15, 4), (75, 5), (590, 6), (620, 6)] {
        fake.passed.store(passed, Ordering::Relaxed);
        engine.warm().await;
        assert_eq!(count(), want, "{passed} s later: what names pods is forgotten sooner");
    }
}

#[tokio::test]
async fn a_new_interval_keeps_nobody_waiting() {
    let (fake, engine) = engine(&[("sum(x{}) by (q)", r#"{"metric":{"q":"q1"},"value":[1800000000,"50"]}"#)]);
    let count = || fake.asked.lock().expect("not poisoned").len();
    let path = "external.metrics.k8s.io/v1beta1/namespaces/a/queue";
    // The clock begins 7 s after an instant; an answer stands for 5 s into the next interval.
    for (passed, want, what) in [
        (0, 1, "asked for the first time"),
        (7, 1, "the same interval"),
        (8, 1, "the next, whose answer is not there yet"),
        (12, 1, "nor now"),
        (13, 2, "it is overdue"),
        (22, 2, "and stands again"),
    ] {
        fake.passed.store(passed, Ordering::Relaxed);
        let list = ask(&engine, path).await.expect("served").expect("values");
        assert!(list.contains(r#""value":"50""#), "{list}");
        assert_eq!(count(), want, "after {passed} s: {what}");
    }
    fake.passed.store(24, Ordering::Relaxed);
    engine.warm().await;
    assert_eq!(count(), 3);
    ask(&engine, path).await.expect("served").expect("values");
    assert_eq!(count(), 3, "it was there before anybody asked");
}

#[tokio::test]
async fn cpu_and_memory_of_pods_and_nodes() {
    let sample =
        |labels: &str, value: &str| format!(r#"{{"metric":{{{labels}}},"value":[1800000000,"{value}"]}}"#);
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let cpu = [
        sample(r#""pod":"p1","container":"engine""#, "0.25"),
        sample(r#""pod":"p1","container":"sidecar""#, "-1"),
        sample(r#""pod":"p1""#, "9"),
        sample(r#""pod":"p2","container":"engine""#, "0.5"),
    ];
    let memory = [
        sample(r#""pod":"p1","container":"engine""#, "1048576"),
        sample(r#""pod":"p2","container":"engine""#, "NaN"),
    ];
    let (_, engine) = engine(&[
        (r#"sum(cpu{namespace="a",pod=~"p1|p2"}) by (pod,container)"#, leak(cpu.join(","))),
        (r#"sum(memory{namespace="a",pod=~"p1|p2"}) by (pod,container)"#, leak(memory.join(","))),
        (r#"sum(cpu{namespace="a",pod="p2"}) by (pod,container)"#, ""),
        (r#"sum(memory{namespace="a",pod="p2"}) by (pod,container)"#, ""),
        (r#"sum(cpu{node="n1"}) by (node)"#, leak(sample(r#""node":"n1""#, "3.5"))),
        (r#"sum(memory{node="n1"}) by (node)"#, leak(sample(r#""node":"n1""#, "2000000000"))),
    ]);
    let list = ask(&engine, "metrics.k8s.io/v1beta1/namespaces/a/pods").await;
    insta::assert_snapshot!("pod_metrics", list.expect("served").expect("values"));
    let all = ask(&engine, "metrics.k8s.io/v1beta1/pods").await.expect("served").expect("values");
    assert!(all.contains(r#""name":"p1""#), "{all}");
    let node = ask(&engine, "metrics.k8s.io/v1beta1/nodes/n1").await;
    insta::assert_snapshot!("node_metrics", node.expect("served").expect("a value"));
    let missing = ask(&engine, "metrics.k8s.io/v1beta1/namespaces/a/pods/p2").await.expect("served");
    assert_eq!(missing.expect_err("no values").0, 404);
}

#[tokio::test]
async fn a_query_that_cannot_be_merged_is_sent_as_written() {
    let query = r#"topk(1, x{namespace="a",pod=~"p1|p2"})"#;
    let answer = r#"{"metric":{"pod":"p2"},"value":[1800000000,"3"]}"#;
    let (_, engine) = engine(&[(query, answer)]);
    let list = ask(&engine, &format!("{CUSTOM}/namespaces/a/pods/*/exact"))
        .await
        .expect("a rule's")
        .expect("values");
    assert!(list.contains(r#""name":"p2""#) && !list.contains("p1"), "{list}");
}

#[tokio::test]
async fn objects_of_any_kind_and_external_metrics() {
    let topk = r#"topk(1, x{namespace="a",deployment=~"d1|d2"})"#;
    let external = r#"sum(x{z="1"}) by (q)"#;
    let (_, engine) = engine(&[
        (topk, r#"{"metric":{"deployment":"d1"},"value":[1800000000,"2"]}"#),
        (
            external,
            r#"{"metric":{"q":"q1"},"value":[1800000000,"50"]},{"metric":{"q":"q2"},"value":[1800000000,"NaN"]}"#,
        ),
    ]);
    let path = format!("{CUSTOM}/namespaces/a/deployments.apps/*/exact?labelSelector=tier%3Dweb");
    let list = ask(&engine, &path).await.expect("a rule's").expect("values");
    assert!(
        list.contains(r#"{"kind":"Deployment","namespace":"a","name":"d1","apiVersion":"apps/v1"}"#),
        "{list}"
    );
    let list = ask(&engine, "external.metrics.k8s.io/v1beta1/namespaces/a/queue?labelSelector=z%3D1").await;
    insta::assert_snapshot!("external", list.expect("served").expect("values"));
}

#[tokio::test]
async fn failures_are_told_by_their_cause() {
    let (_, engine) = engine(&[(r#"topk(1, x{namespace="a",pod="p1"})"#, "")]);
    for (path, code, part) in [
        (format!("{CUSTOM}/namespaces/a/pods/*/x"), 503, "unable to fetch metrics: fake: connection refused"),
        (format!("{CUSTOM}/namespaces/a/pods/p1/exact"), 404, "for pods p1: rules[1] found no value"),
        (format!("{CUSTOM}/nodes/*/x"), 500, "unable to list matching resources: nodes: nodes is forbidden"),
        (format!("{CUSTOM}/namespaces/a/deployments.apps/*/x"), 404, "the metric x for deployments.apps"),
        ("external.metrics.k8s.io/v1beta1/namespaces/a/nope".to_owned(), 404, "the metric nope"),
    ] {
        let error = ask(&engine, &path).await.expect("a rule's").expect_err(&path);
        assert!(error.0 == code && error.1.contains(part), "{path}: {error:?}");
    }
    for path in ["pods/*/queue_length", "pods/*/plain", "frobs/*/x"] {
        let answer = ask(&engine, &format!("{CUSTOM}/namespaces/a/{path}")).await;
        assert_eq!(answer, None, "{path} is for signals, or nobody");
    }
}
