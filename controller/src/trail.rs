//! [`Trail`]: how a role came where it is: a few numbers every ten seconds over ten minutes, for people who ask.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{api::autoscaling::v2::MetricTarget, apimachinery::pkg::api::resource::Quantity};
use rbg_autoscaler::{
    api::snapshot::TrailPoint,
    scaling::{MetricStatus, RoleDecision, RoleObservation},
    units::{MilliValue, Replicas},
};

/// Points kept of a role.
const POINTS: usize = 60;
/// The time between two of them.
const SPACING: Duration = Duration::from_secs(10);

/// How one role came where it is; at most [`POINTS`] × 16 bytes.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    points: VecDeque<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    /// Since 1970.
    seconds: u32,
    /// Not a number while no metric answers.
    load: f32,
    replicas: u16,
    ready: u16,
    desired: u16,
}

impl Trail {
    /// Takes in what was decided; within the spacing the newest decision stands for all.
    pub fn note(&mut self, seen: &RoleObservation, decided: &RoleDecision, now: Timestamp) {
        let count = |replicas: Replicas| u16::try_from(replicas.get()).unwrap_or(u16::MAX);
        let seconds = u32::try_from(now.as_second()).unwrap_or(u32::MAX);
        let point = Point {
            seconds: seconds - seconds % u32::try_from(SPACING.as_secs()).unwrap_or(1),
            load: load(&decided.metrics).unwrap_or(f32::NAN),
            replicas: count(seen.spec_replicas),
            ready: u16::try_from(seen.ready_replicas()).unwrap_or(u16::MAX),
            desired: count(decided.desired_replicas),
        };
        match self.points.back_mut() {
            Some(last) if last.seconds == point.seconds => *last = point,
            _ => self.points.push_back(point),
        }
        if self.points.len() > POINTS {
            self.points.pop_front();
        }
    }

    /// Returns the points, oldest first.
    pub fn points(&self) -> Vec<TrailPoint> {
        let points = self.points.iter().map(|point| TrailPoint {
            time: Timestamp::from_second(i64::from(point.seconds)).unwrap_or_default(),
            load: (!point.load.is_nan()).then_some(point.load),
            replicas: point.replicas,
            ready_replicas: point.ready,
            desired_replicas: point.desired,
        });
        points.collect()
    }
}

/// The worst metric's value over its target.
fn load(metrics: &[MetricStatus]) -> Option<f32> {
    let ratios = metrics.iter().filter_map(|metric| {
        let (value, target) = value_and_target(metric)?;
        (target > 0.0).then_some(value / target)
    });
    #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "a picture needs no more")]
    ratios.reduce(f64::max).map(|ratio| ratio as f32)
}

/// Value and target in the target's own kind: an average, a total or percent.
fn value_and_target(metric: &MetricStatus) -> Option<(f64, f64)> {
    let quantity = |quantity: &Option<Quantity>| {
        quantity.as_ref().and_then(|text| text.0.parse::<MilliValue>().ok()).map(MilliValue::as_f64)
    };
    let current = metric.current.as_ref()?;
    let target: &MetricTarget = metric.target.as_ref()?;
    if let Some(percent) = target.average_utilization {
        return Some((f64::from(current.average_utilization?), f64::from(percent)));
    }
    match quantity(&target.average_value) {
        Some(target) => Some((quantity(&current.average_value)?, target)),
        None => Some((quantity(&current.value)?, quantity(&target.value)?)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metrics(value: &str) -> Vec<MetricStatus> {
        serde_json::from_value(json!([
            {"name": "qps", "target": {"type": "Value", "value": "4"}, "current": {"value": "1"}},
            {"name": "queue_length", "target": {"type": "AverageValue", "averageValue": "10"},
                "current": {"averageValue": value}},
            {"name": "kv_cache_usage", "target": {"type": "AverageValue", "averageValue": "800m"}, "error": "gone"}]))
        .expect("metrics")
    }

    #[test]
    fn ten_minutes_are_kept_and_the_newest_decision_of_ten_seconds() {
        let mut trail = Trail::default();
        let decided = RoleDecision { metrics: metrics("12500m"), ..RoleDecision::default() };
        for second in 0..700_u32 {
            let now = Timestamp::from_second(1_800_000_000 + i64::from(second)).expect("in range");
            let spec_replicas = Replicas::new(second);
            trail.note(&RoleObservation { spec_replicas, ..RoleObservation::default() }, &decided, now);
        }
        let points = trail.points();
        assert_eq!(points.len(), POINTS);
        let last = points.last().expect("points");
        assert_eq!(
            (last.replicas, last.load, last.time.as_second()),
            (699, Some(1.25), 1_800_000_690),
            "the worst metric that answers"
        );
        assert_eq!(points[0].time.as_second(), 1_800_000_100);
        assert_eq!(size_of::<Point>(), 16);
    }

    #[test]
    fn silence_is_no_load() {
        let mut trail = Trail::default();
        trail.note(&RoleObservation::default(), &RoleDecision::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(trail.points()[0].load, None);
    }
}
