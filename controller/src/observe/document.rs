//! What a decision saw, as a document that replays it.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rbg_autoscaler::api::autoscaler::{API_VERSION, KIND, RoleBasedGroupAutoscaler};
use rbg_autoscaler::{
    api::snapshot::{
        AutoscalerObject, CapacitySnapshot, FoldSnapshot, ReadingSnapshot, RoleSnapshot, SampleSnapshot,
        ScalingSnapshot, SnapshotSettings, TemplateSnapshot,
    },
    metrics,
    policy::{Metric, MetricSource, RolePolicy},
    scaling::{RoleHistory, RoleObservation},
};

use super::{Observed, Scene, readings::by};
use crate::ask::Place;

impl Scene<'_> {
    /// Returns what was observed as a document; a decision on it is the live one.
    pub(super) fn document(
        &self,
        autoscaler: &RoleBasedGroupAutoscaler,
        policies: &[RolePolicy],
        observed: &Observed,
        before: &[RoleHistory],
    ) -> ScalingSnapshot {
        let seen = &observed.observation;
        let mut document = ScalingSnapshot {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some("ScalingSnapshot".to_owned()),
            now: Some(self.now),
            settings: Some(SnapshotSettings::of(&seen.settings)),
            autoscaler: AutoscalerObject {
                api_version: Some(API_VERSION.to_owned()),
                kind: Some(KIND.to_owned()),
                metadata: ObjectMeta {
                    name: autoscaler.metadata.name.clone(),
                    namespace: autoscaler.metadata.namespace.clone(),
                    ..ObjectMeta::default()
                },
                spec: autoscaler.spec.clone(),
                status: None,
            },
            capacity: seen.capacity.as_deref().map(CapacitySnapshot::of),
            ..ScalingSnapshot::default()
        };
        for (index, policy) in policies.iter().enumerate() {
            let role = match seen.roles.get(index).and_then(Option::as_ref) {
                Some(seen) => self.role_document(policy, seen, before.get(index).cloned()),
                None => RoleSnapshot {
                    absent: Some(true),
                    history: before.get(index).cloned(),
                    ..RoleSnapshot::default()
                },
            };
            document.roles.insert(policy.name.clone(), role);
        }
        document
    }

    fn role_document(
        &self,
        policy: &RolePolicy,
        seen: &RoleObservation,
        history: Option<RoleHistory>,
    ) -> RoleSnapshot {
        let count = |replicas: u32| i32::try_from(replicas).ok();
        let metrics = policy.metrics.iter().zip(&seen.readings).enumerate();
        let readings = metrics.map(|(index, (metric, reading))| {
            let place = Place::Metric(policy.name.clone(), index);
            ReadingSnapshot::of(reading).or_else(|| self.samples_document(metric, &place, &policy.name))
        });
        RoleSnapshot {
            absent: None,
            spec_replicas: count(seen.spec_replicas.get()),
            status_replicas: count(seen.status_replicas.get()),
            pods_per_replica: count(seen.pods_per_replica),
            rolling_out: Some(seen.rolling_out),
            pods: self.pods(&policy.name).iter().map(Pod::from).collect(),
            templates: TemplateSnapshot::of(seen),
            readings: readings.collect(),
            wake: seen.wake.iter().map(ReadingSnapshot::of).collect(),
            history,
        }
    }

    /// The samples of pods that a reading was joined from.
    fn samples_document(&self, metric: &Metric, place: &Place, role: &str) -> Option<ReadingSnapshot> {
        if !matches!(metric.source, MetricSource::Signal { .. }) {
            return self.answers.of(place).cloned();
        }
        let signal = self.signal(&metric.name).ok()?;
        let samples = self.samples(signal, role).into_iter().map(|(pod, sample)| SampleSnapshot {
            pod: pod.to_owned(),
            value: Some(sample.value),
            timestamp: Some(sample.time),
            window: Some(signal.window.into()),
            ..SampleSnapshot::default()
        });
        let by_name = matches!(metric.source, MetricSource::Signal { fold } if fold == by(signal));
        let fold = (!by_name).then_some(match signal.fold {
            metrics::Fold::Sum => FoldSnapshot::Sum,
            metrics::Fold::Max => FoldSnapshot::Max,
        });
        Some(ReadingSnapshot { samples: Some(samples.collect()), fold, ..ReadingSnapshot::default() })
    }
}
