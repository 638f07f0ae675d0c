//! What scaling reads from one pod.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};

use super::rbg;
use crate::scaling::{Phase, Readiness, ReadyStatus};

/// Label of a StatefulSet's pod: its ordinal.
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

pub(super) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub(super) fn replica_key(pod: &Pod) -> &str {
    match &pod.metadata.labels {
        Some(labels) => rbg::replica_key(labels, name(pod)),
        None => name(pod),
    }
}

pub(super) fn component_index(pod: &Pod) -> Option<u32> {
    pod.metadata.labels.as_ref().and_then(rbg::component_index)
}

/// Returns the ordinal of each replica, or `None` for all of them where the workload has none.
///
/// Read from labels, else from a number at the end of the names. Names count only if all replicas have a different
/// number of less than five digits: a Deployment's random suffix (five characters) may look like one.
pub(super) fn ordinals(groups: &[(&str, Vec<&Pod>)]) -> Vec<Option<u32>> {
    let labelled = |pods: &[&Pod]| {
        let labels = pods.first()?.metadata.labels.as_ref()?;
        let text = [rbg::ROLE_INSTANCE_INDEX, rbg::LWS_GROUP_INDEX, POD_INDEX]
            .into_iter()
            .find_map(|label| labels.get(label))?;
        text.parse().ok()
    };
    let by_label: Vec<Option<u32>> = groups.iter().map(|(_, pods)| labelled(pods)).collect();
    if by_label.iter().all(Option::is_some) {
        return by_label;
    }
    let by_name: Vec<Option<u32>> = groups
        .iter()
        .map(|(key, _)| key.rsplit_once('-').map_or(*key, |(_, last)| last))
        .map(|last| if last.len() < 5 { last.parse().ok() } else { None })
        .collect();
    let mut seen: Vec<u32> = by_name.iter().flatten().copied().collect();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() == groups.len() { by_name } else { vec![None; groups.len()] }
}

pub(super) fn phase(pod: &Pod) -> Phase {
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Pending") => Phase::Pending,
        Some("Running") => Phase::Running,
        Some("Failed") => Phase::Failed,
        _ => Phase::Other,
    }
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_)
}

pub(super) fn ready(pod: &Pod) -> Option<Readiness> {
    let condition = condition(pod, "Ready")?;
    Some(Readiness {
        status: match condition.status.as_str() {
            "True" => ReadyStatus::True,
            "False" => ReadyStatus::False,
            _ => ReadyStatus::Unknown,
        },
        since: condition.last_transition_time.as_ref().map(|time| time.0),
    })
}

pub(super) fn started(pod: &Pod) -> Option<Timestamp> {
    pod.status.as_ref()?.start_time.as_ref().map(|time| time.0)
}

/// Returns since when the scheduler finds no node for the pod, and what it says; a missing time counts as just now.
pub(super) fn unschedulable(pod: &Pod) -> Option<(Timestamp, Option<&str>)> {
    let condition = condition(pod, "PodScheduled")?;
    let unschedulable = condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable");
    let since = condition.last_transition_time.as_ref().map_or(Timestamp::MAX, |time| time.0);
    unschedulable.then_some((since, condition.message.as_deref()))
}

pub(super) fn is_bound(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_ref().is_some_and(|node| !node.is_empty()))
}
