//! Pods of replicas that were asked for earlier and are not there: they take room before new gangs do.
//!
//! Only where some replicas of the role are listed: a document that lists none says nothing of its pods. What is reserved
//! for such pods is not counted twice: a reservation of the same requests stands for one of them.

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::room::PODS;
use crate::{
    scaling::{draft::RoleDraft, observation::Reservation},
    units::{MilliValue, Replicas},
};

/// The pods that roles still lack of the counts they keep, without a node.
///
/// `kept` are roles with the count up to which they keep what they asked for; `reserved` is what was reserved before.
pub(super) fn pods<'d>(
    kept: impl Iterator<Item = (&'d RoleDraft<'d>, Replicas)>,
    reserved: &[Reservation],
    pod_level: bool,
) -> Vec<Pod> {
    let lacking: Vec<_> =
        kept.map(|(draft, kept)| (draft, lacking(draft, kept))).filter(|(_, lacking)| *lacking > 0).collect();
    let mut pods = Vec::new();
    if lacking.is_empty() {
        return pods;
    }
    let mut reserved: Vec<_> = reserved.iter().map(requests).collect();
    for (draft, lacking) in lacking {
        for (each, spec) in &draft.seen.templates {
            let pod = Reservation::of_pod(spec, pod_level);
            let asked = requests(&pod);
            for _ in 0..lacking.saturating_mul(*each) {
                match reserved.iter().position(|of_one| *of_one == asked) {
                    Some(at) => drop(reserved.swap_remove(at)),
                    None => pods.push(waiting(spec)),
                }
            }
        }
    }
    pods
}

/// How many of the first `kept` replicas that were asked for are not listed.
fn lacking(draft: &RoleDraft<'_>, kept: Replicas) -> u32 {
    let replicas = &draft.seen.replicas;
    if replicas.is_empty() {
        return 0;
    }
    let kept = draft.seen.spec_replicas.min(kept).get();
    let listed =
        replicas.iter().filter(|replica| replica.ordinal.is_none_or(|ordinal| ordinal < kept)).count();
    kept.saturating_sub(u32::try_from(listed).unwrap_or(u32::MAX))
}

/// What is asked for, comparable.
fn requests(reservation: &Reservation) -> Vec<(&str, MilliValue)> {
    let mut requests: Vec<_> = reservation
        .requests
        .iter()
        .filter(|(name, value)| name != PODS && value.milli() > 0)
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    requests.sort_unstable();
    requests
}

fn waiting(spec: &PodSpec) -> Pod {
    let spec = PodSpec { node_name: None, ..spec.clone() };
    Pod { spec: Some(spec), ..Pod::default() }
}
