//! One replica of a role as it is, against what it should be.

use super::super::{
    blueprint::WantedPod,
    observed::ObservedPod,
    types::{Role, RoleStatus},
};

/// Which template the pods of a replica are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// All from the newest.
    Newest,
    /// All that stay from the newest; others are going away.
    Leaving,
    /// Some that stay from another.
    Outdated,
}

/// How one replica of a role is doing.
pub struct Replica<'a> {
    /// The pods it should have.
    pub wanted: Vec<WantedPod>,
    /// The pods it has, last one first.
    pub pods: Vec<&'a ObservedPod>,
    /// Which template its pods are from.
    pub revision: Revision,
    /// It has as many pods as it was made with: an outdated replica may have had another size.
    pub complete: bool,
    /// Complete, and all pods are ready.
    pub ready: bool,
}

impl<'a> Replica<'a> {
    /// Returns how the replica stands against this revision.
    pub fn new(wanted: Vec<WantedPod>, mut pods: Vec<&'a ObservedPod>, revision: &str) -> Self {
        pods.sort_by(|a, b| b.name.len().cmp(&a.name.len()).then_with(|| b.name.cmp(&a.name)));
        let old = |pod: &&&ObservedPod| pod.revision != revision;
        let revision = if pods.iter().filter(old).any(|pod| !pod.terminating) {
            Revision::Outdated
        } else if pods.iter().any(|pod| old(&pod)) {
            Revision::Leaving
        } else {
            Revision::Newest
        };
        let made_with = pods.iter().map(|pod| pod.size).max().unwrap_or(0);
        let size = if revision == Revision::Outdated { made_with } else { wanted.len() };
        let complete = !pods.is_empty() && pods.len() >= size;
        let ready = complete && pods.iter().all(|pod| pod.ready);
        Self { wanted, pods, revision, complete, ready }
    }

    /// Tells whether a pod that stays is from another template.
    pub fn is_outdated(&self) -> bool {
        self.revision == Revision::Outdated
    }

    /// Returns the pods that are not going away, last one first.
    pub fn alive(&self) -> impl Iterator<Item = &ObservedPod> {
        self.pods.iter().copied().filter(|pod| !pod.terminating)
    }
}

/// Returns what the role's status says of these replicas.
pub fn status<'a>(role: &Role, replicas: impl Iterator<Item = &'a Replica<'a>>) -> RoleStatus {
    let mut status = RoleStatus { name: role.name.clone(), ..RoleStatus::default() };
    for replica in replicas.filter(|replica| !replica.pods.is_empty()) {
        status.replicas += 1;
        status.ready_replicas += u32::from(replica.ready);
        status.updated_replicas += u32::from(replica.revision == Revision::Newest);
    }
    status
}
