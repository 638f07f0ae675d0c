//! One function per target. Beside panics, each looks at what must hold of whatever was read.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use rbg_autoscaler::{api::snapshot::ScalingSnapshot, metrics::direct::Parser};
use rbg_metrics_adapter::{
    accept::Accept,
    authentication::{Identity, subject::Subject, trust::Trust},
    authorization::Attributes,
    engine::vector::Vector,
    request::{GroupResource, MetricRequest, target::Target},
    rules::{
        config::RuleSet,
        query::Escaping,
        resources::ResourceMap,
        rulebook::Rulebook,
        series::{SeriesSelector, SeriesShape},
    },
    selector::Selector,
};
use rustls_pki_types::{CertificateDer, UnixTime};

/// A metrics page of an engine, in both formats.
pub fn exposition(bytes: &[u8]) {
    let page = String::from_utf8_lossy(bytes);
    for is_open_metrics in [false, true] {
        for line in Parser::new(&page, is_open_metrics) {
            assert!(!line.name.is_empty());
        }
    }
}

/// A label selector: what is read twice is the same, and a label either matches or not.
pub fn selector(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let read = Selector::parse(text);
    assert_eq!(read, Selector::parse(text));
    let Ok(selector) = read else { return };
    for value in [None, Some(""), Some("a"), Some("7")] {
        let all = selector.requirements().iter().all(|requirement| requirement.matches(value));
        assert_eq!(selector.matches(|_| value), all);
    }
    let _ = SeriesSelector::parse(text);
}

/// A configuration of rules, and what its templates make of requests.
pub fn rules(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(rules) = RuleSet::load(text) else { return };
    let map = Arc::new(ResourceMap::built_in());
    let shape = |name: &str, labels: &[&str]| SeriesShape {
        name: name.to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    };
    let shapes = [
        shape("container_cpu_usage_seconds_total", &["container", "namespace", "pod"]),
        shape("vllm:num_requests_waiting", &["model_name", "namespace", "pod"]),
        shape("http_requests_total", &["namespace", "service"]),
    ];
    let book = Rulebook::new(rules.bind(&map), map.clone(), |_| &shapes);
    for exposed in book.registry().exposed() {
        let path = match exposed.name.split_once('/') {
            Some((resource, metric)) => {
                format!("/apis/custom.metrics.k8s.io/v1beta1/namespaces/a/{resource}/p1/{metric}")
            }
            None => format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/a/{}", exposed.name),
        };
        let names = ["p1", "p2"];
        match MetricRequest::parse(&path) {
            Ok(MetricRequest::Custom(request)) => _ = book.custom(&request, &names, Escaping::NAMES),
            Ok(MetricRequest::External(request)) => _ = book.external(&request, Escaping::NAMES),
            _ => {}
        }
    }
}

/// A path with its query.
pub fn path(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let _ = Accept::of(Some(text), true);
    let _ = GroupResource::parse(text);
    if let Ok(target) = Target::parse(text) {
        let _ = Attributes::of(text, &target).to_string();
    }
    if let Err(error) = MetricRequest::parse(text) {
        assert!((400..500).contains(&error.code), "{error:?}");
    }
}

/// Headers of a front proxy, one `name: value` per line; the whole also as a certificate and as a ConfigMap of trust.
pub fn headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
        {
            headers.append(name, value);
        }
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let keys = [
        "client-ca-file",
        "requestheader-client-ca-file",
        "requestheader-username-headers",
        "requestheader-group-headers",
        "requestheader-extra-headers-prefix",
        "requestheader-allowed-names",
    ];
    for key in keys {
        let _ = Trust::from_config_map(&BTreeMap::from([(key.to_owned(), text.clone())]));
    }
    let _ = Subject::parse(bytes);
    let trust = Trust::default();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
    for chain in [vec![], vec![CertificateDer::from(bytes)]] {
        // Nobody is trusted here, so nobody may be anybody.
        let user = Identity::of(&chain, &trust, now).user(&trust, &headers);
        assert!(!matches!(user, Ok(Some(_))), "{user:?}");
    }
}

/// What Prometheus answers to a query.
pub fn answer(bytes: &[u8]) {
    if let Ok(vector) = Vector::parse(bytes) {
        let found: usize =
            vector.elements.iter().filter(|element| element.labels.contains_key("pod")).count();
        let listed = vector.elements.iter().filter_map(|element| element.labels.get("pod"));
        let distinct: std::collections::BTreeSet<&String> = listed.collect();
        let looked_up: usize = distinct.iter().map(|pod| vector.labelled("pod", pod).len()).sum();
        assert_eq!(found, looked_up);
    }
}

/// A snapshot document: it is refused, or decided on.
pub fn snapshot(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(snapshot) = ScalingSnapshot::parse(text) else { return };
    let Ok(input) = snapshot.into_input(Timestamp::UNIX_EPOCH) else { return };
    let _ = input.decide();
}
