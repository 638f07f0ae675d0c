//! [`Telemetry`]: the controller's own metrics, in the Prometheus text format.

use std::{sync::Mutex, sync::PoisonError, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// The content type of what [`Telemetry::text`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the buckets of durations, in seconds.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// The kind of an error.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    class: &'static str,
}

/// The controller's own metrics.
#[derive(Debug)]
pub struct Telemetry {
    registry: Mutex<Registry>,
    errors: Family<ErrorLabels, Counter>,
    leader: Gauge,
    undecodable: Gauge,
    sync_duration: Histogram,
}

impl Default for Telemetry {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("rbg_autoscaler");
        let errors = Family::default();
        let (leader, undecodable) = (Gauge::default(), Gauge::default());
        let sync_duration = Histogram::new(SECONDS);
        registry.register("errors", "errors by class", errors.clone());
        registry.register("leader", "1 while this process leads", leader.clone());
        registry.register(
            "undecodable_objects",
            "objects that cannot be decoded and are skipped",
            undecodable.clone(),
        );
        registry.register(
            "sync_duration_seconds",
            "time to observe and decide for a batch of groups",
            sync_duration.clone(),
        );
        Self { registry: Mutex::new(registry), errors, leader, undecodable, sync_duration }
    }
}

impl Telemetry {
    /// An error of this class happened.
    pub fn error(&self, class: &'static str) {
        self.errors.get_or_create(&ErrorLabels { class }).inc();
    }

    /// The process leads, or no longer.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// So many objects cannot be decoded.
    pub fn undecodable(&self, count: usize) {
        self.undecodable.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A batch of groups was decided on.
    pub fn worked(&self, took: Duration) {
        self.sync_duration.observe(took.as_secs_f64());
    }

    /// Returns all metrics as text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}
