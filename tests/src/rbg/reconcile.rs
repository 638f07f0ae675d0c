//! One pass over one group: obey its scaling adapters, then pods and workloads, then what is left over, then the reports.

mod adapters;
mod request;

use std::sync::Arc;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Pod,
};
use kube::Client;

use super::{
    blueprint::{Blueprint, identity},
    members::Members,
    observed::{ObservedPod, ObservedWorkload, owner},
    plan::{Plan, plan},
    pod_group,
    status::group_status,
    template::UnknownTemplate,
    types::{Role, RoleBasedGroup, RoleBasedGroupScalingAdapter, RoleStatus, Workload},
    workload::WantedWorkload,
};

/// Why a pass did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum StandInError {
    /// A request failed.
    #[error("a request to kube-apiserver failed: {0}")]
    Api(#[from] kube::Error),
    /// A role refers to a template that is not there.
    #[error("a role has no template: {0}")]
    Template(#[from] UnknownTemplate),
    /// A template gives no pod.
    #[error("a template gives no pod: {0}")]
    Manifest(#[from] serde_json::Error),
    /// Something of the name is there that was not seen to be the group's: either not yet, or not its own.
    #[error("{0} exists already")]
    NameTaken(String),
    /// Others wrote the group again and again.
    #[error("the group was written by others five times in a row")]
    Contended,
    /// It took too long.
    #[error("a pass took longer than 30 seconds")]
    TimedOut,
}

type Result<T> = std::result::Result<T, StandInError>;

/// Brings groups and what they own together.
pub struct Reconciler {
    client: Client,
    /// Pods that groups own.
    pub pods: Arc<Members<ObservedPod>>,
    /// Deployments that groups own.
    pub deployments: Arc<Members<ObservedWorkload>>,
    /// Stateful sets that groups own.
    pub stateful_sets: Arc<Members<ObservedWorkload>>,
    /// Scaling adapters that groups own.
    pub adapters: Arc<Members<RoleBasedGroupScalingAdapter>>,
}

impl Reconciler {
    /// Returns one that knows of no members yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            pods: Arc::default(),
            deployments: Arc::default(),
            stateful_sets: Arc::default(),
            adapters: Arc::default(),
        }
    }

    /// Makes one pass. A role that fails does not keep the others, or the status, from their turn.
    ///
    /// Errors: the first that happened.
    pub async fn reconcile(&self, group: &RoleBasedGroup) -> Result<()> {
        if group.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        self.pods.complete().await;
        self.deployments.complete().await;
        self.stateful_sets.complete().await;
        self.adapters.complete().await;
        let (name, namespace) = identity(group);
        let adapters = self.adapters.of(namespace, name);
        let group = self.obey(group.clone(), &adapters).await?;
        if pod_group::is_wanted(&group) {
            self.apply_pod_group(namespace, &pod_group::wanted(&group)).await?;
        }
        let mut outcome = Ok(());
        let mut statuses = Vec::new();
        for role in &group.spec.roles {
            let (status, done) = match role.workload() {
                Workload::RoleInstanceSet | Workload::LeaderWorkerSet => self.pods(&group, role).await,
                Workload::Deployment => self.workload(&group, role, &self.deployments).await,
                Workload::StatefulSet => self.workload(&group, role, &self.stateful_sets).await,
            };
            statuses.push(status.unwrap_or_else(|| last_status(&group, role)));
            outcome = outcome.and(done);
        }
        outcome = outcome.and(self.remove_leftovers(&group).await);
        outcome = outcome.and(self.bind(&group, &adapters, &statuses).await);
        outcome.and(self.report(&group, &statuses).await)
    }

    /// Removes what a group that is gone left behind, before the garbage collector gets to it.
    pub async fn forget(&self, namespace: &str, group: &str) -> Result<()> {
        for pod in self.pods.of(namespace, group).iter().filter(|pod| !pod.terminating) {
            self.delete::<Pod>(namespace, &pod.name, &pod.uid).await?;
        }
        for found in self.deployments.of(namespace, group) {
            self.delete::<Deployment>(namespace, &found.name, &found.uid).await?;
        }
        for found in self.stateful_sets.of(namespace, group) {
            self.delete::<StatefulSet>(namespace, &found.name, &found.uid).await?;
        }
        for found in self.adapters.of(namespace, group) {
            self.delete_adapter(namespace, &found).await?;
        }
        Ok(())
    }

    /// Pods made here. The status is that of before.
    async fn pods(&self, group: &RoleBasedGroup, role: &Role) -> (Option<RoleStatus>, Result<()>) {
        let (name, namespace) = identity(group);
        let blueprint = match Blueprint::new(group, role) {
            Ok(blueprint) => blueprint,
            Err(error) => return (None, Err(error.into())),
        };
        let Some(blueprint) = blueprint else {
            return (None, Ok(()));
        };
        let mut pods = self.pods.of(namespace, name);
        pods.retain(|pod| pod.role == role.name);
        for pod in &mut pods {
            if Some(&pod.owner) != group.metadata.uid.as_ref() {
                // Left by a group of the same name: in the way until it is gone, and no part of this one.
                (pod.terminating, pod.ready) = (true, false);
            }
        }
        let plan = plan(role, &blueprint, &pods);
        let status = plan.status.clone();
        (Some(status), self.carry_out(namespace, plan).await)
    }

    async fn carry_out(&self, namespace: &str, plan: Plan) -> Result<()> {
        for pod in &plan.delete {
            self.delete::<Pod>(namespace, &pod.name, &pod.uid).await?;
        }
        stream::iter(plan.create)
            .map(|pod| self.create_pod(namespace, pod))
            .buffered(8)
            .fold(Ok(()), |outcome, done| async { outcome.and(done) })
            .await
    }

    /// A workload whose pods kube-controller-manager makes. The status is what it last said of itself.
    async fn workload(
        &self,
        group: &RoleBasedGroup,
        role: &Role,
        members: &Members<ObservedWorkload>,
    ) -> (Option<RoleStatus>, Result<()>) {
        let (name, namespace) = identity(group);
        let wanted = match WantedWorkload::new(group, role) {
            Ok(wanted) => wanted,
            Err(error) => return (None, Err(error.into())),
        };
        let found = members.of(namespace, name).into_iter().find(|found| found.name == wanted.name);
        let same = found.as_ref().is_some_and(|found| {
            Some(&found.owner) == group.metadata.uid.as_ref()
                && found.revision == wanted.revision
                && u32::try_from(found.replicas).is_ok_and(|replicas| replicas == role.replicas)
        });
        let done = if same { Ok(()) } else { self.apply_workload(namespace, role.workload(), &wanted).await };
        (found.filter(|_| same).and_then(|found| found.status), done)
    }

    /// Removes members of roles that are gone or have become something else.
    async fn remove_leftovers(&self, group: &RoleBasedGroup) -> Result<()> {
        let (name, namespace) = identity(group);
        let uid = group.metadata.uid.as_deref().unwrap_or_default();
        let is = |role: &str, kinds: &[Workload]| {
            group.spec.roles.iter().any(|known| known.name == role && kinds.contains(&known.workload()))
        };
        for pod in self.pods.of(namespace, name).iter().filter(|pod| !pod.terminating) {
            let wanted = is(&pod.role, &[Workload::RoleInstanceSet, Workload::LeaderWorkerSet]);
            if pod.owner != uid || !wanted {
                self.delete::<Pod>(namespace, &pod.name, &pod.uid).await?;
            }
        }
        for found in self.deployments.of(namespace, name) {
            if found.owner != uid || !is(&found.role, &[Workload::Deployment]) {
                self.delete::<Deployment>(namespace, &found.name, &found.uid).await?;
            }
        }
        for found in self.stateful_sets.of(namespace, name) {
            if found.owner != uid || !is(&found.role, &[Workload::StatefulSet]) {
                self.delete::<StatefulSet>(namespace, &found.name, &found.uid).await?;
            }
        }
        for adapter in self.adapters.of(namespace, name) {
            let role = group.spec.roles.iter().find(|role| role.name == adapter.spec.scale_target_ref.role);
            let mine = owner(&adapter.metadata).is_some_and(|(_, owner)| owner == uid);
            if !mine || !role.is_some_and(Role::has_scaling_adapter) {
                self.delete_adapter(namespace, &adapter).await?;
            }
        }
        Ok(())
    }

    async fn report(&self, group: &RoleBasedGroup, roles: &[RoleStatus]) -> Result<()> {
        let status = group_status(group, roles, now());
        if group.status.as_ref() == Some(&status) {
            return Ok(());
        }
        self.patch_status(group, &status).await
    }
}

/// What the group said of a role before.
fn last_status(group: &RoleBasedGroup, role: &Role) -> RoleStatus {
    let statuses = group.status.iter().flat_map(|status| &status.role_statuses);
    let last = statuses.into_iter().find(|status| status.name == role.name).cloned();
    last.unwrap_or_else(|| RoleStatus { name: role.name.clone(), ..RoleStatus::default() })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge of the stand-in; what it decides takes the time as an argument"
)]
fn now() -> Timestamp {
    Timestamp::now()
}
