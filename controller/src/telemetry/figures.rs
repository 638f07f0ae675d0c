//! [`Figures`]: what was last decided for every role, as gauges.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::MetricType,
};
use rbg_autoscaler::{
    api::autoscaler::RoleStatus,
    policy::{Bounds, Policy},
    scaling::{Decision, MetricStatus, Stage},
    units::MilliValue,
};

use crate::cache::store::ObjectKey;

/// What was last decided for every role, by group.
#[derive(Debug, Default)]
pub struct Figures {
    by_group: Mutex<HashMap<ObjectKey, Vec<RoleFigures>>>,
}

/// The figures of one role.
#[derive(Clone, Debug, Default, PartialEq)]
struct RoleFigures {
    role: String,
    /// In the order of [`COUNTS`].
    counts: [u32; 8],
    last_scale: Option<f64>,
    limited: Vec<String>,
    metrics: Vec<MetricFigures>,
}

/// The figures of one metric.
#[derive(Clone, Debug, Default, PartialEq)]
struct MetricFigures {
    name: String,
    value: Option<f64>,
    target: Option<f64>,
    proposed: Option<f64>,
    missing: Option<f64>,
}

const COUNTS: [(&str, &str); 8] = [
    ("current_replicas", "replicas that the group asks for"),
    ("ready_replicas", "replicas whose pods are all ready"),
    ("desired_replicas", "replicas decided on"),
    ("recommended_replicas", "the formula's answer before limits"),
    ("min_replicas", "the least replicas at this time"),
    ("max_replicas", "the most replicas at this time"),
    ("gang_replicas", "replicas that are added or removed together"),
    ("pending_replicas", "replicas with a pending pod"),
];

impl Figures {
    /// Takes in what was decided for a group.
    pub fn note(&self, group: &ObjectKey, policy: &Policy, decision: &Decision, roles: &[RoleStatus]) {
        let mut by_group = self.lock();
        match by_group.get_mut(group) {
            Some(known) if is_of(known, roles) => {
                for (figures, status) in known.iter_mut().zip(roles) {
                    figures.follow(status, policy, decision);
                }
            }
            _ => {
                let figures = roles.iter().map(|status| RoleFigures::of(status, policy, decision)).collect();
                by_group.insert(group.clone(), figures);
            }
        }
    }

    /// Takes in what was measured when all else is as it was noted.
    pub fn measured(&self, group: &ObjectKey, decision: &Decision) {
        let mut by_group = self.lock();
        let known = by_group.get_mut(group).map_or(&mut [][..], Vec::as_mut_slice);
        for (figures, decided) in known.iter_mut().zip(decision.roles.iter().flatten()) {
            for (figures, status) in figures.metrics.iter_mut().zip(&decided.metrics) {
                figures.follow(status);
            }
        }
    }

    /// Forgets the groups that are not to be kept.
    pub fn retain(&self, keep: impl Fn(&ObjectKey) -> bool) {
        self.lock().retain(|group, _| keep(group));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Vec<RoleFigures>>> {
        self.by_group.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether figures are those of these roles, so that only numbers can have changed.
fn is_of(known: &[RoleFigures], roles: &[RoleStatus]) -> bool {
    known.len() == roles.len()
        && known.iter().zip(roles).all(|(figures, status)| {
            figures.role == status.name
                && figures.metrics.len() == status.metrics.len()
                && figures.metrics.iter().zip(&status.metrics).all(|(figures, status)| figures.is_of(status))
        })
}

impl RoleFigures {
    fn of(status: &RoleStatus, policy: &Policy, decision: &Decision) -> Self {
        let metrics = status
            .metrics
            .iter()
            .map(|metric| MetricFigures { name: metric.name.clone(), ..MetricFigures::default() });
        let mut figures =
            Self { role: status.name.clone(), metrics: distinct(metrics.collect()), ..Self::default() };
        figures.follow(status, policy, decision);
        figures
    }

    /// Takes the numbers of a role whose figures these are.
    fn follow(&mut self, status: &RoleStatus, policy: &Policy, decision: &Decision) {
        let bounds = bounds(status, policy);
        let count = |replicas: i32| u32::try_from(replicas).unwrap_or(0);
        self.counts = [
            count(status.replicas),
            count(status.ready_replicas),
            count(status.desired_replicas),
            count(status.recommended_replicas),
            bounds.min.get(),
            bounds.max.get(),
            count(status.gang_replicas),
            count(status.pending_replicas),
        ];
        self.last_scale = status.last_scale_time.map(|time| time.as_duration().as_secs_f64());
        let limiting =
            status.decision.iter().filter(|step| !matches!(step.stage, Stage::Bounds | Stage::Metrics));
        self.limited.clear();
        self.limited.extend(limiting.map(|step| step.reason.clone().into_owned()));
        let is_limited =
            status.conditions.iter().find(|known| known.type_ == "ScalingLimited" && known.status == "True");
        self.limited.extend(is_limited.map(|condition| condition.reason.clone().into_owned()));
        let place = policy.roles.iter().position(|role| role.name == status.name);
        let decided = place.and_then(|place| decision.roles.get(place)?.as_ref());
        let shortages = decided.iter().flat_map(|decided| &decided.shortages);
        self.limited.extend(shortages.map(|reason| (*reason).to_owned()));
        self.limited.sort_unstable();
        self.limited.dedup();
        for (figures, status) in self.metrics.iter_mut().zip(&status.metrics) {
            figures.follow(status);
        }
    }
}

/// Tells metrics of one name apart, such as the queue of a role and that of its router: Prometheus refuses a page that
/// has a series twice.
fn distinct(mut metrics: Vec<MetricFigures>) -> Vec<MetricFigures> {
    for index in 1..metrics.len() {
        let (before, rest) = metrics.split_at_mut(index);
        let Some(metric) = rest.first_mut() else { break };
        let same = before.iter().filter(|other| other.name.split('#').next() == Some(&metric.name)).count();
        if same > 0 {
            metric.name = format!("{}#{}", metric.name, same + 1);
        }
    }
    metrics
}

/// The bounds of the time: the policy's, or the active schedule's.
fn bounds(status: &RoleStatus, policy: &Policy) -> Bounds {
    let Some((place, role)) = policy.roles.iter().enumerate().find(|(_, role)| role.name == status.name)
    else {
        return Bounds::default();
    };
    let active = status.active_schedule.as_ref();
    let schedule = active.and_then(|name| policy.schedules.iter().find(|schedule| schedule.name == *name));
    let scheduled = schedule.and_then(|schedule| schedule.roles.iter().find(|bounds| bounds.role == place));
    Bounds {
        min: scheduled.and_then(|bounds| bounds.min).unwrap_or(role.bounds.min),
        max: scheduled.and_then(|bounds| bounds.max).unwrap_or(role.bounds.max),
    }
}

impl MetricFigures {
    /// Whether it is a metric of that name; equal names are told apart by a number.
    fn is_of(&self, status: &MetricStatus) -> bool {
        self.name
            .strip_prefix(status.name.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
    }

    /// Value and target in the target's own kind: an average, a total or percent.
    fn follow(&mut self, status: &MetricStatus) {
        let quantity = |quantity: Option<&Quantity>| {
            quantity.and_then(|text| text.0.parse::<MilliValue>().ok()).map(MilliValue::as_f64)
        };
        let current = status.current.as_ref();
        let percent = |percent: Option<i32>| percent.map(f64::from);
        (self.value, self.target) = match &status.target {
            Some(target) if target.average_utilization.is_some() => (
                percent(current.and_then(|current| current.average_utilization)),
                percent(target.average_utilization),
            ),
            Some(target) if target.average_value.is_some() => (
                quantity(current.and_then(|current| current.average_value.as_ref())),
                quantity(target.average_value.as_ref()),
            ),
            Some(target) => (
                quantity(current.and_then(|current| current.value.as_ref())),
                quantity(target.value.as_ref()),
            ),
            None => (None, None),
        };
        self.proposed = status.proposed_replicas.map(f64::from);
        self.missing = status.missing_replicas.map(f64::from);
    }
}

/// Picks one figure of a metric.
type Pick = fn(&MetricFigures) -> Option<f64>;

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let by_group = self.lock();
        let roles: Vec<_> =
            by_group.iter().flat_map(|(group, roles)| roles.iter().map(move |role| (group, role))).collect();
        for (place, (name, help)) in COUNTS.into_iter().enumerate() {
            let values = roles.iter().map(|(group, role)| {
                let count = role.counts.get(place).copied().unwrap_or_default();
                (labels(group, role), Some(f64::from(count)))
            });
            gauge(&mut encoder, name, help, values)?;
        }
        let last = roles.iter().map(|(group, role)| (labels(group, role), role.last_scale));
        gauge(&mut encoder, "last_scale_timestamp_seconds", "when the count was last written", last)?;
        let limited = roles.iter().flat_map(|(group, role)| {
            role.limited.iter().map(|reason| (with("reason", reason, group, role), Some(1.0)))
        });
        gauge(
            &mut encoder,
            "limited",
            "1 while this reason keeps the count from what the metrics ask for",
            limited,
        )?;
        let of_metrics: [(&str, &str, Pick); 4] = [
            ("metric_value", "a metric as measured", |metric| metric.value),
            ("metric_target", "a metric's target", |metric| metric.target),
            ("metric_proposed_replicas", "the count that a metric alone asks for", |metric| metric.proposed),
            ("metric_missing_replicas", "replicas or sources without a value of a metric", |metric| {
                metric.missing
            }),
        ];
        for (name, help, pick) in of_metrics {
            let values = roles.iter().flat_map(|(group, role)| {
                role.metrics
                    .iter()
                    .map(move |metric| (with("metric", &metric.name, group, role), pick(metric)))
            });
            gauge(&mut encoder, name, help, values)?;
        }
        Ok(())
    }
}

fn gauge<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, Option<f64>)>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        if let Some(value) = value {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    Ok(())
}

fn labels<'a>(group: &'a ObjectKey, role: &'a RoleFigures) -> [(&'static str, &'a str); 3] {
    [("namespace", &group.namespace), ("group", &group.name), ("role", &role.role)]
}

/// The labels of a role, and one more.
fn with<'a>(
    name: &'static str,
    value: &'a str,
    group: &'a ObjectKey,
    role: &'a RoleFigures,
) -> [(&'static str, &'a str); 4] {
    let [namespace, group, role] = labels(group, role);
    [namespace, group, role, (name, value)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_one_name_are_told_apart() {
        let metric = |name: &str| MetricFigures { name: name.to_owned(), ..MetricFigures::default() };
        let told = distinct(vec![metric("qps"), metric("queue_length"), metric("qps"), metric("qps")]);
        let names: Vec<_> = told.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["qps", "queue_length", "qps#2", "qps#3"]);
    }
}
