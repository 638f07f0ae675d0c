//! The Deployment or StatefulSet that runs a role. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::{
    blueprint::{common_labels, identity, owner_reference},
    labels,
    template::{UnknownTemplate, object, resolve},
    types::{Role, RoleBasedGroup, Workload},
};

/// A workload as it should be.
#[derive(Clone, Debug)]
pub struct WantedWorkload {
    /// Name: `<group>-<role>`.
    pub name: String,
    /// Changes with everything but the number of replicas.
    pub revision: String,
    /// Everything, for server-side apply.
    pub manifest: Value,
}

impl WantedWorkload {
    /// Returns the workload of a role that asks for a Deployment or StatefulSet.
    ///
    /// Errors: the role refers to a template that the group does not have.
    pub fn new(group: &RoleBasedGroup, role: &Role) -> Result<Self, UnknownTemplate> {
        let (group_name, namespace) = identity(group);
        let common = common_labels(group_name, namespace, &role.name);
        let name = labels::workload_name(group_name, &role.name);
        let mut spec =
            json!({"selector": {"matchLabels": common}, "template": template(group, role, &common)?});
        let kind = match role.workload() {
            Workload::StatefulSet => {
                spec["serviceName"] = json!(format!("s-{name}"));
                spec["podManagementPolicy"] = json!("Parallel");
                spec["minReadySeconds"] = json!(role.min_ready_seconds);
                "StatefulSet"
            }
            _ => "Deployment",
        };
        add_strategy(&mut spec, kind, role);
        let revision = labels::revision_hash(&json!([spec, role.labels, role.annotations]).to_string());
        spec["replicas"] = json!(role.replicas);
        let mut manifest = json!({
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {
                "name": name,
                "labels": role.labels,
                "annotations": role.annotations,
                "ownerReferences": [owner_reference(group)],
            },
            "spec": spec,
        });
        for (key, value) in common {
            manifest["metadata"]["labels"][key] = json!(value);
        }
        manifest["metadata"]["labels"][format!("{}{}", labels::ROLE_REVISION_PREFIX, role.name)] =
            json!(revision);
        Ok(Self { name, revision, manifest })
    }
}

/// The pod template with the labels that all pods of the role have.
fn template(
    group: &RoleBasedGroup,
    role: &Role,
    common: &BTreeMap<String, String>,
) -> Result<Value, UnknownTemplate> {
    let mut template = if let Some(pattern) = &role.standalone_pattern {
        resolve(group, pattern.template.as_ref(), pattern.template_ref.as_ref())?
    } else if let Some(pattern) = &role.leader_worker_pattern {
        resolve(group, pattern.template.as_ref(), pattern.template_ref.as_ref())?
    } else {
        json!({})
    };
    for (key, value) in common {
        object(object(&mut template, "metadata"), "labels")[key] = json!(value);
    }
    Ok(template)
}

fn add_strategy(spec: &mut Value, kind: &str, role: &Role) {
    let strategy = role.rollout_strategy.as_ref();
    let Some(update) = strategy.and_then(|strategy| strategy.rolling_update.as_ref()) else {
        return;
    };
    if kind == "StatefulSet" {
        let partition = match &update.partition {
            Some(IntOrString::Int(number)) => *number,
            _ => 0,
        };
        spec["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
    } else {
        let mut parameters = json!({});
        for (name, value) in [("maxSurge", &update.max_surge), ("maxUnavailable", &update.max_unavailable)] {
            if let Some(value) = value {
                parameters[name] = json!(value);
            }
        }
        spec["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": parameters});
    }
}
