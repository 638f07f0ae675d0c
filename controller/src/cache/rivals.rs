//! [`Rivals`]: other autoscalers that scale a role's workload or scaling adapter, by what they scale.
//!
//! Every scaler that is built on the HPA (KEDA among them) shows as a HorizontalPodAutoscaler.

use std::collections::{BTreeSet, HashMap, HashSet};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::runtime::watcher::Event;

use super::store::ObjectKey;

/// Kinds that a role may be scaled by, all of them named `<group>-<role>`.
const SCALED: [&str; 5] =
    ["RoleBasedGroupScalingAdapter", "RoleInstanceSet", "StatefulSet", "Deployment", "LeaderWorkerSet"];

/// Other autoscalers, by what they scale.
#[derive(Debug, Default)]
pub struct Rivals {
    /// Names of autoscalers by the object that they scale.
    by_target: HashMap<ObjectKey, BTreeSet<String>>,
    target: HashMap<ObjectKey, ObjectKey>,
    listing: Option<HashSet<ObjectKey>>,
    complete: bool,
}

impl Rivals {
    /// Takes an event in.
    pub fn take(&mut self, event: &Event<HorizontalPodAutoscaler>) {
        match event {
            Event::Init => self.listing = Some(HashSet::new()),
            Event::InitApply(hpa) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(ObjectKey::of(hpa));
                }
                self.put(hpa);
            }
            Event::Apply(hpa) => self.put(hpa),
            Event::Delete(hpa) => self.remove(&ObjectKey::of(hpa)),
            Event::InitDone => {
                self.complete = true;
                let listing = self.listing.take().unwrap_or_default();
                let gone: Vec<_> =
                    self.target.keys().filter(|key| !listing.contains(*key)).cloned().collect();
                for key in gone {
                    self.remove(&key);
                }
            }
        }
    }

    /// Goes on without them, because they may not be read.
    pub fn give_up(&mut self) {
        self.complete = true;
    }

    fn put(&mut self, hpa: &HorizontalPodAutoscaler) {
        let key = ObjectKey::of(hpa);
        self.remove(&key);
        let target = hpa.spec.as_ref().map(|spec| &spec.scale_target_ref);
        let Some(target) = target.filter(|target| SCALED.contains(&target.kind.as_str())) else { return };
        let target = ObjectKey::new(key.namespace.as_str(), target.name.as_str());
        self.by_target.entry(target.clone()).or_default().insert(key.name.clone());
        self.target.insert(key, target);
    }

    fn remove(&mut self, key: &ObjectKey) {
        let Some(target) = self.target.remove(key) else { return };
        if let Some(names) = self.by_target.get_mut(&target) {
            names.remove(&key.name);
            if names.is_empty() {
                self.by_target.remove(&target);
            }
        }
    }

    /// Returns the first of those that scale an object of that name.
    pub fn of(&self, target: &ObjectKey) -> Option<&str> {
        self.by_target.get(target)?.first().map(String::as_str)
    }

    /// Returns whether a whole list has been seen, or cannot be.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hpa(name: &str, kind: &str, target: &str) -> HorizontalPodAutoscaler {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "a"},
            "spec": {"maxReplicas": 9, "scaleTargetRef": {"kind": kind, "name": target}}
        }))
        .expect("an HPA")
    }

    #[test]
    fn a_rival_is_known_by_what_it_scales() {
        let mut rivals = Rivals::default();
        let target = ObjectKey::new("a", "demo-decode");
        rivals.take(&Event::Apply(hpa("keda-hpa-x", "StatefulSet", "demo-decode")));
        assert_eq!(rivals.of(&target), Some("keda-hpa-x"));
        rivals.take(&Event::Apply(hpa("keda-hpa-x", "StatefulSet", "other")));
        assert_eq!(rivals.of(&target), None);
        rivals.take(&Event::Apply(hpa("b", "RoleBasedGroupScalingAdapter", "demo-decode")));
        rivals.take(&Event::Apply(hpa("a", "ReplicaSet", "demo-decode")));
        assert_eq!(rivals.of(&target), Some("b"), "a ReplicaSet is no role's");
        rivals.take(&Event::Init);
        rivals.take(&Event::InitDone);
        assert_eq!(rivals.of(&target), None);
    }
}
