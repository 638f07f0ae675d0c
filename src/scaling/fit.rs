//! Whether the gangs that roles want fit on the nodes as they are now.
//!
//! Placing is modelled for requests, host ports, node selectors, required node affinity, taints, cordons and readiness.
//! Whatever is said to fit is a placement that satisfies all of these; a gang may rarely be refused although a cleverer
//! packing exists. What is not modelled (pod affinity, topology spread, volumes, claims, gates) is taken as fitting, while
//! the rest of such a pod is still checked: GPUs that are not there are not there. The same goes for what
//! cannot be seen: nodes that are not known, roles whose pods are not known. Rollback is the net for all of them.
//!
//! Replicas that were asked for earlier and have no pods yet take room first (see `missing`).
//!
//! Pods of a role without a known priority are last in line: everything that waits takes room first.

mod missing;
mod need;
mod plan;
mod request;
mod room;
mod shortage;
mod site;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use need::Need;
use plan::{Growth, Plan};
use room::Room;

use super::{
    draft::{GroupDraft, RoleDraft},
    observation::{ReplicaObservation, Reservation},
    ratio::{self, Demand},
};
use crate::units::{MilliValue, Replicas};

impl Reservation {
    /// Returns what a pod takes of the node that it is bound to, if any, counted as the scheduler counts it.
    ///
    /// `pod_level` says whether requests at the level of the pod count.
    pub fn of_pod(spec: &PodSpec, pod_level: bool) -> Self {
        let asked =
            request::names(spec).into_iter().map(|name| (name, request::of_pod(spec, name, pod_level)));
        let mut requests: Vec<_> = asked
            .filter(|(name, asked)| *asked > 0 && *name != room::PODS)
            .map(|(name, asked)| (name.to_owned(), MilliValue::from_milli(asked)))
            .collect();
        requests.push((room::PODS.to_owned(), MilliValue::from_whole(1)));
        let ports = request::host_ports(spec).into_iter();
        Self {
            node: spec.node_name.clone().unwrap_or_default(),
            requests,
            ports: ports.map(|(number, protocol)| (number, protocol.to_owned())).collect(),
        }
    }
}

/// What came of the growth of one role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fitting {
    /// The role, by its place in the policy.
    pub role: usize,
    /// The count up to which whole gangs fit.
    pub replicas: Replicas,
    /// Why it is not more.
    pub refusal: Option<String>,
    /// What was taken as fitting without being looked at.
    pub unknown: Option<String>,
    /// Where the pods were put; each is of a replica below the count.
    pub placed: Vec<(Replicas, Reservation)>,
}

/// Growth that one role wants.
#[derive(Clone, Copy)]
struct Wish<'g> {
    role: usize,
    draft: &'g RoleDraft<'g>,
    from: Replicas,
    to: Replicas,
}

/// Places the gangs that the group's proposals want, roles of a ratio together.
pub(crate) fn group(group: &GroupDraft<'_>) -> Vec<Fitting> {
    let balance = ratio::balance(group);
    let number =
        |role: &Option<RoleDraft<'_>>| role.as_ref().map_or(Replicas::ZERO, |role| role.proposal.replicas);
    let counts: Vec<_> = group.roles.iter().map(number).collect();
    let wishes = group.roles.iter().enumerate().filter_map(|(role, draft)| {
        let draft = draft.as_ref()?;
        let (from, to) = (draft.current(), draft.proposal.replicas);
        (to > from).then_some(Wish { role, draft, from, to })
    });
    run(group, &wishes.collect::<Vec<_>>(), balance.demands(), &counts, &[])
}

/// Returns how many whole gangs of one role alone would fit between two counts, if the pods of `gone` were not there;
/// `None` when that cannot be told.
pub(crate) fn gangs(
    group: &GroupDraft<'_>,
    role: usize,
    (from, to): (Replicas, Replicas),
    gone: &[&ReplicaObservation],
) -> Option<u32> {
    let draft = group.roles.get(role)?.as_ref()?;
    let counts = vec![from; group.roles.len()];
    let found = run(group, &[Wish { role, draft, from, to }], &[], &counts, gone).pop()?;
    let grown = found.replicas.get().saturating_sub(from.get());
    found.unknown.is_none().then(|| grown.div_ceil(draft.policy.gang.get()))
}

fn run(
    group: &GroupDraft<'_>,
    wishes: &[Wish<'_>],
    demands: &[Demand],
    counts: &[Replicas],
    gone: &[&ReplicaObservation],
) -> Vec<Fitting> {
    let capacity = group.seen.capacity.as_deref();
    let Some((capacity, nodes)) = capacity.and_then(|capacity| Some((capacity, capacity.nodes.as_deref()?)))
    else {
        return wishes.iter().map(|wish| untested(wish, "the nodes are not known")).collect();
    };
    let (known, unknown): (Vec<_>, Vec<_>) =
        wishes.iter().partition(|wish| !wish.draft.seen.templates.is_empty());
    let mut results: Vec<_> =
        unknown.into_iter().map(|wish| untested(wish, "its pods are not known")).collect();
    let (known, unreadable): (Vec<_>, Vec<_>) = known
        .into_iter()
        .partition(|wish| wish.draft.seen.templates.iter().all(|(_, spec)| request::is_readable(spec)));
    results.extend(unreadable.into_iter().map(|wish| untested(wish, "its requests cannot be read")));
    let own: Vec<&PodSpec> =
        known.iter().flat_map(|wish| wish.draft.seen.templates.iter().map(|(_, spec)| spec)).collect();
    let Some(priority) = own.iter().map(|spec| priority(spec)).min() else { return results };

    let pod_level = group.seen.settings.pod_level_resources;
    let kept = group.roles.iter().enumerate().filter_map(|(role, draft)| {
        let draft = draft.as_ref()?;
        let growing = wishes.iter().find(|wish| wish.role == role);
        Some((draft, growing.map_or(draft.proposal.replicas, |wish| wish.from)))
    });
    let missing = missing::pods(kept, &capacity.reserved, pod_level);
    let pods = capacity.pods.iter().map(|pod| &**pod);
    let pods = pods.filter(|pod| !gone.iter().any(|replica| is_of(pod, replica)));
    let pods: Vec<&Pod> = pods.chain(&missing).collect();
    let waiting = pods.iter().filter_map(|pod| pod.spec.as_ref());
    let waiting = waiting.filter(|spec| spec.node_name.as_ref().is_none_or(String::is_empty));
    let specs: Vec<&PodSpec> = own.iter().copied().chain(waiting).collect();
    let reserved = capacity.taken.iter().chain(&capacity.reserved).chain(&group.reserved);
    let mut room = Room::new(nodes, &pods, reserved, &specs, pod_level);
    if let Some(why) = &room.unreadable {
        results.extend(known.into_iter().map(|wish| untested(wish, why)));
        return results;
    }
    room.seat(&pods, priority);
    let mut needs: Vec<Need<'_>> = Vec::new();
    let growths: Vec<_> = known.iter().map(|wish| growth(wish, &room, &mut needs)).collect();
    let grants = Plan { room: &mut room, needs: &mut needs, growths: &growths, demands }.run(counts);
    results.extend(known.into_iter().zip(grants).map(|(wish, grant)| {
        let open: BTreeSet<_> =
            wish.draft.seen.templates.iter().flat_map(|(_, spec)| request::not_modelled(spec)).collect();
        let open: Vec<_> = open.into_iter().collect();
        Fitting {
            role: wish.role,
            replicas: grant.replicas,
            refusal: grant.refusal,
            unknown: (!open.is_empty()).then(|| format!("{} cannot be modelled", open.join(", "))),
            placed: grant.placed,
        }
    }));
    results
}

fn growth<'g>(wish: &Wish<'g>, room: &Room<'g>, needs: &mut Vec<Need<'g>>) -> Growth<'g> {
    let first = needs.len();
    needs.extend(wish.draft.seen.templates.iter().map(|(_, spec)| Need::new(room, spec)));
    Growth {
        role: wish.role,
        name: &wish.draft.policy.name,
        from: wish.from,
        to: wish.to,
        gang: wish.draft.policy.gang,
        pods: wish.draft.seen.templates.iter().map(|(number, _)| *number).zip(first..).collect(),
    }
}

fn untested(wish: &Wish<'_>, why: &str) -> Fitting {
    Fitting { role: wish.role, replicas: wish.to, unknown: Some(why.to_owned()), ..Fitting::default() }
}

/// Whether the pod belongs to the replica: it is the replica, or its name begins with the replica's.
fn is_of(pod: &Pod, replica: &ReplicaObservation) -> bool {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    name.strip_prefix(replica.name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The priority of a role's pods; of a class that is not resolved yet, the lowest.
fn priority(spec: &PodSpec) -> i32 {
    let unresolved = spec.priority_class_name.as_ref().is_some_and(|name| !name.is_empty());
    spec.priority.unwrap_or(if unresolved { i32::MIN } else { 0 })
}

#[cfg(test)]
mod tests;
