//! What the stand-in remembers of the objects it made, trimmed to what it decides by.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use super::{labels, types::RoleStatus};

/// A pod that a group owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedPod {
    /// Name.
    pub name: String,
    /// Unique id.
    pub uid: String,
    /// Unique id of the group that made it.
    pub owner: String,
    /// Its role.
    pub role: String,
    /// Ordinal of its replica; `None` when its labels do not tell.
    pub ordinal: Option<u32>,
    /// Pods per replica when it was made.
    pub size: usize,
    /// Revision of the template it was made from.
    pub revision: String,
    /// Condition Ready is true, and it is not going away.
    pub ready: bool,
    /// Phase Failed.
    pub failed: bool,
    /// It is going away.
    pub terminating: bool,
}

impl From<Pod> for ObservedPod {
    fn from(pod: Pod) -> Self {
        let labels = pod.labels();
        let either = |a: &str, b: &str| labels.get(a).or_else(|| labels.get(b)).cloned();
        let size = labels.get(labels::COMPONENT_SIZE).or_else(|| pod.annotations().get(labels::LWS_SIZE));
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let status = pod.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_ref());
        let ready = conditions.into_iter().flatten().any(|at| at.type_ == "Ready" && at.status == "True");
        Self {
            owner: owner(&pod.metadata).map(|(_, uid)| uid.to_owned()).unwrap_or_default(),
            role: labels.get(labels::ROLE_NAME).cloned().unwrap_or_default(),
            ordinal: either(labels::ROLE_INSTANCE_INDEX, labels::LWS_GROUP_INDEX)
                .and_then(|text| text.parse().ok()),
            size: size.and_then(|text| text.parse().ok()).unwrap_or(1),
            revision: either(labels::REVISION, labels::LWS_REVISION).unwrap_or_default(),
            ready: ready && !terminating,
            failed: status.is_some_and(|status| status.phase.as_deref() == Some("Failed")),
            terminating,
            uid: pod.uid().unwrap_or_default(),
            name: pod.name_any(),
        }
    }
}

/// A Deployment or StatefulSet that a group owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedWorkload {
    /// Name.
    pub name: String,
    /// Unique id.
    pub uid: String,
    /// Unique id of the group that made it.
    pub owner: String,
    /// Its role.
    pub role: String,
    /// Revision of the role it was made from.
    pub revision: String,
    /// Replicas asked of it.
    pub replicas: i32,
    /// What it says of itself, once it has seen its newest spec.
    pub status: Option<RoleStatus>,
}

impl ObservedWorkload {
    fn new(metadata: &ObjectMeta, replicas: Option<i32>) -> Self {
        let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
        let role = label(labels::ROLE_NAME).unwrap_or_default();
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            owner: owner(metadata).map(|(_, uid)| uid.to_owned()).unwrap_or_default(),
            revision: label(&format!("{}{role}", labels::ROLE_REVISION_PREFIX)).unwrap_or_default(),
            replicas: replicas.unwrap_or(1),
            status: None,
            role,
        }
    }

    fn with_status(mut self, seen: bool, counts: [Option<i32>; 3]) -> Self {
        let [replicas, ready_replicas, updated_replicas] =
            counts.map(|count| count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0));
        let name = self.role.clone();
        self.status = seen.then_some(RoleStatus { name, replicas, ready_replicas, updated_replicas });
        self
    }
}

impl From<Deployment> for ObservedWorkload {
    fn from(found: Deployment) -> Self {
        let status = found.status.unwrap_or_default();
        Self::new(&found.metadata, found.spec.and_then(|spec| spec.replicas)).with_status(
            status.observed_generation >= found.metadata.generation,
            [status.replicas, status.ready_replicas, status.updated_replicas],
        )
    }
}

impl From<StatefulSet> for ObservedWorkload {
    fn from(found: StatefulSet) -> Self {
        let status = found.status.unwrap_or_default();
        Self::new(&found.metadata, found.spec.and_then(|spec| spec.replicas)).with_status(
            status.observed_generation >= found.metadata.generation,
            [Some(status.replicas), status.ready_replicas, status.updated_replicas],
        )
    }
}

/// Returns name and unique id of the group that owns an object.
pub fn owner(metadata: &ObjectMeta) -> Option<(&str, &str)> {
    let owners = metadata.owner_references.as_ref()?;
    let group = owners.iter().find(|owner| owner.kind == "RoleBasedGroup")?;
    Some((&group.name, &group.uid))
}
