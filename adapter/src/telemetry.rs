//! [`Telemetry`]: the adapter's own metrics.

use std::{sync::atomic::AtomicU64, time::Duration};

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use rbg_autoscaler::metrics::{Snapshot, collector::Queried, direct::Scraped};

/// The content type of [`Telemetry::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type FloatGauge = Gauge<f64, AtomicU64>;

/// The adapter's own metrics; cheap to clone, all clones are one.
#[derive(Clone)]
pub struct Telemetry {
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<ApiLabels, Histogram>,
    upstream_queries: Family<OutcomeLabels, Counter>,
    upstream_query_duration: Histogram,
    scrapes: Family<OutcomeLabels, Counter>,
    scrape_duration: Histogram,
    missing: Family<MissingLabels, Counter>,
    sample_age: Family<MetricLabels, FloatGauge>,
    snapshot_samples: Family<MetricLabels, Gauge>,
    config_last_reload_successful: Gauge,
    certificate_expiry: FloatGauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    api: &'static str,
    resource: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    api: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MetricLabels {
    metric: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MissingLabels {
    metric: String,
    reason: String,
}

/// Why an object that was asked about has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No engine of the pod exposes it, or it is no number.
    Absent,
    /// Older than 60 s.
    Stale,
    /// From an earlier pod of the same name.
    OlderThanPod,
    /// We could not scrape it ourselves; the class of the failure.
    Unscraped(&'static str),
}

impl Missing {
    fn label(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Stale => "stale",
            Self::OlderThanPod => "older_than_pod",
            Self::Unscraped(class) => class,
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        let requests =
            || Histogram::new([0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]);
        let queries = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let telemetry = Self {
            requests: Family::default(),
            request_duration: Family::new_with_constructor(requests),
            upstream_queries: Family::default(),
            upstream_query_duration: Histogram::new(queries),
            scrapes: Family::default(),
            scrape_duration: Histogram::new(queries),
            missing: Family::default(),
            sample_age: Family::default(),
            snapshot_samples: Family::default(),
            config_last_reload_successful: Gauge::default(),
            certificate_expiry: FloatGauge::default(),
        };
        telemetry.config_last_reload_successful.set(1);
        telemetry
    }
}

impl Telemetry {
    /// Counts an answered request.
    pub fn answered(&self, api: &'static str, resource: &'static str, code: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { api, resource, code }).inc();
        self.request_duration.get_or_create(&ApiLabels { api }).observe(took.as_secs_f64());
    }

    /// Counts a query to the source of metrics.
    pub fn queried(&self, query: &Queried<'_>) {
        self.upstream_queries.get_or_create(&OutcomeLabels { outcome: query.outcome.to_owned() }).inc();
        self.upstream_query_duration.observe(query.took.as_secs_f64());
    }

    /// Counts a scrape of a pod by ourselves.
    pub fn scraped(&self, scrape: &Scraped) {
        self.scrapes.get_or_create(&OutcomeLabels { outcome: scrape.outcome.to_owned() }).inc();
        self.scrape_duration.observe(scrape.took.as_secs_f64());
    }

    /// Counts an object without a value. `metric` must be a known one.
    pub fn missing(&self, metric: &str, why: Missing) {
        let labels = MissingLabels { metric: metric.to_owned(), reason: why.label().to_owned() };
        self.missing.get_or_create(&labels).inc();
    }

    /// Notes whether the last change of the configuration was taken over.
    pub fn config_reloaded(&self, is_good: bool) {
        self.config_last_reload_successful.set(i64::from(is_good));
    }

    /// Notes when the serving certificate expires.
    pub fn certificate_expires(&self, at: Timestamp) {
        self.certificate_expiry.set(at.as_duration().as_secs_f64());
    }

    /// Writes all metrics, those of the snapshot as of `now`, in the `OpenMetrics` text format.
    pub fn text(&self, snapshot: &Snapshot, now: Timestamp) -> String {
        self.sample_age.clear();
        self.snapshot_samples.clear();
        // What requests narrowed is left out: labels must have a bound.
        for (metric, reading) in snapshot.readings().filter(|(metric, _)| !metric.contains('{')) {
            let labels = MetricLabels { metric: metric.to_owned() };
            if let Some(newest) = reading.samples.newest() {
                self.sample_age.get_or_create(&labels).set(now.duration_since(newest).as_secs_f64());
            }
            let fresh = reading.samples.iter().filter(|(_, _, sample)| sample.is_fresh(now)).count();
            self.snapshot_samples.get_or_create(&labels).set(i64::try_from(fresh).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        // Only formatting can fail, and a String takes everything.
        let _ = encode(&mut text, &self.registry());
        text
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("rbg_metrics_adapter");
        registry.register("requests", "Requests answered", self.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time to answer a request",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register(
            "upstream_queries",
            "Queries to the source of metrics",
            self.upstream_queries.clone(),
        );
        registry.register_with_unit(
            "upstream_query_duration",
            "Time that the source of metrics took",
            Unit::Seconds,
            self.upstream_query_duration.clone(),
        );
        registry.register(
            "scrapes",
            "Pods scraped by ourselves (--metrics-from=direct)",
            self.scrapes.clone(),
        );
        registry.register_with_unit(
            "scrape_duration",
            "Time that a pod took to be scraped",
            Unit::Seconds,
            self.scrape_duration.clone(),
        );
        registry.register("missing", "Objects asked about that have no value", self.missing.clone());
        registry.register_with_unit(
            "sample_age",
            "Age of the newest sample of a signal",
            Unit::Seconds,
            self.sample_age.clone(),
        );
        registry.register(
            "snapshot_samples",
            "Samples of a signal younger than 60 s",
            self.snapshot_samples.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "Whether the last change of the configuration was taken over",
            self.config_last_reload_successful.clone(),
        );
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the serving certificate expires",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
        registry
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rbg_autoscaler::{
        metrics::{Reading, Sample},
        units::MilliValue,
    };

    use super::*;

    #[test]
    fn the_names_are_those_that_others_rely_on() {
        let telemetry = Telemetry::default();
        telemetry.answered("custom.metrics.k8s.io/v1beta2", "pods", 200, Duration::from_millis(2));
        telemetry.queried(&Queried {
            signal: "qps",
            outcome: "ok",
            took: Duration::from_millis(20),
            samples: 1,
            dropped: 0,
        });
        telemetry.scraped(&Scraped { outcome: "timeout", took: Duration::from_secs(1) });
        telemetry.missing("qps", Missing::Stale);
        let at = |second| Timestamp::from_second(second).expect("in range");
        telemetry.certificate_expires(at(1_900_000_000));
        let samples = [("a", "p", Sample { value: MilliValue::ZERO, time: at(1_800_000_000) })];
        let reading = Reading {
            window: Duration::ZERO,
            fold: rbg_autoscaler::metrics::Fold::Sum,
            asked_at: at(1_800_000_000),
            samples: Arc::new(samples.into_iter().collect()),
            error: None,
        };
        let snapshot = [("qps".to_owned(), reading)].into_iter().collect();
        let text = telemetry.text(&snapshot, at(1_800_000_007));
        let short: Vec<&str> = text.lines().filter(|line| !line.contains("_bucket")).collect();
        insta::assert_snapshot!(short.join("\n"));
    }
}
