//! [`Metric`]: what a count is computed from.

use std::time::Duration;

use crate::units::MilliValue;

/// One metric of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The signal, metric or resource, as `status` names it.
    pub name: String,
    /// Where it comes from.
    pub source: MetricSource,
    /// What it should be.
    pub target: Target,
}

/// Where a metric comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricSource {
    /// Our collector: an average over the role's replicas.
    Signal {
        /// How the pods of one replica combine.
        fold: Fold,
    },
    /// Our collector: the total of another role.
    RoleTotal {
        /// The other role.
        role: String,
    },
    /// Our collector: token work over the replicas' throughput.
    TokenUtilization {
        /// How far ahead the trend is followed; zero = not at all.
        lookahead: Duration,
    },
    /// metrics.k8s.io.
    Resource {
        /// The container, or the whole pod.
        container: Option<String>,
    },
    /// custom.metrics.k8s.io, per pod.
    Pods {
        /// How the pods of one replica combine.
        fold: Fold,
    },
    /// custom.metrics.k8s.io, of one object.
    Object(ObjectReference),
    /// external.metrics.k8s.io.
    External {
        /// The selector as the HPA prints it; `nil` when unset.
        selector: String,
    },
}

/// The object that an Object metric describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectReference {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// How the pods of one replica combine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fold {
    /// Additive values: queue lengths, rates.
    #[default]
    Sum,
    /// Shares and latencies: KV-cache usage, quantiles.
    Max,
}

/// What a metric should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// On average per replica.
    AverageValue(MilliValue),
    /// In all.
    Value(MilliValue),
    /// On average, in percent of the requests.
    Utilization(i32),
    /// Nothing that the HPA's formula can use; the text says why, in the HPA's words.
    Unusable(&'static str),
}

/// What wakes a sleeping role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeSignal {
    /// The signal or metric.
    pub name: String,
    /// The role whose total it is; `None` for a verbatim metric.
    pub role: Option<String>,
    /// Above this it wakes.
    pub target: MilliValue,
}
