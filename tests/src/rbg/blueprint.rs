//! The pods that one replica of a role consists of: names, labels and what is added to the templates.
//!
//! Pure. Roles run by a RoleInstanceSet or a LeaderWorkerSet have one; the pods of a Deployment or StatefulSet come from
//! kube-controller-manager.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    labels, pod_group,
    template::{UnknownTemplate, object, patched, resolve},
    types::{
        CustomComponent, CustomComponentsPattern, LeaderWorkerPattern, RestartPolicyConfig, Role,
        RoleBasedGroup, StandalonePattern, Workload,
    },
};

/// What all replicas of a role are made from.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// Changes with the templates and with the number of pods per replica, not with the number of replicas.
    pub revision: String,
    /// Whether one failed pod takes the whole replica with it.
    pub recreate_whole: bool,
    workload: String,
    naming: Naming,
    components: Vec<Component>,
    common: BTreeMap<String, String>,
    owner: Value,
}

/// How pods are named and numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    Standalone,
    LeaderWorker,
    LeaderWorkerSet,
    Components,
}

#[derive(Clone, Debug)]
struct Component {
    name: String,
    count: u32,
    /// What the label for the size says: of a leader-worker role all pods of the replica.
    size: u32,
    template: Value,
}

/// One pod as it should be created.
#[derive(Clone, Debug)]
pub struct WantedPod {
    /// Name.
    pub name: String,
    /// Everything, for kube-apiserver.
    pub manifest: Value,
}

impl Blueprint {
    /// Returns the blueprint of a role, or `None` when the role says nothing about pods.
    ///
    /// Errors: the role refers to a template that the group does not have.
    pub fn new(group: &RoleBasedGroup, role: &Role) -> Result<Option<Self>, UnknownTemplate> {
        let set = role.workload() == Workload::LeaderWorkerSet;
        let (naming, components, restart) = if let Some(pattern) = &role.standalone_pattern {
            (
                if set { Naming::LeaderWorkerSet } else { Naming::Standalone },
                standalone(group, role, pattern)?,
                None,
            )
        } else if let Some(pattern) = &role.leader_worker_pattern {
            let naming = if set { Naming::LeaderWorkerSet } else { Naming::LeaderWorker };
            let restart =
                restart_policy(pattern.restart_policy_config.as_ref(), pattern.restart_policy.as_deref());
            (naming, leader_worker(group, pattern)?, restart)
        } else if let Some(pattern) = &role.custom_components_pattern {
            let restart =
                restart_policy(pattern.restart_policy_config.as_ref(), pattern.restart_policy.as_deref());
            (Naming::Components, custom(pattern), restart)
        } else {
            return Ok(None);
        };
        let (name, namespace) = identity(group);
        let mut common = common_labels(name, namespace, &role.name);
        if pod_group::is_wanted(group) {
            common.insert(labels::OLD_POD_GROUP.to_owned(), name.to_owned());
        }
        let described: Vec<Value> =
            components.iter().map(|part| json!([part.name, part.count, part.size, part.template])).collect();
        Ok(Some(Self {
            revision: labels::revision_hash(&Value::from(described).to_string()),
            recreate_whole: naming != Naming::Standalone && restart != Some("None"),
            workload: labels::workload_name(name, &role.name),
            naming,
            components,
            common,
            owner: owner_reference(group),
        }))
    }

    /// Returns the pods of the replica with this ordinal, leader first.
    pub fn pods(&self, ordinal: u32) -> Vec<WantedPod> {
        let mut pods = Vec::new();
        for component in &self.components {
            for id in 0..component.count {
                pods.push(self.pod(ordinal, component, id, pods.len()));
            }
        }
        pods
    }

    fn pod(&self, ordinal: u32, component: &Component, id: u32, index: usize) -> WantedPod {
        let instance = format!("{}-{ordinal}", self.workload);
        let name = match self.naming {
            Naming::Standalone => instance.clone(),
            Naming::LeaderWorkerSet if index == 0 => instance.clone(),
            Naming::LeaderWorker | Naming::LeaderWorkerSet => format!("{instance}-{index}"),
            Naming::Components => format!("{instance}-{}-{id}", component.name),
        };
        let mut manifest = component.template.clone();
        let metadata = object(&mut manifest, "metadata");
        metadata["name"] = json!(name);
        metadata["ownerReferences"] = json!([self.owner]);
        let mut set = self.common.clone();
        let mut label = |key: &str, value: String| drop(set.insert(key.to_owned(), value));
        if self.naming == Naming::LeaderWorkerSet {
            label(labels::LWS_NAME, self.workload.clone());
            label(labels::LWS_GROUP_INDEX, ordinal.to_string());
            label(labels::LWS_WORKER_INDEX, index.to_string());
            label(labels::LWS_REVISION, self.revision.clone());
            object(metadata, "annotations")[labels::LWS_SIZE] = json!(component.size.to_string());
        } else {
            label(labels::POD_NAME, instance.clone());
            label(labels::ROLE_INSTANCE_NAME, instance);
            label(labels::ROLE_INSTANCE_INDEX, ordinal.to_string());
            label(labels::COMPONENT_NAME, component.name.clone());
            label(labels::COMPONENT_ID, id.to_string());
            label(labels::COMPONENT_SIZE, component.size.to_string());
            label(labels::REVISION, self.revision.clone());
            if self.naming == Naming::LeaderWorker {
                label(labels::COMPONENT_INDEX, index.to_string());
            }
        }
        for (key, value) in set {
            object(metadata, "labels")[key] = json!(value);
        }
        if self.naming != Naming::LeaderWorkerSet {
            add_readiness_gates(&mut object(&mut manifest, "spec")["readinessGates"]);
        }
        manifest["apiVersion"] = json!("v1");
        manifest["kind"] = json!("Pod");
        WantedPod { name, manifest }
    }
}

fn standalone(
    group: &RoleBasedGroup,
    role: &Role,
    pattern: &StandalonePattern,
) -> Result<Vec<Component>, UnknownTemplate> {
    let template = resolve(group, pattern.template.as_ref(), pattern.template_ref.as_ref())?;
    Ok(vec![Component { name: role.name.clone(), count: 1, size: 1, template }])
}

fn leader_worker(
    group: &RoleBasedGroup,
    pattern: &LeaderWorkerPattern,
) -> Result<Vec<Component>, UnknownTemplate> {
    let size = pattern.size.unwrap_or(1).max(1);
    let template = resolve(group, pattern.template.as_ref(), pattern.template_ref.as_ref())?;
    let part = |name: &str, count: u32, patch: Option<&Value>| Component {
        name: name.to_owned(),
        count,
        size,
        template: patched(&template, patch),
    };
    Ok(vec![
        part("leader", 1, pattern.leader_template_patch.as_ref()),
        part("worker", size - 1, pattern.worker_template_patch.as_ref()),
    ])
}

fn custom(pattern: &CustomComponentsPattern) -> Vec<Component> {
    let part = |component: &CustomComponent| {
        let size = component.size.unwrap_or(1);
        let more = json!({"metadata": {"labels": component.labels, "annotations": component.annotations}});
        Component {
            name: component.name.clone(),
            count: size,
            size,
            template: patched(&component.template, Some(&more)),
        }
    };
    pattern.components.iter().map(part).collect()
}

fn restart_policy<'a>(config: Option<&'a RestartPolicyConfig>, older: Option<&'a str>) -> Option<&'a str> {
    config.and_then(|config| config.kind.as_deref()).or(older)
}

fn add_readiness_gates(gates: &mut Value) {
    let mut all = gates.as_array().cloned().unwrap_or_default();
    for gate in labels::READINESS_GATES {
        if !all.iter().any(|old| old["conditionType"] == gate) {
            all.push(json!({"conditionType": gate}));
        }
    }
    *gates = json!(all);
}

/// Returns name and namespace of a group.
pub fn identity(group: &RoleBasedGroup) -> (&str, &str) {
    let metadata = &group.metadata;
    (metadata.name.as_deref().unwrap_or_default(), metadata.namespace.as_deref().unwrap_or_default())
}

/// Returns the labels that every pod and workload of a role has.
pub fn common_labels(group: &str, namespace: &str, role: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::GROUP_NAME.to_owned(), group.to_owned()),
        (labels::GROUP_UID.to_owned(), labels::group_hash(namespace, group)),
        (labels::ROLE_NAME.to_owned(), role.to_owned()),
    ])
}

/// Returns the reference by which what is made for a group goes away with it.
pub fn owner_reference(group: &RoleBasedGroup) -> Value {
    json!({
        "apiVersion": "workloads.x-k8s.io/v1alpha2",
        "kind": "RoleBasedGroup",
        "name": group.metadata.name,
        "uid": group.metadata.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbg::manifest::{self, manifest};

    fn group(role: manifest::Role) -> RoleBasedGroup {
        let mut group: RoleBasedGroup = serde_json::from_value(manifest("demo", [role])).unwrap();
        group.metadata.namespace = Some("default".into());
        group
    }

    fn blueprint(role: manifest::Role) -> Blueprint {
        let group = group(role);
        Blueprint::new(&group, &group.spec.roles[0]).unwrap().unwrap()
    }

    fn label(pod: &WantedPod, key: &str) -> Option<String> {
        Some(pod.manifest["metadata"]["labels"][key].as_str()?.to_owned())
    }

    struct Case {
        name: &'static str,
        role: manifest::Role,
        /// Name, component, id, index, size.
        want: Vec<(&'static str, &'static str, &'static str, Option<&'static str>, &'static str)>,
    }

    #[test]
    fn pods_are_named_and_numbered_like_upstream() {
        let components = json!({"components": [
            {"name": "router", "template": {"metadata": {"labels": {"a": "b"}}}, "labels": {"a": "c"}},
            {"name": "engine", "size": 2, "template": {}},
        ]});
        let custom = manifest::Role::standalone("decode", 1)
            .field("standalonePattern", Value::Null)
            .field("customComponentsPattern", components);
        let cases = [
            Case {
                name: "standalone",
                role: manifest::Role::standalone("decode", 1),
                want: vec![("demo-decode-7", "decode", "0", None, "1")],
            },
            Case {
                name: "leader-worker",
                role: manifest::Role::leader_worker("decode", 1, 3),
                want: vec![
                    ("demo-decode-7-0", "leader", "0", Some("0"), "3"),
                    ("demo-decode-7-1", "worker", "0", Some("1"), "3"),
                    ("demo-decode-7-2", "worker", "1", Some("2"), "3"),
                ],
            },
            Case {
                name: "custom components",
                role: custom,
                want: vec![
                    ("demo-decode-7-router-0", "router", "0", None, "1"),
                    ("demo-decode-7-engine-0", "engine", "0", None, "2"),
                    ("demo-decode-7-engine-1", "engine", "1", None, "2"),
                ],
            },
        ];
        for Case { name, role, want } in cases {
            let pods = blueprint(role).pods(7);
            let got: Vec<_> = pods
                .iter()
                .map(|pod| {
                    assert_eq!(
                        label(pod, labels::ROLE_INSTANCE_NAME).as_deref(),
                        Some("demo-decode-7"),
                        "{name}"
                    );
                    assert_eq!(label(pod, labels::ROLE_INSTANCE_INDEX).as_deref(), Some("7"), "{name}");
                    assert_eq!(pod.manifest["spec"]["readinessGates"].as_array().unwrap().len(), 2, "{name}");
                    let own = [labels::COMPONENT_NAME, labels::COMPONENT_ID, labels::COMPONENT_INDEX];
                    let [component, id, index] = own.map(|key| label(pod, key));
                    (
                        pod.name.clone(),
                        component.unwrap(),
                        id.unwrap(),
                        index,
                        label(pod, labels::COMPONENT_SIZE),
                    )
                })
                .collect();
            let want: Vec<_> = want
                .into_iter()
                .map(|(pod, component, id, index, size)| {
                    (pod.into(), component.into(), id.into(), index.map(Into::into), Some(size.into()))
                })
                .collect();
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn a_leader_worker_set_has_its_own_names_and_labels() {
        let kind = "leaderworkerset.x-k8s.io/v1/LeaderWorkerSet";
        let pods = blueprint(manifest::Role::leader_worker("decode", 1, 2).workload(kind)).pods(0);
        let got: Vec<_> = pods
            .iter()
            .map(|pod| {
                let own = [
                    labels::LWS_NAME,
                    labels::LWS_GROUP_INDEX,
                    labels::LWS_WORKER_INDEX,
                    labels::ROLE_INSTANCE_NAME,
                ];
                (pod.name.as_str(), own.map(|key| label(pod, key)))
            })
            .collect();
        let set = Some("demo-decode".to_owned());
        let [zero, one] = ["0", "1"].map(|index| Some(index.to_owned()));
        assert_eq!(
            got,
            [
                ("demo-decode-0", [set.clone(), zero.clone(), zero.clone(), None]),
                ("demo-decode-0-1", [set, zero, one, None]),
            ]
        );
    }

    #[test]
    fn the_revision_follows_the_template_and_nothing_else() {
        let role = || manifest::Role::leader_worker("decode", 1, 2);
        let revision = |role: manifest::Role| blueprint(role).revision;
        assert_eq!(revision(role()), revision(role().field("replicas", json!(9)).scaling_adapter()));
        assert_ne!(revision(role()), revision(role().image("engine:2")), "another image");
        assert_ne!(revision(role()), revision(manifest::Role::leader_worker("decode", 1, 3)), "another size");
        let patch = json!({"size": 2, "leaderTemplatePatch": {"spec": {"priority": 1}}});
        assert_ne!(revision(role()), revision(role().field("leaderWorkerPattern", patch)), "a leader patch");
    }

    #[test]
    fn odd_templates_do_no_harm() {
        let role = |template: Value| {
            manifest::Role::standalone("a", 1).field("standalonePattern", json!({"template": template}))
        };
        for template in
            [json!({}), json!({"metadata": 1, "spec": []}), json!({"metadata": {"labels": "x"}}), json!("x")]
        {
            assert_eq!(blueprint(role(template)).pods(0)[0].name, "demo-a-0");
        }
        let group = group(manifest::Role::standalone("a", 1).field("standalonePattern", Value::Null));
        assert!(Blueprint::new(&group, &group.spec.roles[0]).unwrap().is_none(), "no pattern, no pods");
    }
}
