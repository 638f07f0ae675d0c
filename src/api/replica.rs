//! From pods to replicas: [`ReplicaFold`], what one pod per replica never notices and gangs of pods need.
//!
//! A replica is the fold of its pods: deleted or failed when any is, pending when any is or too few exist, started
//! with the latest, ready when all are. A replica has a sample only when each pod that reports has one. With one pod
//! per replica this is exactly what the HPA sees.

mod pod;
mod request;
mod templates;

use std::collections::HashMap;

use jiff::Timestamp;

pub use self::{pod::RolePod, request::RequestSource};

use super::rbg;
use crate::{
    policy::Fold,
    scaling::{Phase, Readiness, ReadyStatus, ReplicaObservation, ReplicaSamples, Sample},
};

/// The replicas of one role, and which pods make them.
#[derive(Debug, Default)]
pub struct ReplicaFold<'a> {
    /// The replicas, by ordinal and name.
    pub replicas: Vec<ReplicaObservation>,
    /// The pods of each replica, in the same order.
    members: Vec<Vec<Member<'a>>>,
    /// Where a pod stands: its replica and its place in it.
    places: HashMap<&'a str, (usize, usize)>,
}

#[derive(Debug)]
struct Member<'a> {
    pod: &'a RolePod,
    /// Whether its samples speak for the replica: the leader's do, or everybody's where there is no leader.
    reports: bool,
}

impl<'a> ReplicaFold<'a> {
    /// Folds the pods of one role.
    pub fn of(pods: impl IntoIterator<Item = &'a RolePod>, pods_per_replica: u32) -> Self {
        let mut groups: Vec<(&'a str, Vec<&'a RolePod>)> = Vec::new();
        let mut known: HashMap<&'a str, usize> = HashMap::new();
        let mut has_leader = false;
        for pod in pods {
            has_leader |= pod.component_index().is_some();
            let key = pod.replica_key();
            if let Some(index) = known.get(key) {
                groups[*index].1.push(pod);
            } else {
                known.insert(key, groups.len());
                groups.push((key, vec![pod]));
            }
        }
        let ordinals = pod::ordinals(&groups);
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by(|a, b| ordinals[*a].cmp(&ordinals[*b]).then_with(|| groups[*a].0.cmp(groups[*b].0)));
        let mut folded = Self {
            replicas: Vec::with_capacity(groups.len()),
            members: Vec::with_capacity(groups.len()),
            places: HashMap::with_capacity(groups.len()),
        };
        for index in order {
            let (key, pods) = &groups[index];
            folded.replicas.push(fold(key, pods, ordinals[index], pods_per_replica));
            let place = folded.members.len();
            let members: Vec<_> = pods
                .iter()
                .map(|pod| Member { pod, reports: !has_leader || pod.component_index() == Some(0) })
                .collect();
            for (at, member) in members.iter().enumerate() {
                folded.places.insert(member.pod.name(), (place, at));
            }
            folded.members.push(members);
        }
        folded
    }

    /// Joins samples of pods to the replicas.
    ///
    /// Only reporting pods speak. `listed` says whether the source answered anything, also pods without this metric.
    pub fn join<'s>(
        &self,
        samples: impl IntoIterator<Item = (&'s str, Sample)>,
        fold: Fold,
        listed: bool,
    ) -> ReplicaSamples {
        self.join_where(samples, fold, listed, |member| member.reports)
    }

    /// Joins the resource usage of pods to the replicas: the sum over all pods of a replica, workers too.
    pub fn join_usage<'s>(
        &self,
        samples: impl IntoIterator<Item = (&'s str, Sample)>,
        listed: bool,
    ) -> ReplicaSamples {
        self.join_where(samples, Fold::Sum, listed, |_| true)
    }

    fn join_where<'s>(
        &self,
        samples: impl IntoIterator<Item = (&'s str, Sample)>,
        fold: Fold,
        listed: bool,
        speaks: impl Fn(&Member<'_>) -> bool,
    ) -> ReplicaSamples {
        let mut by_pod: Vec<Vec<Option<Sample>>> =
            self.members.iter().map(|members| vec![None; members.len()]).collect();
        let mut strays: Vec<(&str, Sample)> = Vec::new();
        for (pod, sample) in samples {
            match self.places.get(pod) {
                Some((replica, at)) => by_pod[*replica][*at] = Some(sample),
                None => match strays.iter_mut().find(|(name, _)| *name == pod) {
                    Some(stray) => stray.1 = sample,
                    None => strays.push((pod, sample)),
                },
            }
        }
        let samples = self
            .members
            .iter()
            .zip(&by_pod)
            .map(|(members, samples)| {
                let mut folded: Option<Sample> = None;
                for (_, sample) in members.iter().zip(samples).filter(|(member, _)| speaks(member)) {
                    let sample = (*sample)?;
                    folded = Some(folded.map_or(sample, |so_far| merge(so_far, sample, fold)));
                }
                folded
            })
            .collect();
        ReplicaSamples {
            samples,
            strays: strays.into_iter().map(|(_, sample)| sample).collect(),
            answered: listed,
            requests: None,
        }
    }

    /// Returns the requests of each replica in thousandths: the sum over its pods, or the HPA's complaint.
    pub fn requests(&self, source: RequestSource<'_>) -> Result<Vec<i64>, String> {
        self.members
            .iter()
            .map(|members| {
                members.iter().try_fold(0_i64, |sum, member| {
                    request::of_pod(member.pod, source).map(|request| sum.saturating_add(request))
                })
            })
            .collect()
    }

    /// Returns the reporting pods that are not among `names`, for messages about totals.
    pub fn silent(&self, answered: impl Fn(&str) -> bool) -> Vec<String> {
        let pods = self.members.iter().flatten().filter(|member| member.reports);
        pods.map(|member| &**member.pod.name()).filter(|name| !answered(name)).map(str::to_owned).collect()
    }
}

/// A sample's time is the oldest of its pods, its window the longest.
fn merge(a: Sample, b: Sample, fold: Fold) -> Sample {
    Sample {
        value: match fold {
            Fold::Sum => a.value.saturating_add(b.value),
            Fold::Max => a.value.max(b.value),
        },
        time: a.time.min(b.time),
        window: a.window.max(b.window),
    }
}

fn fold(key: &str, pods: &[&RolePod], ordinal: Option<u32>, pods_per_replica: u32) -> ReplicaObservation {
    let count = u32::try_from(pods.len()).unwrap_or(u32::MAX);
    let phases: Vec<Phase> = pods.iter().map(|pod| pod.phase()).collect();
    let phase = if phases.contains(&Phase::Failed) {
        Phase::Failed
    } else if phases.contains(&Phase::Pending) || count < pods_per_replica {
        Phase::Pending
    } else if phases.iter().all(|phase| *phase == Phase::Running) {
        Phase::Running
    } else {
        Phase::Other
    };
    let unschedulable = pods.iter().filter_map(|pod| pod.unschedulable()).min_by_key(|(since, _)| *since);
    ReplicaObservation {
        name: key.to_owned(),
        ordinal,
        deleted: pods.iter().any(|pod| pod.is_deleted()),
        phase,
        ready: fold_ready(pods),
        started: pods
            .iter()
            .map(|pod| pod.started())
            .try_fold(Timestamp::MIN, |latest, started| started.map(|started| started.max(latest))),
        unschedulable_since: unschedulable.map(|(since, _)| since),
        unschedulable_message: unschedulable.and_then(|(_, message)| message.map(str::to_owned)),
        pods: count,
        bound_pods: u32::try_from(pods.iter().filter(|pod| pod.node().is_some()).count()).unwrap_or(u32::MAX),
    }
}

/// Ready when all are; Unknown before False; none when a pod has no such condition. Changed with the latest.
fn fold_ready(pods: &[&RolePod]) -> Option<Readiness> {
    let mut folded: Option<Readiness> = None;
    for pod in pods {
        let ready = pod.ready()?;
        folded = Some(match folded {
            None => ready,
            Some(so_far) => Readiness {
                status: match (so_far.status, ready.status) {
                    (ReadyStatus::Unknown, _) | (_, ReadyStatus::Unknown) => ReadyStatus::Unknown,
                    (ReadyStatus::False, _) | (_, ReadyStatus::False) => ReadyStatus::False,
                    _ => ReadyStatus::True,
                },
                since: so_far.since.max(ready.since),
            },
        });
    }
    folded
}

#[cfg(test)]
mod tests;
