//! From pods to replicas: [`ReplicaFold`], what one pod per replica never notices and gangs of pods need.
//!
//! A replica is the fold of its pods: deleted or failed when any is, pending when any is or too few exist, started
//! with the latest, ready when all are. A replica has a sample only when each pod that reports has one. With one pod
//! per replica this is exactly what the HPA sees.

mod pod;
mod request;
mod templates;

use std::{collections::BTreeMap, ops::Range};

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
    /// The pods, those of one replica together, replicas in the same order.
    members: Vec<Member<'a>>,
    /// Where the pods of each replica are among the members.
    ranges: Vec<Range<usize>>,
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
        let mut pods: Vec<&'a RolePod> = pods.into_iter().collect();
        pods.sort_by(|a, b| a.replica_key().cmp(b.replica_key()));
        let has_leader = pods.iter().any(|pod| pod.component_index().is_some());
        let groups: Vec<&[&RolePod]> = pods.chunk_by(|a, b| a.replica_key() == b.replica_key()).collect();
        let ordinals = pod::ordinals(&groups);
        let mut order: Vec<usize> = (0..groups.len()).collect();
        // By name they are in order already.
        order.sort_by_key(|index| ordinals[*index]);
        let mut folded = Self {
            replicas: Vec::with_capacity(groups.len()),
            members: Vec::with_capacity(pods.len()),
            ranges: Vec::with_capacity(groups.len()),
        };
        for index in order {
            let pods = groups[index];
            folded.replicas.push(fold(pods, ordinals[index], pods_per_replica));
            let first = folded.members.len();
            for pod in pods.iter().copied() {
                let reports = !has_leader || pod.component_index() == Some(0);
                folded.members.push(Member { pod, reports });
            }
            folded.ranges.push(first..folded.members.len());
        }
        folded
    }

    /// The pods of each replica.
    fn members(&self) -> impl DoubleEndedIterator<Item = &[Member<'a>]> {
        self.ranges.iter().map(|range| &self.members[range.clone()])
    }

    /// Joins samples of pods to the replicas.
    ///
    /// Only reporting pods speak. Of two samples of one pod the newer counts, of equally new ones the larger. `listed` says whether the source answered anything, also pods without this metric.
    pub fn join<'s>(
        &self,
        samples: impl IntoIterator<Item = (&'s str, Sample)>,
        fold: Fold,
        listed: bool,
    ) -> ReplicaSamples {
        self.join_where(samples, fold, listed, |member| member.reports)
    }

    /// Joins samples that are known pod by pod to the replicas; there are none of other pods.
    pub fn join_each(&self, sample_of: impl Fn(&RolePod) -> Option<Sample>, fold: Fold) -> ReplicaSamples {
        let by_pod: Vec<_> = self.members.iter().map(|member| sample_of(member.pod)).collect();
        let answered = by_pod.iter().any(Option::is_some);
        let samples = self.folded(&by_pod, fold, |member| member.reports);
        ReplicaSamples { samples, strays: Vec::new(), answered, requests: None }
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
        let places = self.members.iter().enumerate().map(|(place, member)| (&**member.pod.name(), place));
        let mut places: Vec<(&str, usize)> = places.collect();
        places.sort_unstable();
        let mut by_pod: Vec<Option<Sample>> = vec![None; self.members.len()];
        let mut strays: BTreeMap<&str, Sample> = BTreeMap::new();
        for (pod, sample) in samples {
            match places.binary_search_by(|(name, _)| (*name).cmp(pod)) {
                Ok(place) => {
                    let slot = &mut by_pod[places[place].1];
                    *slot = Some(slot.map_or(sample, |other| newer(other, sample)));
                }
                Err(_) => {
                    strays.entry(pod).and_modify(|other| *other = newer(*other, sample)).or_insert(sample);
                }
            }
        }
        let samples = self.folded(&by_pod, fold, speaks);
        ReplicaSamples { samples, strays: strays.into_values().collect(), answered: listed, requests: None }
    }

    /// Folds samples, given in the order of the members, into those of the replicas.
    fn folded(
        &self,
        by_pod: &[Option<Sample>],
        fold: Fold,
        speaks: impl Fn(&Member<'_>) -> bool,
    ) -> Vec<Option<Sample>> {
        let of_replica = |range: &Range<usize>| {
            let mut folded: Option<Sample> = None;
            let pairs = self.members[range.clone()].iter().zip(&by_pod[range.clone()]);
            for (_, sample) in pairs.filter(|(member, _)| speaks(member)) {
                let sample = (*sample)?;
                folded = Some(folded.map_or(sample, |so_far| merge(so_far, sample, fold)));
            }
            folded
        };
        self.ranges.iter().map(of_replica).collect()
    }

    /// Returns the requests of each replica in thousandths: the sum over its pods, or the HPA's complaint.
    pub fn requests(&self, source: RequestSource<'_>) -> Result<Vec<i64>, String> {
        self.members()
            .map(|members| {
                members.iter().try_fold(0_i64, |sum, member| {
                    request::of_pod(member.pod, source).map(|request| sum.saturating_add(request))
                })
            })
            .collect()
    }

    /// Returns the reporting pods that are not among `names`, for messages about totals.
    pub fn silent(&self, answered: impl Fn(&str) -> bool) -> Vec<String> {
        let pods = self.members.iter().filter(|member| member.reports);
        pods.map(|member| &**member.pod.name()).filter(|name| !answered(name)).map(str::to_owned).collect()
    }
}

/// Of two samples of one pod the one that counts, whatever their order.
fn newer(a: Sample, b: Sample) -> Sample {
    if (b.time, b.value) > (a.time, a.value) { b } else { a }
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

fn fold(pods: &[&RolePod], ordinal: Option<u32>, pods_per_replica: u32) -> ReplicaObservation {
    let count = u32::try_from(pods.len()).unwrap_or(u32::MAX);
    let any = |phase| pods.iter().any(|pod| pod.phase() == phase);
    let phase = if any(Phase::Failed) {
        Phase::Failed
    } else if any(Phase::Pending) || count < pods_per_replica {
        Phase::Pending
    } else if !any(Phase::Other) {
        Phase::Running
    } else {
        Phase::Other
    };
    let unschedulable = pods.iter().filter_map(|pod| pod.unschedulable()).min_by_key(|(since, _)| *since);
    ReplicaObservation {
        name: pods.first().map(|pod| pod.replica_key().to_owned()).unwrap_or_default(),
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
