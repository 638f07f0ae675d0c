//! [`PodIndex`]: the pods of every role, trimmed to what scaling reads.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::{ResourceExt, runtime::watcher::Event};
use rbg_autoscaler::api::{rbg, replica::RolePod};

use super::{specs::SharedSpecs, store::ObjectKey};

/// The pods of one role, in the order of their names.
#[derive(Debug)]
pub struct RolePods {
    home: Arc<Home>,
    /// Most roles have few pods and there may be very many roles, so there is no room for growth.
    pods: Vec<RolePod>,
}

/// Where a pod stands.
#[derive(Debug, PartialEq, Eq)]
struct Home {
    group: ObjectKey,
    role: String,
}

impl RolePods {
    /// Returns a pod.
    pub fn get(&self, name: &str) -> Option<&RolePod> {
        self.pods.get(self.place(name).ok()?)
    }

    /// Returns the pods in the order of their names.
    pub fn as_slice(&self) -> &[RolePod] {
        &self.pods
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.pods.binary_search_by(|pod| pod.name().as_ref().cmp(name))
    }

    fn put(&mut self, pod: RolePod) {
        match self.place(pod.name()) {
            Ok(place) => {
                if let Some(known) = self.pods.get_mut(place) {
                    *known = pod;
                }
            }
            Err(place) => {
                self.pods.reserve_exact(1);
                self.pods.insert(place, pod);
            }
        }
    }
}

/// The pods of every role of every group.
#[derive(Debug, Default)]
pub struct PodIndex {
    by_group: HashMap<ObjectKey, Vec<RolePods>>,
    /// Where each pod stands, by namespace and name.
    homes: HashMap<String, HashMap<Arc<str>, Arc<Home>>>,
    specs: SharedSpecs,
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
                for key in self.keys().filter(|key| !listing.contains(key)).collect::<Vec<_>>() {
                    self.remove(&key);
                }
            }
        }
    }

    fn keys(&self) -> impl Iterator<Item = ObjectKey> {
        let all = self.homes.iter();
        all.flat_map(|(namespace, homes)| {
            homes.keys().map(|name| ObjectKey::new(namespace.as_str(), name.as_ref()))
        })
    }

    fn put(&mut self, pod: Pod) {
        let namespace = pod.namespace().unwrap_or_default();
        let label = |name| pod.labels().get(name).cloned();
        let (Some(group), Some(role)) = (label(rbg::GROUP_NAME), label(rbg::ROLE_NAME)) else {
            return self.remove(&ObjectKey::of(&pod));
        };
        let home = Home { group: ObjectKey::new(namespace.as_str(), group), role };
        let known = self.homes.get(&namespace).and_then(|homes| homes.get(pod.name_any().as_str()));
        if known.is_some_and(|known| **known != home) {
            self.remove(&ObjectKey::of(&pod));
        }
        let pod = RolePod::new(pod, |spec| self.specs.share(trimmed(spec)));
        let name = Arc::clone(pod.name());
        let roles = self.by_group.entry(home.group.clone()).or_default();
        let home = if let Some(pods) = roles.iter_mut().find(|pods| pods.home.role == home.role) {
            pods.put(pod);
            Arc::clone(&pods.home)
        } else {
            let home = Arc::new(home);
            roles.push(RolePods { home: Arc::clone(&home), pods: vec![pod] });
            home
        };
        self.homes.entry(namespace).or_default().insert(name, home);
    }

    fn remove(&mut self, key: &ObjectKey) {
        let Some(homes) = self.homes.get_mut(&key.namespace) else { return };
        let Some(home) = homes.remove(key.name.as_str()) else { return };
        if homes.is_empty() {
            self.homes.remove(&key.namespace);
        }
        let Some(roles) = self.by_group.get_mut(&home.group) else { return };
        for pods in roles.iter_mut().filter(|pods| pods.home.role == home.role) {
            if let Ok(place) = pods.place(&key.name) {
                pods.pods.remove(place);
            }
        }
        roles.retain(|pods| !pods.pods.is_empty());
        if roles.is_empty() {
            self.by_group.remove(&home.group);
        }
    }

    /// Returns the pods of a role, or `None` when it has none.
    pub fn of(&self, group: &ObjectKey, role: &str) -> Option<&RolePods> {
        self.by_group.get(group)?.iter().find(|pods| pods.home.role == role)
    }

    /// Returns how many pods there are.
    pub fn len(&self) -> usize {
        self.homes.values().map(HashMap::len).sum()
    }

    /// Returns whether there is no pod.
    pub fn is_empty(&self) -> bool {
        self.homes.is_empty()
    }

    /// Returns whether a whole list has been seen.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Keeps what scaling reads of a pod's spec.
fn trimmed(spec: PodSpec) -> PodSpec {
    PodSpec {
        containers: spec.containers.into_iter().map(trimmed_container).collect(),
        init_containers: spec.init_containers.map(|containers| {
            let stays = |container: &Container| container.restart_policy.is_some();
            containers.into_iter().filter(stays).map(trimmed_container).collect()
        }),
        resources: spec.resources,
        ..PodSpec::default()
    }
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
        let pods = index.of(&ObjectKey::new("a", group), role);
        pods.into_iter().flat_map(RolePods::as_slice).map(|pod| pod.name().to_string()).collect()
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
        assert!(index.of(&ObjectKey::new("a", "demo"), "decode").is_none());
        index.take(Event::Init);
        index.take(Event::InitApply(pod("p-0", "demo", "prefill")));
        index.take(Event::InitDone);
        assert_eq!((names(&index, "demo", "prefill"), index.len()), (vec!["p-0".to_owned()], 1));
    }

    #[test]
    fn what_scaling_does_not_read_is_dropped() {
        let read = RolePod::new(pod("d-0", "demo", "decode"), |spec| Arc::new(trimmed(spec)));
        insta::assert_json_snapshot!(Pod::from(&read), @r#"
        {
          "apiVersion": "v1",
          "kind": "Pod",
          "metadata": {
            "labels": {},
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

    #[test]
    fn pods_of_one_template_share_it() {
        let mut index = PodIndex::default();
        for name in ["d-0", "d-1"] {
            index.take(Event::Apply(pod(name, "demo", "decode")));
        }
        let pods = index.of(&ObjectKey::new("a", "demo"), "decode").expect("pods");
        let spec = |name: &str| Arc::clone(pods.get(name).and_then(RolePod::spec).expect("a spec"));
        assert!(Arc::ptr_eq(&spec("d-0"), &spec("d-1")));
    }
}
