//! From what a decision saw to a [`ScalingSnapshot`](super::ScalingSnapshot): the other direction of `convert`.
//!
//! Figures go over exactly, so that a decision on the document is the live one.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::{
    CapacitySnapshot, RateSnapshot, ReadingSnapshot, ReservationSnapshot, ScaleUpLimit, SnapshotSettings,
    TemplateSnapshot,
};
use crate::scaling::{CapacityObservation, RatePair, Reading, Reservation, RoleObservation, Settings};

impl SnapshotSettings {
    /// Returns the settings of a controller.
    pub fn of(settings: &Settings) -> Self {
        Self {
            tolerance: Some(settings.tolerance),
            cpu_initialization_period: Some(settings.cpu_initialization_period.into()),
            initial_readiness_delay: Some(settings.initial_readiness_delay.into()),
            downscale_stabilization: Some(settings.downscale_stabilization.into()),
            scale_up_limit: Some(ScaleUpLimit {
                factor: Some(settings.scale_up_factor),
                minimum: Some(settings.scale_up_minimum),
            }),
            pod_level_resources: Some(settings.pod_level_resources),
        }
    }
}

impl ReadingSnapshot {
    /// Returns a reading, but `None` for samples of replicas: they no longer tell which pods they are of.
    pub fn of(reading: &Reading) -> Option<Self> {
        match reading {
            Reading::Failed(error) => Some(Self { error: Some(error.clone()), ..Self::default() }),
            Reading::Total(total) => Some(Self {
                values: Some(total.values.clone()),
                expected: total.expected,
                reported: total.reported,
                silent: total.silent.clone(),
                timestamp: total.time,
                ..Self::default()
            }),
            Reading::Tokens(tokens) => Some(Self {
                prompt_tokens_per_second: rates(tokens.prompt),
                generation_tokens_per_second: rates(tokens.generation),
                pending_tokens: tokens.pending_tokens,
                slope_per_second: tokens.slope_nanos_per_second.map(|nanos| format!("{nanos}n")),
                expected: tokens.expected,
                reported: tokens.reported,
                silent: tokens.silent.clone(),
                timestamp: tokens.time,
                ..Self::default()
            }),
            Reading::Replicas(_) => None,
        }
    }
}

fn rates(pair: RatePair) -> Option<RateSnapshot> {
    (pair.short.is_some() || pair.long.is_some())
        .then_some(RateSnapshot { short: pair.short, long: pair.long })
}

impl TemplateSnapshot {
    /// Returns the templates of a role.
    pub fn of(seen: &RoleObservation) -> Vec<Self> {
        let templates = seen.templates.iter();
        templates
            .map(|(count, spec)| Self {
                count: i32::try_from(*count).unwrap_or(i32::MAX),
                spec: trimmed(spec),
            })
            .collect()
    }
}

impl CapacitySnapshot {
    /// Returns the room of a cluster.
    pub fn of(seen: &CapacityObservation) -> Self {
        let pods = seen.pods.iter().map(|pod| {
            let mut pod = Pod::clone(pod);
            pod.metadata.annotations = None;
            pod.metadata.managed_fields = None;
            pod.spec = pod.spec.as_ref().map(trimmed);
            pod
        });
        Self {
            nodes: seen.nodes.as_deref().cloned(),
            pods: pods.collect(),
            reserved: seen.reserved.iter().map(ReservationSnapshot::of).collect(),
            taken: Some(seen.taken.iter().map(ReservationSnapshot::of).collect()),
            unknown: seen.unknown.clone(),
        }
    }
}

impl ReservationSnapshot {
    fn of(reservation: &Reservation) -> Self {
        let ports = reservation.ports.iter().map(|(number, protocol)| format!("{number}/{protocol}"));
        Self {
            node: reservation.node.clone(),
            requests: reservation.requests.iter().cloned().collect(),
            ports: ports.collect(),
        }
    }
}

/// Leaves out what no decision reads and what may be secret: images, commands, arguments, environment.
fn trimmed(spec: &PodSpec) -> PodSpec {
    let mut spec = spec.clone();
    let containers = spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten());
    for container in containers {
        *container = Container {
            name: std::mem::take(&mut container.name),
            ports: container.ports.take(),
            resources: container.resources.take(),
            restart_policy: container.restart_policy.take(),
            volume_mounts: container.volume_mounts.take(),
            ..Container::default()
        };
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::{Metric, MetricSource, Target},
        scaling::{TokenReading, Total},
        units::MilliValue,
    };

    #[test]
    fn figures_go_over_and_come_back_exactly() {
        let now = "2026-11-21T10:00:00.123Z".parse().expect("a time");
        let milli = |value| Some(MilliValue::from_milli(value));
        let total = Reading::Total(Total {
            values: vec![MilliValue::from_milli(12_345), MilliValue::ZERO],
            expected: Some(3),
            reported: Some(2),
            silent: vec!["router-2".to_owned()],
            time: Some(now),
        });
        let tokens = Reading::Tokens(TokenReading {
            prompt: RatePair { short: milli(52_000_001), long: None },
            pending_tokens: milli(7),
            slope_nanos_per_second: Some(-1_234_567),
            expected: Some(1),
            reported: Some(1),
            time: Some(now),
            ..TokenReading::default()
        });
        let metric = |source| Metric {
            name: "m".to_owned(),
            source,
            target: Target::AverageValue(MilliValue::from_whole(1)),
        };
        let fold = crate::api::replica::ReplicaFold::of([], 1);
        for (reading, source) in [
            (total, MetricSource::RoleTotal { role: "router".to_owned() }),
            (tokens, MetricSource::TokenUtilization { lookahead: std::time::Duration::ZERO }),
            (Reading::Failed("gone".to_owned()), MetricSource::RoleTotal { role: "router".to_owned() }),
        ] {
            let wire = ReadingSnapshot::of(&reading).expect("not of replicas");
            let text = serde_json::to_string(&wire).expect("JSON");
            let read: ReadingSnapshot = serde_json::from_str(&text).expect("a reading");
            let back = read.reading(&metric(source), &fold, &Settings::default(), now);
            assert_eq!(back, reading, "{text}");
        }
    }
}
