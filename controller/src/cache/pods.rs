//! [`PodIndex`]: the pods of every role, trimmed to what scaling reads.

use std::collections::{BTreeMap, HashMap, HashSet};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};
use kube::runtime::watcher::Event;
use rbg_autoscaler::api::rbg;

use super::store::ObjectKey;

/// Labels that scaling reads; the others are dropped.
const LABELS: [&str; 8] = [
    rbg::GROUP_NAME,
    rbg::ROLE_NAME,
    rbg::ROLE_INSTANCE_NAME,
    rbg::ROLE_INSTANCE_INDEX,
    rbg::COMPONENT_INDEX,
    rbg::LWS_GROUP_INDEX,
    rbg::LWS_WORKER_INDEX,
    "apps.kubernetes.io/pod-index",
];

/// Pods by name, in the order of their names.
pub type RolePods = BTreeMap<String, Pod>;

/// The pods of every role of every group.
#[derive(Debug, Default)]
pub struct PodIndex {
    by_group: HashMap<ObjectKey, HashMap<String, RolePods>>,
    /// Where a pod stands: its group and its role.
    home: HashMap<ObjectKey, (String, String)>,
    listing: Option<HashSet<ObjectKey>>,
    complete: bool,
}

impl PodIndex {
    /// Takes an event in.
    pub fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listing = Some(HashSet::new()),
            Event::InitApply(pod) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(ObjectKey::of(&pod));
                }
                self.put(pod);
            }
            Event::Apply(pod) => self.put(pod),
            Event::Delete(pod) => self.remove(&ObjectKey::of(&pod)),
            Event::InitDone => {
                self.complete = true;
                let listing = self.listing.take().unwrap_or_default();
                let gone: Vec<_> = self.home.keys().filter(|key| !listing.contains(*key)).cloned().collect();
                for key in gone {
                    self.remove(&key);
                }
            }
        }
    }

    fn put(&mut self, pod: Pod) {
        let key = ObjectKey::of(&pod);
        let label = |name| pod.metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned();
        let (Some(group), Some(role)) = (label(rbg::GROUP_NAME), label(rbg::ROLE_NAME)) else {
            return self.remove(&key);
        };
        let home = (group, role);
        if self.home.get(&key).is_some_and(|known| *known != home) {
            self.remove(&key);
        }
        let group = ObjectKey::new(key.namespace.as_str(), home.0.as_str());
        let pods = self.by_group.entry(group).or_default().entry(home.1.clone()).or_default();
        pods.insert(key.name.clone(), trimmed(pod));
        self.home.insert(key, home);
    }

    fn remove(&mut self, key: &ObjectKey) {
        let Some((group, role)) = self.home.remove(key) else { return };
        let group = ObjectKey::new(key.namespace.as_str(), group);
        let Some(roles) = self.by_group.get_mut(&group) else { return };
        if let Some(pods) = roles.get_mut(&role) {
            pods.remove(&key.name);
            if pods.is_empty() {
                roles.remove(&role);
            }
        }
        if roles.is_empty() {
            self.by_group.remove(&group);
        }
    }

    /// Returns the pods of a role, or `None` when it has none.
    pub fn of(&self, group: &ObjectKey, role: &str) -> Option<&RolePods> {
        self.by_group.get(group)?.get(role)
    }

    /// Returns how many pods there are.
    pub fn len(&self) -> usize {
        self.home.len()
    }

    /// Returns whether there is no pod.
    pub fn is_empty(&self) -> bool {
        self.home.is_empty()
    }

    /// Returns whether a whole list has been seen.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Keeps what scaling reads of a pod.
fn trimmed(pod: Pod) -> Pod {
    let mut kept = Pod::default();
    kept.metadata.name = pod.metadata.name;
    kept.metadata.deletion_timestamp = pod.metadata.deletion_timestamp;
    kept.metadata.labels = pod.metadata.labels.map(|mut labels| {
        labels.retain(|name, _| LABELS.contains(&name.as_str()));
        labels
    });
    kept.spec = pod.spec.map(|spec| PodSpec {
        containers: spec.containers.into_iter().map(trimmed_container).collect(),
        init_containers: spec.init_containers.map(|containers| {
            containers
                .into_iter()
                .filter(|container| container.restart_policy.is_some())
                .map(trimmed_container)
                .collect()
        }),
        node_name: spec.node_name,
        resources: spec.resources,
        ..PodSpec::default()
    });
    kept.status = pod.status.map(|status| PodStatus {
        conditions: status.conditions.map(|mut conditions| {
            conditions.retain(|condition| matches!(condition.type_.as_str(), "Ready" | "PodScheduled"));
            conditions
        }),
        phase: status.phase,
        start_time: status.start_time,
        ..PodStatus::default()
    });
    kept
}

fn trimmed_container(container: Container) -> Container {
    Container {
        name: container.name,
        resources: container.resources,
        restart_policy: container.restart_policy,
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, group: &str, role: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "a", "annotations": {"big": "text"},
                "labels": {rbg::GROUP_NAME: group, rbg::ROLE_NAME: role, "app": "x"}},
            "spec": {"nodeName": "n", "volumes": [{"name": "v"}],
                "containers": [{"name": "engine", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Running", "podIP": "127.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]}
        }))
        .expect("a pod")
    }

    fn names(index: &PodIndex, group: &str, role: &str) -> Vec<String> {
        index
            .of(&ObjectKey::new("a", group), role)
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect()
    }

    #[test]
    fn pods_stand_with_their_role() {
        let mut index = PodIndex::default();
        for event in [
            Event::Init,
            Event::InitApply(pod("d-1", "demo", "decode")),
            Event::InitApply(pod("d-0", "demo", "decode")),
            Event::InitApply(pod("p-0", "demo", "prefill")),
            Event::InitDone,
        ] {
            index.take(event);
        }
        assert!(index.is_complete());
        assert_eq!(names(&index, "demo", "decode"), ["d-0", "d-1"]);
        index.take(Event::Apply(pod("d-1", "demo", "prefill")));
        assert_eq!((names(&index, "demo", "decode").len(), names(&index, "demo", "prefill").len()), (1, 2));
        index.take(Event::Delete(pod("d-0", "demo", "decode")));
        assert_eq!(index.of(&ObjectKey::new("a", "demo"), "decode"), None);
        index.take(Event::Init);
        index.take(Event::InitApply(pod("p-0", "demo", "prefill")));
        index.take(Event::InitDone);
        assert_eq!((names(&index, "demo", "prefill"), index.len()), (vec!["p-0".to_owned()], 1));
    }

    #[test]
    fn what_scaling_does_not_read_is_dropped() {
        insta::assert_json_snapshot!(trimmed(pod("d-0", "demo", "decode")), @r#"
        {
          "apiVersion": "v1",
          "kind": "Pod",
          "metadata": {
            "labels": {
              "rbg.workloads.x-k8s.io/group-name": "demo",
              "rbg.workloads.x-k8s.io/role-name": "decode"
            },
            "name": "d-0"
          },
          "spec": {
            "containers": [
              {
                "name": "engine",
                "resources": {
                  "requests": {
                    "cpu": "1"
                  }
                }
              }
            ],
            "nodeName": "n"
          },
          "status": {
            "conditions": [
              {
                "status": "True",
                "type": "Ready"
              }
            ],
            "phase": "Running"
          }
        }
        "#);
    }
}
