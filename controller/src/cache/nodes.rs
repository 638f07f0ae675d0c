//! [`NodeIndex`]: the cluster's nodes, trimmed to what decides which pods they take.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeSpec, NodeStatus};
use kube::{ResourceExt, runtime::watcher::Event};

/// The cluster's nodes, by name.
#[derive(Debug, Default)]
pub struct NodeIndex {
    by_name: BTreeMap<String, Node>,
    /// All of them as decisions see them; `None` since one changed.
    shown: Option<Arc<Vec<Node>>>,
    listing: Option<HashSet<String>>,
    complete: bool,
}

impl NodeIndex {
    /// Takes an event in; returns whether there may be more room than before.
    pub fn take(&mut self, event: Event<Node>) -> bool {
        match event {
            Event::Init => self.listing = Some(HashSet::new()),
            Event::InitApply(node) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(node.name_any());
                }
                return self.put(node);
            }
            Event::Apply(node) => return self.put(node),
            Event::Delete(node) => self.remove(&node.name_any()),
            Event::InitDone => {
                self.complete = true;
                let listing = self.listing.take().unwrap_or_default();
                let gone: Vec<_> =
                    self.by_name.keys().filter(|name| !listing.contains(*name)).cloned().collect();
                for name in &gone {
                    self.remove(name);
                }
            }
        }
        false
    }

    /// Heartbeats come often and change nothing that is kept.
    fn put(&mut self, node: Node) -> bool {
        let (name, node) = (node.name_any(), trimmed(node));
        if self.by_name.get(&name) == Some(&node) {
            return false;
        }
        self.by_name.insert(name, node);
        self.shown = None;
        true
    }

    fn remove(&mut self, name: &str) {
        if self.by_name.remove(name).is_some() {
            self.shown = None;
        }
    }

    /// Returns all nodes, by name.
    pub fn all(&mut self) -> Arc<Vec<Node>> {
        let nodes = &self.by_name;
        Arc::clone(self.shown.get_or_insert_with(|| Arc::new(nodes.values().cloned().collect())))
    }

    /// Returns whether a whole list has been seen.
    pub const fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Keeps what decides which pods a node takes.
fn trimmed(node: Node) -> Node {
    let mut kept = Node::default();
    kept.metadata.name = node.metadata.name;
    kept.metadata.labels = node.metadata.labels;
    kept.metadata.deletion_timestamp = node.metadata.deletion_timestamp;
    kept.spec = node.spec.map(|spec| NodeSpec {
        taints: spec.taints,
        unschedulable: spec.unschedulable,
        ..NodeSpec::default()
    });
    kept.status = node.status.map(|status| NodeStatus {
        allocatable: status.allocatable.or(status.capacity),
        conditions: status.conditions.map(|conditions| {
            let ready = conditions.into_iter().filter(|condition| condition.type_ == "Ready");
            let bare = |condition: NodeCondition| NodeCondition {
                type_: condition.type_,
                status: condition.status,
                ..NodeCondition::default()
            };
            ready.map(bare).collect()
        }),
        ..NodeStatus::default()
    });
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, gpus: u32, heartbeat: u32) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"pool": "a"}, "annotations": {"long": "text"}},
            "spec": {"podCIDR": "10.0.0.0/24"},
            "status": {"allocatable": {"nvidia.com/gpu": gpus.to_string()}, "images": [{"names": ["i"]}],
                "conditions": [{"type": "MemoryPressure", "status": "False"},
                    {"type": "Ready", "status": "True", "lastHeartbeatTime": format!("2026-11-21T10:00:0{heartbeat}Z")}]}
        }))
        .expect("a node")
    }

    #[test]
    fn only_what_may_make_room_is_news() {
        let mut index = NodeIndex::default();
        for (name, event, news) in [
            ("listed", Event::InitApply(node("a", 8, 0)), true),
            ("a heartbeat", Event::Apply(node("a", 8, 1)), false),
            ("another GPU", Event::Apply(node("a", 9, 2)), true),
            ("another node", Event::Apply(node("b", 8, 0)), true),
            ("a node went", Event::Delete(node("b", 8, 0)), false),
        ] {
            assert_eq!(index.take(event), news, "{name}");
        }
        assert_eq!(index.all().len(), 1);
        let (first, second) = (index.all(), index.all());
        assert!(Arc::ptr_eq(&first, &second), "shared until something changes");
        index.take(Event::Init);
        index.take(Event::InitApply(node("c", 8, 0)));
        index.take(Event::InitDone);
        assert!(index.is_complete());
        let names: Vec<_> = index.all().iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["c"]);
    }

    #[test]
    fn what_room_does_not_depend_on_is_dropped() {
        insta::assert_json_snapshot!(trimmed(node("a", 8, 0)), @r#"
        {
          "apiVersion": "v1",
          "kind": "Node",
          "metadata": {
            "labels": {
              "pool": "a"
            },
            "name": "a"
          },
          "spec": {},
          "status": {
            "allocatable": {
              "nvidia.com/gpu": "8"
            },
            "conditions": [
              {
                "status": "True",
                "type": "Ready"
              }
            ]
          }
        }
        "#);
    }
}
