//! [`Endpoint`]: a pod as the fleet sees it, and [`Target`]: a choice of pods.

use std::{collections::BTreeMap, net::Ipv4Addr};

use k8s_openapi::api::core::v1::Pod;

use super::{exposition::Dialect, model::Model};
use crate::rbg::labels;

/// Annotation that makes a pod a model server, `vllm` or `sglang`, or the gateway of its group: `gie-epp`.
pub const ENGINE_ANNOTATION: &str = "fleet.rbg-autoscaler.dev/engine";
/// Annotation that names its model: `70b-tp4` or `8b` (the default).
pub const MODEL_ANNOTATION: &str = "fleet.rbg-autoscaler.dev/model";

/// Annotation that says how many replicas, by ordinal, only serve together: a gang. One by default.
pub const GANG_ANNOTATION: &str = "fleet.rbg-autoscaler.dev/gang";

/// A pod that is a model server, or part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: names are used again.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its address, once it has one.
    pub address: Option<Ipv4Addr>,
    /// Whether a node was found for it: from then on it holds its GPUs.
    pub bound: bool,
    /// Whether it is Ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Number of pods its replica must have, as far as the pod tells.
    pub replica_size: usize,
    /// Number of replicas that only serve together.
    pub gang: usize,
    /// Which engine's metrics it shows.
    pub dialect: Dialect,
    /// What it can do.
    pub model: Model,
}

impl Endpoint {
    /// Returns what the fleet needs of a pod; `None` for a pod without the engine annotation or with unknown values.
    pub fn from_pod(pod: &Pod) -> Option<Self> {
        let annotations = pod.metadata.annotations.as_ref()?;
        let dialect = Dialect::named(annotations.get(ENGINE_ANNOTATION)?)?;
        let model = match annotations.get(MODEL_ANNOTATION) {
            Some(name) => Model::named(name)?,
            None => Model::LLAMA_8B,
        };
        let status = pod.status.as_ref();
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let size = labels.get(labels::COMPONENT_SIZE).or_else(|| annotations.get(labels::LWS_SIZE));
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        Some(Self {
            namespace: pod.metadata.namespace.clone()?,
            name: pod.metadata.name.clone()?,
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            gang: annotations.get(GANG_ANNOTATION).and_then(|gang| gang.parse().ok()).unwrap_or(1).max(1),
            replica_size: size.and_then(|size| size.parse().ok()).unwrap_or(1),
            labels,
            address: status
                .and_then(|status| status.pod_ip.as_ref())
                .and_then(|address| address.parse().ok()),
            bound: pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()),
            ready: conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            dialect,
            model,
        })
    }

    /// Reports whether it answers for its replica: not a worker of a leader-worker role.
    pub fn leads(&self) -> bool {
        let indices = [labels::COMPONENT_INDEX, labels::LWS_WORKER_INDEX];
        indices.iter().all(|label| self.labels.get(*label).is_none_or(|index| index == "0"))
    }

    /// Returns the namespace, group, role and number of its gang; none when its replica serves by itself.
    pub fn gang(&self) -> Option<(&str, &str, &str, usize)> {
        let label = |name| self.labels.get(name).map_or("", String::as_str);
        let ordinal: usize = label(labels::ROLE_INSTANCE_INDEX).parse().ok().filter(|_| self.gang > 1)?;
        Some((&self.namespace, label(labels::GROUP_NAME), label(labels::ROLE_NAME), ordinal / self.gang))
    }

    /// Returns a name for the replica it is part of, unique within the cluster.
    pub fn replica(&self) -> (&str, &str, &str) {
        let label = |name| self.labels.get(name).map(String::as_str);
        let own = label(labels::ROLE_INSTANCE_NAME);
        let (set, replica) = match (own, label(labels::LWS_NAME), label(labels::LWS_GROUP_INDEX)) {
            (Some(replica), ..) => (label(labels::GROUP_NAME).unwrap_or_default(), replica),
            (None, Some(set), Some(replica)) => (set, replica),
            _ => ("", self.name.as_str()),
        };
        (&self.namespace, set, replica)
    }
}

/// A choice of pods within a namespace: by name, by labels or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    namespace: String,
    name: Option<String>,
    labels: BTreeMap<String, String>,
}

impl Target {
    /// Chooses one pod.
    pub fn pod(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: Some(name.to_owned()), labels: BTreeMap::new() }
    }

    /// Chooses the pods of a role of a group.
    pub fn role(namespace: &str, group: &str, role: &str) -> Self {
        Self::labels(namespace, &[(labels::GROUP_NAME, group), (labels::ROLE_NAME, role)])
    }

    /// Chooses the pods that carry all these labels; all of the namespace's pods when there are none.
    pub fn labels(namespace: &str, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { namespace: namespace.to_owned(), name: None, labels }
    }

    /// Reports whether its pods stand behind that gateway: those of the gateway's group, or of none in particular.
    pub fn is_behind(&self, gateway: &Endpoint) -> bool {
        let group = self.labels.get(labels::GROUP_NAME);
        self.namespace == gateway.namespace
            && group.is_none_or(|group| gateway.labels.get(labels::GROUP_NAME) == Some(group))
    }

    /// Reports whether it chooses that pod.
    pub fn matches(&self, endpoint: &Endpoint) -> bool {
        self.namespace == endpoint.namespace
            && self.name.as_ref().is_none_or(|name| *name == endpoint.name)
            && self.labels.iter().all(|(name, value)| endpoint.labels.get(name) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(labels: &serde_json::Value, engine: &str) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "n", "name": "p", "uid": "u", "labels": labels,
                "annotations": {ENGINE_ANNOTATION: engine, MODEL_ANNOTATION: "70b-tp4"}},
            "spec": {"nodeName": "node", "containers": []},
            "status": {"podIP": "127.1.2.3", "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .expect("a pod")
    }

    #[test]
    fn reads_a_pod() {
        let endpoint = Endpoint::from_pod(&pod(&serde_json::json!({}), "vllm")).expect("a model server");
        assert_eq!(endpoint.address, Some(Ipv4Addr::new(127, 1, 2, 3)));
        assert_eq!(endpoint.model, Model::LLAMA_70B_TP4);
        assert!(endpoint.ready && endpoint.bound && endpoint.leads() && !endpoint.terminating);
        assert_eq!(endpoint.replica(), ("n", "", "p"));
        assert_eq!(Endpoint::from_pod(&pod(&serde_json::json!({}), "other")), None);
        assert_eq!(Endpoint::from_pod(&Pod::default()), None);
    }

    #[test]
    fn knows_leaders_and_replicas() {
        struct Case {
            name: &'static str,
            labels: serde_json::Value,
            leads: bool,
            replica: (&'static str, &'static str, &'static str),
            size: usize,
        }
        for case in [
            Case {
                name: "leader of a leader-worker role",
                labels: serde_json::json!({labels::GROUP_NAME: "g", labels::ROLE_INSTANCE_NAME: "g-decode-0", labels::COMPONENT_INDEX: "0", labels::COMPONENT_SIZE: "4"}),
                leads: true,
                replica: ("n", "g", "g-decode-0"),
                size: 4,
            },
            Case {
                name: "worker of a leader-worker role",
                labels: serde_json::json!({labels::GROUP_NAME: "g", labels::ROLE_INSTANCE_NAME: "g-decode-0", labels::COMPONENT_INDEX: "3", labels::COMPONENT_SIZE: "4"}),
                leads: false,
                replica: ("n", "g", "g-decode-0"),
                size: 4,
            },
            Case {
                name: "worker of a LeaderWorkerSet",
                labels: serde_json::json!({labels::LWS_NAME: "g-decode", labels::LWS_GROUP_INDEX: "2", labels::LWS_WORKER_INDEX: "1"}),
                leads: false,
                replica: ("n", "g-decode", "2"),
                size: 1,
            },
        ] {
            let endpoint = Endpoint::from_pod(&pod(&case.labels, "sglang")).expect(case.name);
            assert_eq!(endpoint.leads(), case.leads, "{}", case.name);
            assert_eq!(endpoint.replica(), case.replica, "{}", case.name);
            assert_eq!(endpoint.replica_size, case.size, "{}", case.name);
        }
    }

    #[test]
    fn targets_choose_by_name_or_labels() {
        let endpoint = Endpoint::from_pod(&pod(
            &serde_json::json!({labels::GROUP_NAME: "g", labels::ROLE_NAME: "decode"}),
            "vllm",
        ))
        .expect("a pod");
        assert!(Target::pod("n", "p").matches(&endpoint));
        assert!(Target::role("n", "g", "decode").matches(&endpoint));
        assert!(Target::labels("n", &[]).matches(&endpoint));
        assert!(!Target::pod("n", "q").matches(&endpoint));
        assert!(!Target::role("n", "g", "prefill").matches(&endpoint));
        assert!(!Target::pod("m", "p").matches(&endpoint));
    }
}
