//! [`ResourceMap`]: the kinds of objects a cluster knows, and how a name stands for one of them.
//!
//! Works as the REST mapper of Kubernetes clients: singular or plural names, a missing or shortened group, and the
//! first match in the order of the groups' priority.

use crate::request::GroupResource;

mod built_in;

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The preferred version; empty when it is not known.
    pub version: String,
    /// The kind, such as `Pod`.
    pub kind: String,
    /// The plural resource name, such as `pods`.
    pub resource: String,
    /// The singular resource name, such as `pod`.
    pub singular: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

impl ObjectKind {
    /// Returns a kind whose singular name is the kind in lower case, as it is for almost all.
    pub fn new(group: &str, version: &str, kind: &str, resource: &str, namespaced: bool) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            resource: resource.to_owned(),
            singular: kind.to_lowercase(),
            namespaced,
        }
    }

    /// Returns the group and the plural resource.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&*self.group, &*self.resource)
    }

    fn is_named(&self, name: &str) -> bool {
        self.resource == name || self.singular == name
    }
}

/// The known kinds, in the order in which ambiguous names resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceMap {
    kinds: Vec<ObjectKind>,
}

impl ResourceMap {
    /// Returns a map of kinds in the order of discovery, which is that of the groups' priority.
    pub fn from_discovery(kinds: Vec<ObjectKind>) -> Self {
        Self { kinds }
    }

    /// Returns a map of kinds in any order, sorted by the priority the apiserver gives to groups; those it does not
    /// serve itself come last, in the order given.
    pub fn new(mut kinds: Vec<ObjectKind>) -> Self {
        kinds.sort_by_key(|kind| built_in::rank(&kind.group));
        Self { kinds }
    }

    /// Returns the usual built-in kinds of Kubernetes.
    pub fn built_in() -> Self {
        Self::new(built_in::kinds())
    }

    /// Returns the kind that a name stands for.
    ///
    /// The resource may be singular or plural, in any case of letters; the group may be missing or a prefix.
    pub fn find(&self, name: &GroupResource) -> Option<&ObjectKind> {
        let resource = name.resource.to_lowercase();
        self.kinds.iter().find(|kind| kind.group.starts_with(&name.group) && kind.is_named(&resource))
    }

    /// Returns the singular name of a resource, whatever its group.
    pub fn singular(&self, resource: &str) -> Option<&str> {
        self.kinds.iter().find(|kind| kind.is_named(resource)).map(|kind| kind.singular.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(map: &ResourceMap, name: &str) -> Option<String> {
        map.find(&GroupResource::parse(name)).map(|kind| kind.group_resource().to_string())
    }

    #[test]
    fn names_resolve_as_in_a_cluster() {
        let map = ResourceMap::built_in();
        for (name, want) in [
            ("pod", Some("pods")),
            ("pods", Some("pods")),
            ("Pod", Some("pods")),
            ("namespace", Some("namespaces")),
            ("node", Some("nodes")),
            ("job", Some("jobs.batch")),
            ("deployment", Some("deployments.apps")),
            ("deployments.apps", Some("deployments.apps")),
            ("deployment.ap", Some("deployments.apps")),
            ("deployments.extensions", None),
            ("ingress", Some("ingresses.networking.k8s.io")),
            ("ingress.networking", Some("ingresses.networking.k8s.io")),
            ("event", Some("events")),
            ("event.events", Some("events.events.k8s.io")),
            ("endpoint", None),
            ("endpoints", Some("endpoints")),
            ("persistentvolumeclaim", Some("persistentvolumeclaims")),
            ("horizontalpodautoscaler", Some("horizontalpodautoscalers.autoscaling")),
            ("storageclass.storage", Some("storageclasses.storage.k8s.io")),
            ("instance", None),
            ("", None),
        ] {
            assert_eq!(found(&map, name).as_deref(), want, "{name}");
        }
        assert_eq!(map.singular("ingresses"), Some("ingress"));
        assert_eq!(map.singular("gone"), None);
    }

    #[test]
    fn built_in_groups_win_over_others() {
        let map = ResourceMap::new(vec![
            ObjectKind::new("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", true),
            ObjectKind::new("batch.volcano.sh", "v1alpha1", "Job", "jobs", true),
            ObjectKind::new("batch", "v1", "Job", "jobs", true),
            ObjectKind::new("", "v1", "Pod", "pods", true),
        ]);
        assert_eq!(found(&map, "job").as_deref(), Some("jobs.batch"));
        assert_eq!(found(&map, "job.batch").as_deref(), Some("jobs.batch"));
        assert_eq!(found(&map, "job.batch.volcano").as_deref(), Some("jobs.batch.volcano.sh"));
        assert_eq!(found(&map, "pods").as_deref(), Some("pods"));
        assert_eq!(found(&map, "podmetrics").as_deref(), Some("pods.metrics.k8s.io"));
    }
}
