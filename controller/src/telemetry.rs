//! [`Telemetry`]: the controller's own metrics, in the text format of Prometheus.

mod figures;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

pub use self::figures::Figures;
use crate::cache::store::ObjectKey;

/// The content type of what [`Telemetry::text`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the buckets of durations, in seconds.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// The kind of an error.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    class: &'static str,
}

/// A role and a direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScaleLabels {
    namespace: String,
    group: String,
    role: String,
    direction: Direction,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    namespace: String,
    group: String,
    role: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label's values")]
enum Direction {
    up,
    down,
}

/// A count that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaled {
    /// Whether it was raised.
    pub up: bool,
    /// Whether gangs were taken back because they found no room.
    pub rolled_back: bool,
}

/// The controller's own metrics.
#[derive(Debug)]
pub struct Telemetry {
    registry: Mutex<Registry>,
    figures: Arc<Figures>,
    errors: Family<ErrorLabels, Counter>,
    scale_events: Family<ScaleLabels, Counter>,
    gang_rollbacks: Family<RoleLabels, Counter>,
    leader: Gauge,
    undecodable: Gauge,
    sync_duration: Histogram,
}

impl Default for Telemetry {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("rbg_autoscaler");
        let (errors, scale_events, gang_rollbacks) =
            (Family::default(), Family::default(), Family::default());
        let (leader, undecodable) = (Gauge::default(), Gauge::default());
        let sync_duration = Histogram::new(SECONDS);
        let figures = Arc::<Figures>::default();
        registry.register("errors", "errors by class", errors.clone());
        registry.register("scale_events", "counts written", scale_events.clone());
        registry.register(
            "gang_rollbacks",
            "times that gangs were taken back for want of room",
            gang_rollbacks.clone(),
        );
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
        registry.register_collector(Box::new(Arc::clone(&figures)));
        let registry = Mutex::new(registry);
        Self { registry, figures, errors, scale_events, gang_rollbacks, leader, undecodable, sync_duration }
    }
}

impl Telemetry {
    /// An error of this class happened.
    pub fn error(&self, class: &'static str) {
        self.errors.get_or_create(&ErrorLabels { class }).inc();
    }

    /// A count was written.
    pub fn scaled(&self, group: &ObjectKey, role: &str, scaled: Scaled) {
        let (namespace, name, role) = (group.namespace.clone(), group.name.clone(), role.to_owned());
        if scaled.rolled_back {
            let labels = RoleLabels { namespace: namespace.clone(), group: name.clone(), role: role.clone() };
            self.gang_rollbacks.get_or_create(&labels).inc();
        }
        let direction = if scaled.up { Direction::up } else { Direction::down };
        self.scale_events.get_or_create(&ScaleLabels { namespace, group: name, role, direction }).inc();
    }

    /// The process leads, or no longer; a standby shows no figures of roles.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            self.figures.retain(|_| false);
        }
    }

    /// So many objects cannot be decoded.
    pub fn undecodable(&self, count: usize) {
        self.undecodable.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A batch of groups was decided on.
    pub fn worked(&self, took: Duration) {
        self.sync_duration.observe(took.as_secs_f64());
    }

    /// Returns what was last decided for every role.
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Returns all metrics as text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use rbg_autoscaler::{
        api::autoscaler::{RoleBasedGroupAutoscalerSpec, RoleStatus},
        policy::Policy,
        scaling::{Decision, RoleDecision},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn every_metric_with_its_labels() {
        let telemetry = Telemetry::default();
        let group = ObjectKey::new("serving", "demo");
        let spec: RoleBasedGroupAutoscalerSpec = serde_json::from_value(json!({"groupRef": {"name": "demo"}, "roles": [
            {"name": "decode", "maxReplicas": 8, "gang": {"replicas": 4}, "metrics": [{"name": "queue_length", "target": "10"}]}]}))
        .expect("a spec");
        let role: RoleStatus = serde_json::from_value(json!({
            "name": "decode", "replicas": 4, "readyReplicas": 3, "desiredReplicas": 8, "recommendedReplicas": 5, "gangReplicas": 4,
            "pendingReplicas": 1, "lastScaleTime": "2026-11-21T10:00:00Z",
            "metrics": [{"name": "queue_length", "current": {"averageValue": "12500m"}, "proposedReplicas": 5, "missingReplicas": 1,
                "target": {"type": "AverageValue", "averageValue": "10"}}],
            "decision": [{"stage": "gang", "from": 5, "to": 8, "reason": "WholeGangs", "message": ""}],
            "conditions": [{"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas", "message": ""}],
        }))
        .expect("a status");
        let policy = Policy::try_from(&spec).expect("a policy");
        let decided = RoleDecision { shortages: vec!["PartialGang"], ..RoleDecision::default() };
        let decision = Decision { roles: vec![Some(decided)], ..Decision::default() };
        telemetry.figures().note(&group, &policy, &decision, std::slice::from_ref(&role));
        telemetry.scaled(&group, "decode", Scaled { up: false, rolled_back: true });
        telemetry.error("conflict");
        telemetry.leads(true);
        let text = telemetry.text().expect("text");
        let shown: Vec<_> = text.lines().filter(|line| !line.contains("_bucket")).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        # HELP rbg_autoscaler_errors errors by class.
        # TYPE rbg_autoscaler_errors counter
        rbg_autoscaler_errors_total{class="conflict"} 1
        # HELP rbg_autoscaler_scale_events counts written.
        # TYPE rbg_autoscaler_scale_events counter
        rbg_autoscaler_scale_events_total{namespace="serving",group="demo",role="decode",direction="down"} 1
        # HELP rbg_autoscaler_gang_rollbacks times that gangs were taken back for want of room.
        # TYPE rbg_autoscaler_gang_rollbacks counter
        rbg_autoscaler_gang_rollbacks_total{namespace="serving",group="demo",role="decode"} 1
        # HELP rbg_autoscaler_leader 1 while this process leads.
        # TYPE rbg_autoscaler_leader gauge
        rbg_autoscaler_leader 1
        # HELP rbg_autoscaler_undecodable_objects objects that cannot be decoded and are skipped.
        # TYPE rbg_autoscaler_undecodable_objects gauge
        rbg_autoscaler_undecodable_objects 0
        # HELP rbg_autoscaler_sync_duration_seconds time to observe and decide for a batch of groups.
        # TYPE rbg_autoscaler_sync_duration_seconds histogram
        rbg_autoscaler_sync_duration_seconds_sum 0.0
        rbg_autoscaler_sync_duration_seconds_count 0
        # HELP rbg_autoscaler_current_replicas replicas that the group asks for
        # TYPE rbg_autoscaler_current_replicas gauge
        rbg_autoscaler_current_replicas{namespace="serving",group="demo",role="decode"} 4.0
        # HELP rbg_autoscaler_ready_replicas replicas whose pods are all ready
        # TYPE rbg_autoscaler_ready_replicas gauge
        rbg_autoscaler_ready_replicas{namespace="serving",group="demo",role="decode"} 3.0
        # HELP rbg_autoscaler_desired_replicas replicas decided on
        # TYPE rbg_autoscaler_desired_replicas gauge
        rbg_autoscaler_desired_replicas{namespace="serving",group="demo",role="decode"} 8.0
        # HELP rbg_autoscaler_recommended_replicas the formula's answer before limits
        # TYPE rbg_autoscaler_recommended_replicas gauge
        rbg_autoscaler_recommended_replicas{namespace="serving",group="demo",role="decode"} 5.0
        # HELP rbg_autoscaler_min_replicas the least replicas at this time
        # TYPE rbg_autoscaler_min_replicas gauge
        rbg_autoscaler_min_replicas{namespace="serving",group="demo",role="decode"} 4.0
        # HELP rbg_autoscaler_max_replicas the most replicas at this time
        # TYPE rbg_autoscaler_max_replicas gauge
        rbg_autoscaler_max_replicas{namespace="serving",group="demo",role="decode"} 8.0
        # HELP rbg_autoscaler_gang_replicas replicas that are added or removed together
        # TYPE rbg_autoscaler_gang_replicas gauge
        rbg_autoscaler_gang_replicas{namespace="serving",group="demo",role="decode"} 4.0
        # HELP rbg_autoscaler_pending_replicas replicas with a pending pod
        # TYPE rbg_autoscaler_pending_replicas gauge
        rbg_autoscaler_pending_replicas{namespace="serving",group="demo",role="decode"} 1.0
        # HELP rbg_autoscaler_last_scale_timestamp_seconds when the count was last written
        # TYPE rbg_autoscaler_last_scale_timestamp_seconds gauge
        rbg_autoscaler_last_scale_timestamp_seconds{namespace="serving",group="demo",role="decode"} 1795255200.0
        # HELP rbg_autoscaler_limited 1 while this reason keeps the count from what the metrics ask for
        # TYPE rbg_autoscaler_limited gauge
        rbg_autoscaler_limited{namespace="serving",group="demo",role="decode",reason="PartialGang"} 1.0
        rbg_autoscaler_limited{namespace="serving",group="demo",role="decode",reason="TooManyReplicas"} 1.0
        rbg_autoscaler_limited{namespace="serving",group="demo",role="decode",reason="WholeGangs"} 1.0
        # HELP rbg_autoscaler_metric_value a metric as measured
        # TYPE rbg_autoscaler_metric_value gauge
        rbg_autoscaler_metric_value{namespace="serving",group="demo",role="decode",metric="queue_length"} 12.5
        # HELP rbg_autoscaler_metric_target a metric's target
        # TYPE rbg_autoscaler_metric_target gauge
        rbg_autoscaler_metric_target{namespace="serving",group="demo",role="decode",metric="queue_length"} 10.0
        # HELP rbg_autoscaler_metric_proposed_replicas the count that a metric alone asks for
        # TYPE rbg_autoscaler_metric_proposed_replicas gauge
        rbg_autoscaler_metric_proposed_replicas{namespace="serving",group="demo",role="decode",metric="queue_length"} 5.0
        # HELP rbg_autoscaler_metric_missing_replicas replicas or sources without a value of a metric
        # TYPE rbg_autoscaler_metric_missing_replicas gauge
        rbg_autoscaler_metric_missing_replicas{namespace="serving",group="demo",role="decode",metric="queue_length"} 1.0
        # EOF
        "#);
        telemetry.leads(false);
        assert!(!telemetry.text().expect("text").contains("current_replicas{"), "a standby shows no roles");
    }
}
