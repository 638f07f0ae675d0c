//! [`Evaluation`]: what one metric came to, and how it is shown and told.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::{
    api::autoscaling::v2::{MetricTarget, MetricValueStatus},
    apimachinery::pkg::api::resource::Quantity,
};

use super::float;
use crate::{
    policy::{Metric, MetricSource, Target},
    scaling::MetricStatus,
    units::{MilliValue, Replicas},
};

/// What one metric came to.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation {
    /// The HPA's number; it may be negative for negative usage.
    pub proposed: i32,
    /// Whether the ratio was above 1 before missing replicas were filled in.
    pub above_target: bool,
    /// The first-pass figures.
    pub shown: Shown,
    /// Replicas, or sources of a total, without an answer.
    pub missing: Option<usize>,
    /// The newest sample.
    pub time: Option<Timestamp>,
    /// Who was silent, when the figure is only a lower bound.
    pub partial: Option<String>,
    /// Whether it answered zero, completely.
    pub idle: bool,
    /// How the number came about.
    pub basis: Basis,
}

/// First-pass figures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown {
    /// In percent of the requests.
    pub utilization: Option<i32>,
    /// Per replica.
    pub average: Option<MilliValue>,
    /// In all.
    pub value: Option<MilliValue>,
}

/// How a number came about.
#[derive(Clone, Debug)]
pub(crate) enum Basis {
    /// From samples of replicas.
    Replicas {
        /// Replicas that count.
        ready: usize,
        /// Replicas without a sample.
        missing: usize,
        /// Replicas that start.
        unready: usize,
        /// The ratio that decided.
        ratio: f64,
        /// The samples that it is multiplied with.
        count: usize,
        /// Whether missing or starting replicas were filled in.
        filled: bool,
    },
    /// From a total.
    Total {
        /// The total.
        usage: MilliValue,
        /// The target, of all or per replica.
        target: MilliValue,
        /// Ready replicas, when they entered.
        ready: Option<usize>,
        /// Whether the ratio was within the tolerance.
        kept: bool,
    },
    /// From token work.
    Tokens {
        /// The work in thousandths of a replica's worth.
        work: MilliValue,
    },
}

impl Evaluation {
    /// Returns the metric as `status` shows it.
    pub fn status(&self, metric: &Metric) -> MetricStatus {
        let binary = matches!(metric.source, MetricSource::Resource { .. }) && metric.name == "memory";
        let quantity =
            |value: MilliValue| Quantity(if binary { value.to_binary_string() } else { value.to_string() });
        MetricStatus {
            name: metric.name.clone(),
            current: Some(MetricValueStatus {
                average_utilization: self.shown.utilization,
                average_value: self.shown.average.map(quantity),
                value: self.shown.value.map(quantity),
            }),
            target: Some(target_status(metric.target)),
            proposed_replicas: Some(self.proposed),
            missing_replicas: self.missing.and_then(|missing| i32::try_from(missing).ok()),
            last_sample_time: self.time,
            error: self.partial.as_ref().map(|who| format!("PartialMetric: {who}")),
        }
    }

    /// Tells in words how the metric came to `count`, as the role's count rather than the HPA's number.
    pub fn words(&self, metric: &Metric, count: Replicas) -> String {
        let mut words = format!("{}: ", metric.name);
        // Writing to a String cannot fail.
        let _ = match &self.basis {
            Basis::Replicas { ready, missing, unready, ratio, count: held, filled } => {
                let replicas = if *ready == 1 { "replica" } else { "replicas" };
                let _ = match (metric.target, self.shown.utilization) {
                    (Target::Utilization(target), Some(percent)) => write!(
                        words,
                        "{percent} % of the requests over {ready} ready {replicas}, target {target} %"
                    ),
                    (target, _) => write!(
                        words,
                        "{} per replica over {ready} ready {replicas}, target {}",
                        plain(self.shown.average.unwrap_or_default()),
                        plain(target_value(target)),
                    ),
                };
                if *filled {
                    let up = self.above_target;
                    if *missing > 0 {
                        let _ = write!(
                            words,
                            ", {missing} missing taken as {}",
                            if up { "0" } else { "on target" }
                        );
                    }
                    if *unready > 0 && up {
                        let _ = write!(words, ", {unready} starting taken as 0");
                    }
                }
                write!(words, ": {}", decimal(float::times(*ratio, *held)))
            }
            Basis::Total { usage, target, ready, kept } => {
                let share = float::ratio(usage.milli(), target.milli());
                let per = if matches!(metric.target, Target::AverageValue(_)) { " per replica" } else { "" };
                let _ = write!(words, "{} in all, target {}{per}", plain(*usage), plain(*target));
                match ready {
                    _ if *kept => write!(words, ": within tolerance"),
                    Some(ready) => {
                        write!(words, ", {ready} ready replicas: {}", decimal(float::times(share, *ready)))
                    }
                    None => write!(words, ": {}", decimal(share)),
                }
            }
            Basis::Tokens { work } => write!(
                words,
                "work of {} replicas at full throughput, target {}: {}",
                plain(*work),
                plain(target_value(metric.target)),
                decimal(float::ratio(work.milli(), target_value(metric.target).milli())),
            ),
        };
        let _ = write!(words, ", so {count}");
        words
    }
}

/// Returns what a metric without an answer shows.
pub(crate) fn failed_status(metric: &Metric, error: &str) -> MetricStatus {
    MetricStatus {
        name: metric.name.clone(),
        target: Some(target_status(metric.target)),
        error: Some(error.to_owned()),
        ..MetricStatus::default()
    }
}

/// Tells who of a total's sources was silent.
pub(crate) fn silence(reported: u32, expected: u32, silent: &[String]) -> String {
    let mut words = format!("{reported} of {expected} sources answered");
    if !silent.is_empty() {
        let _ = write!(words, ", silent: {}", silent.join(", "));
    }
    words
}

fn target_status(target: Target) -> MetricTarget {
    let mut status = MetricTarget::default();
    let type_ = match target {
        Target::AverageValue(value) => {
            status.average_value = Some(Quantity(value.to_string()));
            "AverageValue"
        }
        Target::Value(value) => {
            status.value = Some(Quantity(value.to_string()));
            "Value"
        }
        Target::Utilization(percent) => {
            status.average_utilization = Some(percent);
            "Utilization"
        }
        Target::Unusable(_) => "",
    };
    type_.clone_into(&mut status.type_);
    status
}

const fn target_value(target: Target) -> MilliValue {
    match target {
        Target::AverageValue(value) | Target::Value(value) => value,
        Target::Utilization(_) | Target::Unusable(_) => MilliValue::ZERO,
    }
}

/// A milli-value as people write it: `37`, `0.8`, `1.333`.
pub(crate) fn plain(value: MilliValue) -> String {
    let (whole, rest) = (value.milli() / 1000, (value.milli() % 1000).unsigned_abs());
    let sign = if value.milli() < 0 && whole == 0 { "-" } else { "" };
    if rest == 0 {
        return format!("{whole}");
    }
    let text = format!("{sign}{whole}.{rest:03}");
    text.trim_end_matches('0').to_owned()
}

/// A ratio as people write it: at most one decimal, never rounded onto a whole number from above.
fn decimal(value: f64) -> String {
    if value.fract() == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let text = format!("{value:.1}");
    if text.ends_with(".0") { format!("{value:.3}") } else { text }
}
