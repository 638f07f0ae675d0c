//! Fake nodes with fake GPUs, for the real scheduler to fill.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::apply::apply;
use super::eventually::eventually;

/// The label that tells the nodes of one pool from those of others.
pub const POOL_LABEL: &str = "rbga-pool";

/// A number of equal nodes, named `<name>-<i>` and labelled `rbga-pool: <name>`.
///
/// Nodes belong to the whole control plane: tests that share one and count on room give their pods that label as node selector.
#[derive(Debug, Clone)]
pub struct NodePool {
    /// The beginning of the nodes' names.
    pub name: String,
    /// How many nodes.
    pub count: u32,
    /// `nvidia.com/gpu` of each.
    pub gpus: u32,
    /// Cores of each.
    pub cpu: u32,
    /// Memory of each.
    pub memory: String,
    /// Pods that fit on each.
    pub pods: u32,
    /// More labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
}

impl NodePool {
    /// Describes `count` nodes with `gpus` GPUs, 64 cores, 512 GiB and room for 110 pods each.
    pub fn new(name: &str, count: u32, gpus: u32) -> Self {
        Self {
            name: name.to_owned(),
            count,
            gpus,
            cpu: 64,
            memory: "512Gi".to_owned(),
            pods: 110,
            labels: BTreeMap::new(),
            taints: Vec::new(),
        }
    }

    /// Creates the nodes and waits until pods can be scheduled on them. Nodes that exist already stay.
    pub async fn create(&self, client: &Client) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for number in 0..self.count {
            let name = format!("{}-{number}", self.name);
            self.create_one(client, &name).await?;
            names.push(name);
        }
        let nodes: Api<Node> = Api::all(client.clone());
        let of_this_pool = ListParams::default().labels(&format!("{POOL_LABEL}={}", self.name));
        eventually(
            &format!("{} nodes of pool {} are ready", self.count, self.name),
            Duration::from_secs(30),
            async || {
                let listed = nodes.list(&of_this_pool).await?.items;
                match listed.iter().find(|node| !usable(node)) {
                    Some(node) => bail!("node {} is not ready", node.name_any()),
                    None => Ok((listed.len() >= names.len()).then_some(())),
                }
            },
        )
        .await?;
        Ok(names)
    }

    async fn create_one(&self, client: &Client, name: &str) -> Result<()> {
        let mut resources = BTreeMap::from([
            ("cpu", self.cpu.to_string()),
            ("memory", self.memory.clone()),
            ("pods", self.pods.to_string()),
        ]);
        if self.gpus > 0 {
            resources.insert("nvidia.com/gpu", self.gpus.to_string());
        }
        let mut labels = self.labels.clone();
        labels.insert("kubernetes.io/hostname".to_owned(), name.to_owned());
        labels.insert(POOL_LABEL.to_owned(), self.name.clone());
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "spec": {"taints": self.taints},
            "status": {"capacity": resources, "allocatable": resources},
        });
        apply(client, "", node).await?;
        Ok(())
    }

    /// Deletes the nodes.
    pub async fn delete(&self, client: &Client) -> Result<()> {
        let nodes: Api<Node> = Api::all(client.clone());
        let of_this_pool = ListParams::default().labels(&format!("{POOL_LABEL}={}", self.name));
        nodes.delete_collection(&DeleteParams::default(), &of_this_pool).await?;
        Ok(())
    }
}

/// Tells whether a node is Ready and no longer bears the taint that every new node gets.
fn usable(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready =
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    ready && !taints.any(|taint| taint.key.starts_with("node.kubernetes.io/"))
}
