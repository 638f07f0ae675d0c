//! What the metrics of a policy say: samples joined to live pods, totals of other roles with who did not answer.

use rbg_autoscaler::{
    api::replica::{ReplicaFold, RolePod},
    metrics::{self, NamespaceSamples, Sample as PodSample},
    policy::{Fold, Metric, MetricSource, RolePolicy, WakeSignal},
    scaling::{Reading, Sample, Total},
};

use super::Scene;
use crate::ask::Place;

const NOT_ASKED: &str = "the metrics API has not been asked yet";

impl Scene<'_> {
    /// What one metric says of a role whose pods are folded.
    pub(super) fn reading(
        &self,
        metric: &Metric,
        place: &Place,
        role: &RolePolicy,
        fold: &ReplicaFold<'_>,
    ) -> Reading {
        match &metric.source {
            MetricSource::Signal { .. } => match self.signal(&metric.name) {
                Ok(signal) => {
                    let samples = signal.samples.of_namespace(&self.key.namespace);
                    let sample_of = |pod: &RolePod| Some(with_window(self.sample(samples?, pod)?, signal));
                    Reading::Replicas(fold.join_each(sample_of, by(signal)))
                }
                Err(failure) => Reading::Failed(failure),
            },
            MetricSource::RoleTotal { role: other } => self.total(&metric.name, other),
            MetricSource::TokenUtilization { .. } => self.tokens(role),
            MetricSource::Resource { .. }
            | MetricSource::Pods { .. }
            | MetricSource::Object(_)
            | MetricSource::External { .. } => match self.answers.of(place) {
                Some(answer) => answer.clone().reading(metric, fold, &self.settings, self.now),
                None => Reading::Failed(NOT_ASKED.to_owned()),
            },
        }
    }

    /// What one wake signal says.
    pub(super) fn wake(&self, wake: &WakeSignal, place: &Place) -> Reading {
        match (&wake.role, self.answers.of(place)) {
            (Some(role), _) => self.total(&wake.name, role),
            (None, Some(answer)) => answer.clone().wake(),
            (None, None) => Reading::Failed(NOT_ASKED.to_owned()),
        }
    }

    /// The total of another role. Its ready pods ought to answer; those that do not make it a lower bound.
    pub(super) fn total(&self, name: &str, role: &str) -> Reading {
        let signal = match self.signal(name) {
            Ok(signal) => signal,
            Err(failure) => return Reading::Failed(failure),
        };
        if self.group.role(role).is_none() {
            return Reading::Failed(format!("the group has no role {role}"));
        }
        let samples = self.samples(signal, role);
        let answered = |pod: &str| samples.iter().any(|(name, _)| *name == pod);
        let fold = self.fold(role);
        let pods = self.world.pods.of(self.key, role);
        let ought = |pod: &str| pods.and_then(|pods| pods.get(pod)).is_some_and(RolePod::serves);
        // Only reporting pods are asked; the fold knows which they are.
        let reporting_and_silent = fold.silent(|pod| answered(pod));
        let silent: Vec<String> = reporting_and_silent.into_iter().filter(|pod| ought(pod)).collect();
        let reporting = fold.silent(|_| false);
        let values: Vec<_> =
            samples.iter().filter(|(pod, _)| reporting.iter().any(|name| name == pod)).collect();
        let reported = u32::try_from(values.len()).unwrap_or(u32::MAX);
        Reading::Total(Total {
            values: values.iter().map(|(_, sample)| sample.value).collect(),
            expected: Some(reported.saturating_add(u32::try_from(silent.len()).unwrap_or(u32::MAX))),
            reported: Some(reported),
            silent,
            time: samples.iter().map(|(_, sample)| sample.time).max(),
        })
    }

    pub(super) fn signal(&self, name: &str) -> Result<&metrics::Reading, String> {
        if !self.metrics.known.contains(name) {
            return Err(format!("there is no signal {name}; `kubectl rbga signals` lists those there are"));
        }
        let Some(reading) = self.metrics.snapshot.reading(name) else {
            return Err(format!("{name} has not been collected yet"));
        };
        match reading.failure(self.now) {
            Some(failure) => Err(failure.to_string()),
            None => Ok(reading),
        }
    }

    /// The fresh samples of a role's live pods.
    pub(super) fn samples(&self, signal: &metrics::Reading, role: &str) -> Vec<(&str, PodSample)> {
        let Some(samples) = signal.samples.of_namespace(&self.key.namespace) else { return Vec::new() };
        let pods = self.pods(role).iter();
        pods.filter_map(|pod| Some((pod.name().as_ref(), self.sample(samples, pod)?))).collect()
    }

    /// The fresh sample of a live pod. One older than the pod's start is of an earlier pod of that name.
    fn sample(&self, samples: &NamespaceSamples, pod: &RolePod) -> Option<PodSample> {
        let sample = samples.get(pod.name()).filter(|sample| sample.is_fresh(self.now))?;
        pod.started().is_none_or(|started| sample.time >= started).then_some(sample)
    }
}

/// How the pods of one replica combine: as the signal says, which may be the user's own.
pub(super) fn by(signal: &metrics::Reading) -> Fold {
    match signal.fold {
        metrics::Fold::Sum => Fold::Sum,
        metrics::Fold::Max => Fold::Max,
    }
}

fn with_window(sample: PodSample, signal: &metrics::Reading) -> Sample {
    Sample { value: sample.value, time: sample.time, window: signal.window }
}
