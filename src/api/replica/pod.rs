//! [`RolePod`]: what scaling reads from one pod, small enough to keep a hundred thousand of them.

mod compact;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroU64,
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Pod, PodCondition, PodSpec, PodStatus},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use self::compact::{Index, Moment, ReplicaName};
use super::rbg;
use crate::scaling::{Phase, Readiness, ReadyStatus};

/// Label of a StatefulSet's pod: its ordinal.
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// Labels of a pod that tell which template it was made from, whatever its workload.
const REVISIONS: [&str; 3] =
    ["controller-revision-hash", "pod-template-hash", "leaderworkerset.sigs.k8s.io/template-revision-hash"];

/// What scaling reads from one pod.
///
/// Pods of one template hold the same spec, so it is shared; what a pod has for itself are some words, which a decision
/// on many groups reads all of.
#[derive(Clone, Debug, PartialEq)]
pub struct RolePod {
    name: Arc<str>,
    /// What the pods of its replica have in common.
    replica: ReplicaName,
    ordinal: Index,
    component: Index,
    /// Stands for the template that it was made from; only worth comparing.
    revision: Option<NonZeroU64>,
    deleted: Moment,
    phase: Phase,
    in_pod_group: bool,
    ready: Option<ReadyStatus>,
    ready_since: Moment,
    started: Moment,
    unschedulable: Option<Box<Unschedulable>>,
    node: Option<Box<str>>,
    spec: Option<Arc<PodSpec>>,
}

/// What the scheduler says of a pod without room.
#[derive(Clone, Debug, PartialEq)]
struct Unschedulable {
    /// Since when; `None` = not told.
    since: Option<Timestamp>,
    message: Option<Box<str>>,
}

impl RolePod {
    /// Returns what scaling reads from a pod; `share` may give a spec that it has seen before.
    ///
    /// The spec that is shared says nothing of the single pod: no node, no host name.
    pub fn new(pod: Pod, share: impl FnOnce(PodSpec) -> Arc<PodSpec>) -> Self {
        let name = Arc::<str>::from(pod.metadata.name.unwrap_or_default());
        let labels = pod.metadata.labels.unwrap_or_default();
        let annotations = pod.metadata.annotations.unwrap_or_default();
        let ordinal = [rbg::ROLE_INSTANCE_INDEX, rbg::LWS_GROUP_INDEX, POD_INDEX];
        let ordinal = ordinal.into_iter().find_map(|label| labels.get(label));
        let replica = ReplicaName::of(rbg::replica_key(&labels, &name), &name);
        let status = pod.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let condition = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
        let ready = condition("Ready").map(readiness);
        let mut node = None;
        let spec = pod.spec.map(|mut spec| {
            node = spec.node_name.take().filter(|node| !node.is_empty()).map(String::into_boxed_str);
            (spec.hostname, spec.subdomain) = (None, None);
            share(spec)
        });
        Self {
            replica,
            ordinal: Index::of(ordinal.and_then(|text| text.parse().ok())),
            component: Index::of(rbg::component_index(&labels)),
            revision: REVISIONS.into_iter().find_map(|label| labels.get(label)).map(|text| fingerprint(text)),
            deleted: Moment::of(pod.metadata.deletion_timestamp.map(|time| time.0)),
            phase: match status.phase.as_deref() {
                Some("Pending") => Phase::Pending,
                Some("Running") => Phase::Running,
                Some("Failed") => Phase::Failed,
                _ => Phase::Other,
            },
            in_pod_group: labels.contains_key(rbg::POD_GROUP) || annotations.contains_key(rbg::VOLCANO_GROUP),
            ready: ready.map(|ready| ready.status),
            ready_since: Moment::of(ready.and_then(|ready| ready.since)),
            started: Moment::of(status.start_time.map(|time| time.0)),
            unschedulable: condition("PodScheduled").and_then(unschedulable).map(Box::new),
            name,
            node,
            spec,
        }
    }

    /// Returns the pod's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns what the pods of its replica have in common.
    pub fn replica_key(&self) -> &str {
        self.replica.text(&self.name)
    }

    /// Returns the ordinal of its replica as a label tells it.
    pub(super) fn ordinal(&self) -> Option<u32> {
        self.ordinal.get()
    }

    /// Returns its place in its replica (0 is the leader), or `None` where the workload has no such notion.
    pub fn component_index(&self) -> Option<u32> {
        self.component.get()
    }

    /// Returns what stands for the template that it was made from, where its workload tells.
    pub fn revision(&self) -> Option<NonZeroU64> {
        self.revision
    }

    /// Returns whether it is being deleted.
    pub fn is_deleted(&self) -> bool {
        self.deleted.time().is_some()
    }

    /// Returns its phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns whether it says what a gang scheduler reads: the PodGroup that it belongs to.
    pub fn is_in_pod_group(&self) -> bool {
        self.in_pod_group
    }

    /// Returns its Ready condition.
    pub fn ready(&self) -> Option<Readiness> {
        Some(Readiness { status: self.ready?, since: self.ready_since.time() })
    }

    /// Returns whether it serves: ready, and not being deleted.
    pub fn serves(&self) -> bool {
        !self.is_deleted() && self.ready == Some(ReadyStatus::True)
    }

    /// Returns when it started.
    pub fn started(&self) -> Option<Timestamp> {
        self.started.time()
    }

    /// Returns since when the scheduler finds no node for it, and what it says; a missing time counts as just now.
    pub(super) fn unschedulable(&self) -> Option<(Timestamp, Option<&str>)> {
        let unschedulable = self.unschedulable.as_ref()?;
        Some((unschedulable.since.unwrap_or(Timestamp::MAX), unschedulable.message.as_deref()))
    }

    /// Returns the node that it is bound to.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// Returns its spec, without what says something of this pod alone.
    pub fn spec(&self) -> Option<&Arc<PodSpec>> {
        self.spec.as_ref()
    }
}

/// A pod that reads the same but for its revision; what scaling does not read is missing.
impl From<&RolePod> for Pod {
    fn from(pod: &RolePod) -> Self {
        let label = |name: &str, value: Option<String>| Some((name.to_owned(), value?));
        let replica = Some(pod.replica_key()).filter(|replica| *replica != &*pod.name);
        let labels = [
            label(rbg::ROLE_INSTANCE_NAME, replica.map(str::to_owned)),
            label(rbg::ROLE_INSTANCE_INDEX, pod.ordinal().map(|ordinal| ordinal.to_string())),
            label(rbg::COMPONENT_INDEX, pod.component_index().map(|index| index.to_string())),
        ];
        let condition = |type_: &str, status: &str, since: Option<Timestamp>| PodCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            last_transition_time: since.map(Time),
            ..PodCondition::default()
        };
        let ready = pod.ready().map(|ready| {
            let status = match ready.status {
                ReadyStatus::True => "True",
                ReadyStatus::False => "False",
                ReadyStatus::Unknown => "Unknown",
            };
            condition("Ready", status, ready.since)
        });
        let unschedulable = pod.unschedulable.as_ref().map(|told| PodCondition {
            reason: Some("Unschedulable".to_owned()),
            message: told.message.as_deref().map(str::to_owned),
            ..condition("PodScheduled", "False", told.since)
        });
        let phase = match pod.phase {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Failed => "Failed",
            Phase::Other => "Unknown",
        };
        Self {
            metadata: ObjectMeta {
                name: Some(pod.name.to_string()),
                labels: Some(labels.into_iter().flatten().collect()),
                deletion_timestamp: pod.deleted.time().map(Time),
                ..ObjectMeta::default()
            },
            spec: pod.spec.as_ref().map(|spec| PodSpec {
                node_name: pod.node.as_deref().map(str::to_owned),
                ..PodSpec::clone(spec)
            }),
            status: Some(PodStatus {
                phase: Some(phase.to_owned()),
                start_time: pod.started().map(Time),
                conditions: Some(ready.into_iter().chain(unschedulable).collect()),
                ..PodStatus::default()
            }),
        }
    }
}

fn fingerprint(text: &str) -> NonZeroU64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN)
}

fn readiness(condition: &PodCondition) -> Readiness {
    Readiness {
        status: match condition.status.as_str() {
            "True" => ReadyStatus::True,
            "False" => ReadyStatus::False,
            _ => ReadyStatus::Unknown,
        },
        since: condition.last_transition_time.as_ref().map(|time| time.0),
    }
}

fn unschedulable(condition: &PodCondition) -> Option<Unschedulable> {
    let is = condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable");
    is.then(|| Unschedulable {
        since: condition.last_transition_time.as_ref().map(|time| time.0),
        message: condition.message.as_deref().map(Into::into),
    })
}

/// Returns the ordinal of each replica, or `None` for all of them where the workload has none.
///
/// Read from labels, else from a number at the end of the names. Names count only if all replicas have a different
/// number of less than five digits: a Deployment's random suffix (five characters) may look like one.
pub(super) fn ordinals(groups: &[&[&RolePod]]) -> Vec<Option<u32>> {
    let by_label: Vec<Option<u32>> =
        groups.iter().map(|pods| pods.first().and_then(|pod| pod.ordinal())).collect();
    if by_label.iter().all(Option::is_some) {
        return by_label;
    }
    let by_name: Vec<Option<u32>> = groups
        .iter()
        .map(|pods| pods.first().map(|pod| pod.replica_key()).unwrap_or_default())
        .map(|key| key.rsplit_once('-').map_or(key, |(_, last)| last))
        .map(|last| if last.len() < 5 { last.parse().ok() } else { None })
        .collect();
    let mut seen: Vec<u32> = by_name.iter().flatten().copied().collect();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() == groups.len() { by_name } else { vec![None; groups.len()] }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> RolePod {
        RolePod::new(serde_json::from_value(value.clone()).expect("a pod"), Arc::new)
    }

    #[test]
    fn a_pod_made_from_one_reads_the_same() {
        let condition = |type_: &str, status: &str| {
            json!({"type": type_, "status": status, "reason": "Unschedulable", "message": "no room",
                "lastTransitionTime": "2026-11-21T10:00:00Z"})
        };
        let cases = [
            json!({"metadata": {"name": "d-0"}}),
            json!({"metadata": {"name": "d-1-0", "deletionTimestamp": "2026-11-21T10:00:00Z",
                "labels": {(rbg::LWS_GROUP_INDEX): "1", (rbg::LWS_WORKER_INDEX): "0", "app": "x"}},
                "spec": {"nodeName": "n", "hostname": "h", "containers": [{"name": "engine"}]},
                "status": {"phase": "Running", "startTime": "2026-11-21T09:00:00Z", "conditions": [condition("Ready", "True")]}}),
            json!({"metadata": {"name": "d-2", "labels": {(rbg::ROLE_INSTANCE_NAME): "d-2", (rbg::ROLE_INSTANCE_INDEX): "2"}},
                "spec": {"nodeName": "", "containers": []},
                "status": {"phase": "Pending", "conditions": [condition("PodScheduled", "False")]}}),
        ];
        for case in cases {
            let pod = read(&case);
            assert_eq!(RolePod::new(Pod::from(&pod), Arc::new), pod, "{case}");
        }
    }

    #[test]
    fn what_is_read() {
        let pod = read(&json!({"metadata": {"name": "d-2-1", "labels":
            {(rbg::ROLE_INSTANCE_NAME): "d-2", (rbg::ROLE_INSTANCE_INDEX): "2", (rbg::COMPONENT_INDEX): "1"}}}));
        assert_eq!((pod.replica_key(), pod.ordinal(), pod.component_index()), ("d-2", Some(2), Some(1)));
        assert!(!pod.serves() && pod.node().is_none() && !pod.is_deleted());
        assert!(size_of::<RolePod>() <= 112, "{}", size_of::<RolePod>());
    }
}
