//! [`Cluster`]: a real control plane with pods by the thousand, and the stand-in that knows their metrics.
//!
//! Nobody schedules the pods: they are objects to list, of the size that a rendered chart gives them.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::stand_in::StandIn;
use crate::control_plane::{ControlPlane, Options};

/// How many objects are created at a time.
const AT_ONCE: usize = 32;

/// What the adapters are asked about.
pub struct Cluster {
    /// The control plane.
    pub plane: ControlPlane,
    /// The metrics.
    pub stand_in: StandIn,
    client: Client,
    groups: Vec<Group>,
    /// The port of the engines.
    port: u16,
    /// Gives a pod its address by its number, if pods have any.
    address: Option<fn(usize) -> Ipv4Addr>,
}

/// The pods of one namespace, all with the label `app=<name of the namespace>`.
#[derive(Clone, Debug)]
pub struct Group {
    /// The namespace.
    pub namespace: String,
    /// How many pods.
    pub pods: usize,
}

impl Cluster {
    /// Starts a control plane without any pods.
    pub async fn start() -> Result<Self> {
        let flag = "--disable-admission-plugins=ServiceAccount".to_owned();
        let options = Options { api_server_flags: vec![flag], ..Options::default() };
        let plane = ControlPlane::start(options).await?;
        let client = plane.client().await?;
        let stand_in = StandIn::start()?;
        Ok(Self { plane, stand_in, client, groups: Vec::new(), port: 8000, address: None })
    }

    /// The same, of pods that run at addresses of their own.
    pub async fn start_scraped(port: u16, address: fn(usize) -> Ipv4Addr) -> Result<Self> {
        Ok(Self { port, address: Some(address), ..Self::start().await? })
    }

    /// Returns how many pods there are.
    pub fn pods(&self) -> usize {
        self.groups.iter().map(|group| group.pods).sum()
    }

    /// Returns the namespaces with that many pods each.
    pub fn groups_of(&self, pods: usize) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(move |group| group.pods == pods)
    }

    /// Adds namespaces with that many pods each.
    pub async fn add(&mut self, namespaces: usize, pods: usize) -> Result<()> {
        let (first, before) = (self.groups.len(), self.pods());
        let groups: Vec<Group> = (first..first + namespaces)
            .map(|number| Group { namespace: format!("models-{number}"), pods })
            .collect();
        let api: Api<Namespace> = Api::all(self.client.clone());
        futures::stream::iter(&groups)
            .map(async |group| {
                let namespace = json!({"metadata": {"name": group.namespace}});
                api.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
                anyhow::Ok(())
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
            .context("cannot create namespaces")?;
        let names: Vec<(String, String)> = groups
            .iter()
            .flat_map(|group| {
                let namespace = &group.namespace;
                (0..group.pods)
                    .map(move |pod| (namespace.clone(), format!("{}{pod:05}", pod_prefix(namespace))))
            })
            .collect();
        let (client, port, address) = (&self.client, self.port, self.address);
        futures::stream::iter(names.iter().enumerate())
            .map(async |(number, (namespace, name))| {
                let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
                api.create(&PostParams::default(), &pod(namespace, name, port)?).await?;
                if let Some(address) = address.map(|address| address(before + number)) {
                    let status = json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}});
                    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
                }
                anyhow::Ok(())
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
            .context("cannot create pods")?;
        self.stand_in.add(names);
        self.groups.extend(groups);
        Ok(())
    }
}

/// How the names of all pods of a namespace begin, and nothing else does.
pub fn pod_prefix(namespace: &str) -> String {
    format!("{namespace}-7d9c6b5f48-")
}

/// A pod as an engine's chart renders it.
fn pod(namespace: &str, name: &str, port: u16) -> Result<Pod> {
    let environment: Vec<_> = (0..12)
        .map(|number| json!({"name": format!("ENGINE_SETTING_{number}"), "value": "a value of a usual length"}))
        .collect();
    let probe =
        json!({"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 10, "failureThreshold": 3});
    Ok(serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "labels": {
                "app": namespace, "app.kubernetes.io/name": "engine", "app.kubernetes.io/managed-by": "Helm",
                "pod-template-hash": "7d9c6b5f48", "model": "llama-3.1-70b",
            },
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": port.to_string(), "prometheus.io/path": "/metrics"},
        },
        "spec": {
            "schedulerName": "nobody",
            "containers": [{
                "name": "engine", "image": "registry.example.com/vllm/vllm-openai:v0.11.0", "env": environment,
                "args": ["--model=/models/llama-3.1-70b", "--tensor-parallel-size=4", "--max-model-len=32768"],
                "ports": [{"name": "http", "containerPort": 8000}],
                "readinessProbe": probe, "livenessProbe": probe,
                "resources": {"limits": {"cpu": "16", "memory": "128Gi"}, "requests": {"cpu": "8", "memory": "64Gi"}},
                "volumeMounts": [{"name": "models", "mountPath": "/models"}, {"name": "shm", "mountPath": "/dev/shm"}],
            }],
            "volumes": [{"name": "models", "emptyDir": {}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}],
        },
    }))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_a_pod() {
        let pod = pod("models-0", "models-0-x-1", 8000).unwrap();
        assert_eq!(pod.metadata.labels.unwrap()["app"], "models-0");
    }
}
