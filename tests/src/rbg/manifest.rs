//! Groups as JSON for tests and demo: short to write, and free to carry fields that RBG does not know.

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};
use serde_json::{Map, Value, json};

use super::{labels, types::RoleBasedGroup};
use crate::harness::POOL_LABEL;

/// Returns a group with these roles, ready to be created in any namespace.
///
/// ```
/// use rbg_autoscaler_tests::rbg::manifest::{Role, manifest};
/// let group = manifest("demo", [Role::standalone("prefill", 2), Role::leader_worker("decode", 1, 4).gpus(8)]);
/// assert_eq!(group["spec"]["roles"][1]["leaderWorkerPattern"]["size"], 4);
/// ```
pub fn manifest(name: &str, roles: impl IntoIterator<Item = Role>) -> Value {
    let roles: Vec<Value> = roles.into_iter().map(|role| Value::Object(role.0)).collect();
    json!({
        "apiVersion": "workloads.x-k8s.io/v1alpha2",
        "kind": "RoleBasedGroup",
        "metadata": {"name": name},
        "spec": {"roles": roles},
    })
}

/// Returns an API that shows groups as they are stored, with fields that RBG does not know.
pub fn groups(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<RoleBasedGroup>(&()))
}

/// One role of a group, built step by step.
#[derive(Clone, Debug)]
pub struct Role(Map<String, Value>);

impl Role {
    /// Returns a role whose replicas are one pod each.
    pub fn standalone(name: &str, replicas: u32) -> Self {
        Self::new(name, replicas).field("standalonePattern", json!({"template": template()}))
    }

    /// Returns a role whose replicas are `size` pods each, the first of them the leader.
    pub fn leader_worker(name: &str, replicas: u32, size: u32) -> Self {
        Self::new(name, replicas).field("leaderWorkerPattern", json!({"size": size, "template": template()}))
    }

    fn new(name: &str, replicas: u32) -> Self {
        Self(Map::new()).field("name", json!(name)).field("replicas", json!(replicas))
    }

    /// Sets any field of the role, known to RBG or not.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Takes a field away again.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Gives the role an inline policy, which is unknown to RBG.
    #[must_use]
    pub fn autoscaling(self, policy: Value) -> Self {
        self.field("autoscaling", policy)
    }

    /// Has the role scaled through a scaling adapter.
    #[must_use]
    pub fn scaling_adapter(self) -> Self {
        self.field("scalingAdapter", json!({"enable": true}))
    }

    /// Sets the kind of workload, such as `apps/v1/StatefulSet`.
    #[must_use]
    pub fn workload(self, kind: &str) -> Self {
        self.field("annotations", json!({labels::WORKLOAD_TYPE: kind}))
    }

    /// Sets an annotation of the role's pods.
    #[must_use]
    pub fn pod_annotation(mut self, key: &str, value: &str) -> Self {
        self.template()["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Sets a label of the role's pods.
    #[must_use]
    pub fn pod_label(mut self, key: &str, value: &str) -> Self {
        self.template()["metadata"]["labels"][key] = json!(value);
        self
    }

    /// Sets the image of the role's engine; another image is another revision.
    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        self.container()["image"] = json!(image);
        self
    }

    /// Has the scheduler put the role's pods on the nodes of one pool only.
    #[must_use]
    pub fn on_pool(mut self, pool: &str) -> Self {
        self.template()["spec"]["nodeSelector"][POOL_LABEL] = json!(pool);
        self
    }

    /// Sets any field of the spec of the role's pods.
    #[must_use]
    pub fn pod_spec(mut self, field: &str, value: Value) -> Self {
        self.template()["spec"][field] = value;
        self
    }

    /// Has each pod ask for that many GPUs.
    #[must_use]
    pub fn gpus(mut self, count: u32) -> Self {
        self.container()["resources"]["limits"]["nvidia.com/gpu"] = json!(count.to_string());
        self
    }

    /// Has each pod ask for that much of a resource, such as `cpu`.
    #[must_use]
    pub fn request(mut self, resource: &str, quantity: &str) -> Self {
        self.container()["resources"]["requests"][resource] = json!(quantity);
        self
    }

    fn template(&mut self) -> &mut Value {
        let pattern = if self.0.contains_key("standalonePattern") {
            "standalonePattern"
        } else {
            "leaderWorkerPattern"
        };
        &mut self.0[pattern]["template"]
    }

    fn container(&mut self) -> &mut Value {
        &mut self.template()["spec"]["containers"][0]
    }
}

/// A pod that tolerates every taint of simulated nodes and ends at once.
fn template() -> Value {
    json!({
        "metadata": {"labels": {}, "annotations": {}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "engine", "image": "engine:1", "ports": [{"name": "http", "containerPort": 8000}]}],
        },
    })
}
