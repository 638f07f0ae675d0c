//! A namespace of its own with a stand-in of its own, and how a test looks at it.

use std::{
    fmt::Debug,
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::{Method, Request};
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Pod};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    client::{Body, ClientBuilder},
    config::{KubeConfigOptions, Kubeconfig},
};
use rbg_autoscaler_tests::control_plane::{ControlPlane, Options, SharedControlPlane, shared};
use rbg_autoscaler_tests::harness::{self, Namespace, NodePool};
use rbg_autoscaler_tests::rbg::{
    RoleBasedGroup, RoleBasedGroupScalingAdapter, StandIn, groups, install_crds, labels, types::RoleStatus,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::util::MapRequestLayer;

pub struct World {
    // Fields drop in this order.
    stand_in: StandIn,
    pub namespace: Namespace,
    pub client: Client,
    pub plane: Plane,
}

/// The control plane of a world.
pub enum Plane {
    Shared(SharedControlPlane),
    Own(Box<ControlPlane>),
}

impl Deref for Plane {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        match self {
            Self::Shared(plane) => plane,
            Self::Own(plane) => plane,
        }
    }
}

impl World {
    /// Makes a namespace on the control plane that all tests here share.
    pub async fn new(name: &str) -> Self {
        Self::on(Plane::Shared(shared().await), name).await
    }

    /// Makes a control plane to be ill-treated, and a namespace on it.
    pub async fn alone(name: &str) -> Self {
        let plane = ControlPlane::start(Options::default()).await.unwrap();
        Self::on(Plane::Own(Box::new(plane)), name).await
    }

    async fn on(plane: Plane, name: &str) -> Self {
        let namespace = Namespace::create(&plane, name).await.unwrap();
        let client = namespace.client();
        install_crds(&client).await.unwrap();
        NodePool::new("room", 2, 0).create(&client).await.unwrap();
        let stand_in = StandIn::start_in(client.clone(), namespace.name());
        Self { stand_in, namespace, client, plane }
    }

    /// Ends the stand-in and starts another, which looks at every group; returns what it writes from now on.
    pub async fn restart_stand_in(&mut self) -> Writes {
        let writes = Writes::default();
        let client = writes.recorded(&self.plane.kubeconfig()).await;
        let new = StandIn::start_in(client, self.namespace.name());
        std::mem::replace(&mut self.stand_in, new).stop().await;
        writes
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.namespace.api()
    }

    /// Groups as they are stored.
    pub fn groups(&self) -> Api<DynamicObject> {
        groups(&self.client, self.namespace.name())
    }

    pub async fn create(&self, manifest: &Value) {
        let group: DynamicObject = serde_json::from_value(manifest.clone()).unwrap();
        self.groups().create(&PostParams::default(), &group).await.unwrap();
    }

    /// Changes a group by a JSON patch, as the controller does without a scaling adapter.
    pub async fn patch(&self, group: &str, operations: Value) {
        let patch = Patch::Json::<()>(serde_json::from_value(operations).unwrap());
        self.groups().patch(group, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Sets the count of the role at an index, if it has the one expected.
    pub async fn scale(&self, group: &str, index: usize, from: u32, to: u32) {
        let path = format!("/spec/roles/{index}/replicas");
        let test = json!({"op": "test", "path": path, "value": from});
        self.patch(group, json!([test, {"op": "replace", "path": path, "value": to}])).await;
    }

    /// A group's role as it is stored.
    pub async fn role(&self, group: &str, index: usize) -> Value {
        let group = serde_json::to_value(self.groups().get(group).await.unwrap()).unwrap();
        group["spec"]["roles"][index].clone()
    }

    /// Pods of a role that are not going away, by name.
    pub async fn pods(&self, role: &str) -> Vec<Pod> {
        let selected = ListParams::default().labels(&format!("{}={role}", labels::ROLE_NAME));
        let mut pods = self.api::<Pod>().list(&selected).await.unwrap().items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(ResourceExt::name_any);
        pods
    }

    pub async fn pod_names(&self, role: &str) -> Vec<String> {
        self.pods(role).await.iter().map(ResourceExt::name_any).collect()
    }

    /// Waits until the pods of a role have exactly these names.
    pub async fn has_pods(&self, role: &str, want: &[&str]) {
        eventually(&format!("pods of {role} are {want:?}"), async || {
            let names = self.pod_names(role).await;
            if names == want { Ok(()) } else { Err(names) }
        })
        .await;
    }

    /// Waits until a group says of a role: replicas, ready, updated.
    pub async fn has_status(&self, group: &str, role: &str, want: [u32; 3]) {
        eventually(&format!("status of {role} is {want:?}"), async || {
            let found = self.get::<RoleBasedGroup>(group).await.status.unwrap_or_default();
            let status = found.role_statuses.into_iter().find(|status| status.name == role);
            let RoleStatus { replicas, ready_replicas, updated_replicas, .. } = status.unwrap_or_default();
            let got = [replicas, ready_replicas, updated_replicas];
            if got == want { Ok(()) } else { Err(got) }
        })
        .await;
    }

    /// Waits until a scaling adapter is bound and has handed its count on to the role.
    pub async fn bound(&self, adapter: &str, count: i32) -> RoleBasedGroupScalingAdapter {
        eventually(&format!("{adapter} is bound with {count}"), async || {
            let found = self.api::<RoleBasedGroupScalingAdapter>().get_opt(adapter).await.unwrap();
            let status = found.as_ref().and_then(|found| found.status.clone()).unwrap_or_default();
            match found {
                Some(found) if status.phase.is_some() && status.replicas == Some(count) => Ok(found),
                other => Err(other),
            }
        })
        .await
    }

    pub async fn get<K>(&self, name: &str) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        self.api::<K>().get(name).await.unwrap()
    }
}

/// Awaits a condition for 30 seconds; panics with what was awaited and what was last seen.
pub async fn eventually<T, S: Debug>(what: &str, condition: impl AsyncFn() -> Result<T, S>) -> T {
    let attempt = async || match condition().await {
        Ok(value) => Ok(Some(value)),
        Err(seen) => anyhow::bail!("{seen:?}"),
    };
    harness::eventually(what, Duration::from_secs(30), attempt).await.unwrap()
}

/// The requests of a client that change something.
#[derive(Clone, Default)]
pub struct Writes(Arc<Mutex<Vec<String>>>);

impl Writes {
    /// Returns them as method and path, oldest first.
    pub fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn recorded(&self, kubeconfig: &Path) -> Client {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let writes = self.clone();
        let record = MapRequestLayer::new(move |request: Request<Body>| {
            if request.method() != Method::GET {
                writes.0.lock().unwrap().push(format!("{} {}", request.method(), request.uri().path()));
            }
            request
        });
        ClientBuilder::try_from(config).unwrap().with_layer(&record).build()
    }
}
