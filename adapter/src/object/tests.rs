use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use rbg_autoscaler::{
    api::rbg::COMPONENT_INDEX,
    metrics::{
        Sample, SourceError, catalog,
        collector::{self, Collector},
        source::{Answer, Source},
    },
};

use super::*;
use crate::{external, pods::PodCache, request::MetricRequest, telemetry::Telemetry};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

/// Values by signal, namespace and pod, in thousandths.
struct Values(&'static [(&'static str, &'static str, &'static str, i64)]);

impl Source for Values {
    fn collect<'a>(&'a self, signal: &'a Signal, _: Timestamp) -> BoxFuture<'a, Result<Answer, SourceError>> {
        let of_signal = self.0.iter().filter(|(name, ..)| *name == signal.name);
        let samples = of_signal.map(|(_, namespace, pod, milli)| {
            (*namespace, *pod, Sample { value: MilliValue::from_milli(*milli), time: at(-5) })
        });
        futures::future::ready(Ok(Answer { samples: samples.collect(), ..Answer::default() })).boxed()
    }

    fn name(&self) -> String {
        "values".to_owned()
    }
}

const VALUES: Values = Values(&[
    ("queue_length", "a", "big-d-0", 1500),
    ("queue_length", "a", "big-d-1", 2000),
    ("queue_length", "a", "big-r", 500),
    ("queue_length", "a", "plain", 40_000),
    ("queue_length", "a", "big-x-d-0", 100),
    ("queue_length", "b", "partly-0", 1000),
    ("queue_length", "b", "dash-0", 1000),
    ("queue_length", "b", "dash-1", 1000),
    (r#"queue_length{model_name="m"}"#, "a", "big-d-1", 2000),
    ("kv_cache_usage", "a", "big-d-0", 400),
    ("kv_cache_usage", "a", "big-d-1", 700),
    ("kv_cache_usage", "b", "partly-0", 100),
    ("running_requests", "a", "big-r", 1000),
    ("prefix_cache_hit_rate", "a", "big-d-0", 250),
    ("running_requests", "a", "big-d-1", 0),
    ("ttft_p95", "a", "big-d-0", 250),
]);

/// A pod by its name, group, role and when it became Ready.
fn pod(name: &str, group: &str, role: &str, ready: Option<i64>) -> (String, Arc<Pod>) {
    let mut labels: BTreeMap<String, String> =
        [("app".to_owned(), name.split('-').next().unwrap_or_default().to_owned())].into();
    if !group.is_empty() {
        labels.insert(GROUP_NAME.to_owned(), group.to_owned());
        labels.insert(ROLE_NAME.to_owned(), role.to_owned());
    }
    if name.ends_with("-worker") {
        labels.insert(COMPONENT_INDEX.to_owned(), "1".to_owned());
    }
    let mut pod = Pod::new(labels, Some(at(-1000)));
    pod.ready_since = ready.map(at);
    pod.is_unscraped = name.ends_with("-unscraped");
    (name.to_owned(), Arc::new(pod))
}

fn pods() -> PodCache {
    let (settled, young) = (Some(-900), Some(-10));
    let a = [
        pod("big-d-0", "big", "d", settled),
        pod("big-d-1", "big", "d", None),
        pod("big-d-2", "big", "d", young),
        pod("big-d-3", "big", "d", None),
        pod("big-d-0-worker", "big", "d", settled),
        pod("big-d-unscraped", "big", "d", settled),
        pod("big-r", "big", "r", settled),
        pod("big-x-d-0", "big-x", "d", settled),
        pod("plain", "", "", settled),
    ];
    let b = [
        pod("partly-0", "partly", "d", settled),
        pod("partly-1", "partly", "d", settled),
        pod("dash-0", "da-sh", "e", settled),
        pod("dash-1", "da", "sh-e", settled),
    ];
    let cache = PodCache::default();
    let namespaces = [("a", a.into()), ("b", b.into())];
    cache.replace(
        namespaces.map(|(name, pods)| (name.to_owned(), pods)).into_iter().collect::<HashMap<_, _>>(),
    );
    cache
}

/// The values by object or item, or the failure.
async fn ask(pods: &PodCache, path: &str) -> Result<Vec<String>, (u16, String)> {
    let options = collector::Options::every(Duration::from_secs(15), Arc::new(|| at(0)));
    let collector = Collector::new(Arc::new(VALUES), catalog::built_in(catalog::RATE_WINDOW), options);
    let running = collector.clone();
    tokio::spawn(async move { running.run().await });
    let telemetry = Telemetry::default();
    let gatherer = Gatherer { collector: &collector, pods, telemetry: &telemetry, now: at(0) };
    let made = match MetricRequest::parse(path).map_err(|error| (error.code, error.message))? {
        MetricRequest::Custom(request) => {
            let kind = Kind::of(&request.resource).expect("a kind of ours");
            let signal = collector.signal(&request.metric).expect("a signal");
            answer(&gatherer, &signal, kind, &request).await
        }
        MetricRequest::External(request) => {
            let signal = collector.signal(&request.metric).expect("a signal");
            external::answer(&gatherer, &signal, &request).await
        }
        MetricRequest::Resource(_) => panic!("{path} asks for no signal"),
    };
    let made = made.map_err(|error| (error.code, error.message))?;
    let list: serde_json::Value = serde_json::from_slice(&made.body).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let item = |item: &serde_json::Value| {
        let name = [&item["describedObject"]["name"], &item["metricLabels"]["pod"]].map(text).concat();
        format!("{name} {}", text(&item["value"]))
    };
    Ok(list["items"].as_array().expect("items").iter().map(item).collect())
}

const GROUPS: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/a/rolebasedgroups.workloads.x-k8s.io";
const ADAPTERS: &str =
    "/apis/custom.metrics.k8s.io/v1beta1/namespaces/a/rolebasedgroupscalingadapters.workloads.x-k8s.io";
const NAMESPACES: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces";

#[tokio::test(start_paused = true)]
async fn what_pods_say_together() {
    let pods = pods();
    for (path, want) in [
        (format!("{GROUPS}/big/queue_length"), &["big 4"][..]),
        (format!("{GROUPS}/*/queue_length"), &["big 4", "big-x 100m"]),
        (format!("{ADAPTERS}/big-d/queue_length"), &["big-d 3500m"]),
        (format!("{ADAPTERS}/big-r/queue_length"), &["big-r 500m"]),
        (format!("{ADAPTERS}/big-x-d/queue_length"), &["big-x-d 100m"]),
        (format!("{NAMESPACES}/a/metrics/queue_length"), &["a 4100m"]),
        // Namespace b has a pod that does not answer.
        (format!("{NAMESPACES}/*/metrics/queue_length"), &["a 4100m"]),
        // The router has no KV cache, but runs requests.
        (format!("{GROUPS}/big/kv_cache_usage"), &["big 700m"]),
        (format!("{GROUPS}/big/queue_length?metricLabelSelector=model_name%3Dm"), &["big 2"]),
        (
            format!("{EXTERNAL}/a/queue_length"),
            &["big-d-0 1500m", "big-d-1 2", "big-r 500m", "big-x-d-0 100m"],
        ),
        (format!("{EXTERNAL}/a/queue_length?labelSelector=app%3Dplain"), &["plain 40"]),
        (
            format!("{EXTERNAL}/a/queue_length?labelSelector=app+in+(plain,big),!nothing"),
            &["big-d-0 1500m", "big-d-1 2", "big-r 500m", "big-x-d-0 100m", "plain 40"],
        ),
    ] {
        let want = want.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(ask(&pods, &path).await, Ok(want), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_total_is_whole_or_there_is_none() {
    let pods = pods();
    let (b, silent) = (GROUPS.replace("/a/", "/b/"), "1 of 2 pods, though ready, do not answer (partly-1)");
    for (path, code, part) in [
        (format!("{b}/partly/queue_length"), 503, format!("RoleBasedGroup partly: queue_length: {silent}")),
        (format!("{NAMESPACES}/b/metrics/queue_length"), 503, "do not answer (partly-1)".to_owned()),
        (format!("{EXTERNAL}/b/queue_length?labelSelector=app%3Dpartly"), 503, silent.to_owned()),
        // Nobody says that these are read at all.
        (format!("{GROUPS}/big-x/kv_cache_usage"), 503, "do not answer (big-x-d-0)".to_owned()),
        // An idle engine has no hit rate; this one does not even run requests.
        (format!("{GROUPS}/big-x/prefix_cache_hit_rate"), 503, "(big-x-d-0)".to_owned()),
        (format!("{ADAPTERS}/big-r/kv_cache_usage"), 404, "none of 1 pods has kv_cache_usage".to_owned()),
        (format!("{GROUPS}/big/ttft_p95"), 400, "ttft_p95 is a quantile".to_owned()),
        (format!("{EXTERNAL}/a/ttft_p95"), 400, "ttft_p95 is a quantile".to_owned()),
        (format!("{GROUPS}/none/queue_length"), 404, "for RoleBasedGroup none: it has no pods".to_owned()),
        (format!("{GROUPS}/*/queue_length?labelSelector=a%3Db"), 400, "labelSelector: the labels".to_owned()),
        (
            format!("{}/da-sh-e/queue_length", ADAPTERS.replace("/a/", "/b/")),
            400,
            "da-sh-e: two roles have this name".to_owned(),
        ),
        (format!("{EXTERNAL}/c/queue_length"), 404, "namespace c has no pods of RoleBasedGroups".to_owned()),
        (format!("{EXTERNAL}/a/queue_length?labelSelector=app%3Dno"), 404, "selects none".to_owned()),
    ] {
        let error = ask(&pods, &path).await.expect_err(&path);
        assert!(error.0 == code && error.1.contains(&part), "{path}: {error:?}");
    }
}

#[test]
fn kinds_by_their_names() {
    for (name, want) in [
        ("rolebasedgroups.workloads.x-k8s.io", Some(Kind::Group)),
        ("rolebasedgroup.workloads.x-k8s.io", Some(Kind::Group)),
        ("rolebasedgroupscalingadapters.workloads.x-k8s.io", Some(Kind::ScalingAdapter)),
        ("namespaces", Some(Kind::Namespace)),
        ("rolebasedgroups.other", None),
        ("pods", None),
    ] {
        assert_eq!(Kind::of(&GroupResource::parse(name)), want, "{name}");
    }
}
