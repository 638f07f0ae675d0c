//! [`Occupant`]: a pod of the cluster as far as it takes room, or waits for it.

use k8s_openapi::api::core::v1::{Affinity, Container, NodeAffinity, Pod, PodSpec, PodStatus};
use kube::runtime::watcher::Event;
use rbg_autoscaler::{
    api::rbg,
    scaling::{Reservation, Settings},
};

use super::store::ObjectKey;

/// A pod of the cluster as far as it takes room, or waits for it.
#[derive(Clone, Debug)]
pub struct Occupant {
    /// The pod.
    pub key: ObjectKey,
    /// The group and the role that it belongs to, if any.
    pub home: Option<(String, String)>,
    /// Whether it is being deleted or has ended.
    pub leaving: bool,
    /// Its priority, once admission has resolved it.
    pub priority: Option<i32>,
    /// Where it stands.
    pub place: Place,
}

/// Where a pod stands.
#[derive(Clone, Debug)]
pub enum Place {
    /// On a node, of which it takes so much.
    Bound(Reservation),
    /// In the scheduler's queue.
    Waiting(Box<Pod>),
    /// Nowhere: it has ended, or something else than room holds it back.
    Nowhere,
}

/// Trims what a watch of pods tells.
pub fn event(event: Event<Pod>) -> Event<Occupant> {
    match event {
        Event::Apply(pod) => Event::Apply(pod.into()),
        Event::Delete(pod) => Event::Delete(pod.into()),
        Event::InitApply(pod) => Event::InitApply(pod.into()),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

impl From<Pod> for Occupant {
    fn from(pod: Pod) -> Self {
        let label = |name| pod.metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned();
        Self {
            key: ObjectKey::of(&pod),
            home: label(rbg::GROUP_NAME).zip(label(rbg::ROLE_NAME)),
            leaving: pod.metadata.deletion_timestamp.is_some() || has_ended(&pod),
            priority: pod.spec.as_ref().and_then(|spec| spec.priority),
            place: Place::of(pod),
        }
    }
}

impl Place {
    fn of(pod: Pod) -> Self {
        let Some(spec) = pod.spec.as_ref().filter(|_| !has_ended(&pod)) else { return Self::Nowhere };
        if spec.node_name.as_ref().is_some_and(|node| !node.is_empty()) {
            return Self::Bound(Reservation::of_pod(spec, Settings::default().pod_level_resources));
        }
        let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
        if gated || pod.metadata.deletion_timestamp.is_some() {
            return Self::Nowhere;
        }
        Self::Waiting(Box::new(waiting(pod)))
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Keeps what decides where the scheduler will put a pod, and when.
fn waiting(pod: Pod) -> Pod {
    let mut kept = Pod::default();
    kept.metadata.name = pod.metadata.name;
    kept.metadata.namespace = pod.metadata.namespace;
    kept.metadata.creation_timestamp = pod.metadata.creation_timestamp;
    kept.spec = pod.spec.map(|spec| PodSpec {
        containers: spec.containers.into_iter().map(container).collect(),
        init_containers: spec.init_containers.map(|list| list.into_iter().map(container).collect()),
        node_selector: spec.node_selector,
        affinity: spec.affinity.and_then(|affinity| affinity.node_affinity).map(|near| Affinity {
            node_affinity: Some(NodeAffinity {
                preferred_during_scheduling_ignored_during_execution: None,
                ..near
            }),
            ..Affinity::default()
        }),
        tolerations: spec.tolerations,
        priority: spec.priority,
        overhead: spec.overhead,
        resources: spec.resources,
        host_network: spec.host_network,
        ..PodSpec::default()
    });
    kept.status = pod.status.map(|status| PodStatus { phase: status.phase, ..PodStatus::default() });
    kept
}

/// Names are dropped, so that pods that ask for the same are alike.
fn container(container: Container) -> Container {
    Container {
        resources: container.resources,
        restart_policy: container.restart_policy,
        ports: container.ports,
        ..Container::default()
    }
}
