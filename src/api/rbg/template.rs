//! [`Template`]: a pod template as far as room is concerned, kept as short text; and the pods of one replica of a role.
//!
//! Groups are cached by the thousand and templates are long, so everything that does not decide where a pod fits is
//! dropped when a group is read. Templates and patches are trimmed alike, then merged when somebody asks.

use k8s_openapi::api::core::v1::PodSpec;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::{Map, Value};

use super::{Role, RoleBasedGroup};

/// Fields of a pod that decide where it fits.
const POD: [&str; 15] = [
    "affinity",
    "containers",
    "hostNetwork",
    "initContainers",
    "nodeName",
    "nodeSelector",
    "overhead",
    "priority",
    "priorityClassName",
    "resourceClaims",
    "resources",
    "schedulingGates",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
];
/// Fields of a container that decide where its pod fits.
const CONTAINER: [&str; 4] = ["name", "ports", "resources", "restartPolicy"];

/// A pod template, or a strategic merge patch of one, without what room does not depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Box<str>);

/// A role's way of naming one of the group's templates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRef {
    /// The template's name.
    #[serde(default)]
    pub name: String,
    /// A strategic merge patch of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Template>,
}

/// A template that roles may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleTemplate {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The template.
    #[serde(default)]
    pub template: Template,
}

/// Why the pods of a role cannot be told from its group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The role says nothing of pods, or of pods without containers.
    #[error("the role has no pod template")]
    None,
    /// A template is named that the group lacks.
    #[error("the group has no template {0}")]
    Unknown(String),
    /// A patch carries a directive.
    #[error("the directive {0} of a patch is not understood")]
    Directive(String),
    /// The result is no pod.
    #[error("the pod template cannot be read: {0}")]
    Invalid(String),
}

impl Default for Template {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What is no template tells nothing of pods, and the rest of its group is still read.
        let Value::Object(mut template) = Value::deserialize(deserializer)? else {
            return Ok(Self::default());
        };
        keep(&mut template, &["spec"]);
        if let Some(Value::Object(spec)) = template.get_mut("spec") {
            trim(spec);
        }
        let text = serde_json::to_string(&template).map_err(D::Error::custom)?;
        Ok(Self(text.into()))
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: Value = serde_json::from_str(&self.0).map_err(S::Error::custom)?;
        value.serialize(serializer)
    }
}

fn trim(spec: &mut Map<String, Value>) {
    keep(spec, &POD);
    quantities(spec.get_mut("overhead"));
    resources(spec);
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            keep(container, &CONTAINER);
            resources(container);
        }
    }
    for volume in items(spec, "volumes") {
        // Only the kind of a volume matters.
        for (_, kind) in volume.iter_mut().filter(|(field, _)| *field != "name" && !field.starts_with('$')) {
            if kind.is_object() {
                *kind = Value::Object(Map::new());
            }
        }
    }
}

fn items<'v>(
    spec: &'v mut Map<String, Value>,
    list: &str,
) -> impl Iterator<Item = &'v mut Map<String, Value>> {
    spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn resources(owner: &mut Map<String, Value>) {
    let Some(Value::Object(resources)) = owner.get_mut("resources") else { return };
    for list in ["requests", "limits"] {
        quantities(resources.get_mut(list));
    }
}

/// Quantities of built-in objects are strings; in a template of a custom object a number stays a number.
fn quantities(quantities: Option<&mut Value>) {
    for quantity in quantities.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        if quantity.is_number() {
            *quantity = Value::String(quantity.to_string());
        }
    }
}

/// Directives stay, so that a patch with one is known to say more than is understood here.
fn keep(object: &mut Map<String, Value>, fields: &[&str]) {
    object.retain(|field, _| field.starts_with('$') || fields.contains(&field.as_str()));
}

impl Template {
    fn value(&self) -> Result<Value, TemplateError> {
        serde_json::from_str(&self.0).map_err(|error| TemplateError::Invalid(error.to_string()))
    }
}

impl RoleBasedGroup {
    /// Returns the pods of one replica of a role, leader first, as (how many, spec), from the role's pattern.
    ///
    /// What controllers and admission add to pods (sidecars, priorities of classes) is not in it.
    pub fn pods_of_replica(&self, role: &Role) -> Result<Vec<(u32, PodSpec)>, TemplateError> {
        let mut pods: Vec<(u32, PodSpec)> = Vec::new();
        let mut add = |count: i32, spec: PodSpec| {
            let Some(count) = u32::try_from(count).ok().filter(|count| *count > 0) else { return };
            match pods.last_mut() {
                Some((number, last)) if *last == spec => *number = number.saturating_add(count),
                _ => pods.push((count, spec)),
            }
        };
        if let Some(pattern) = &role.standalone_pattern {
            add(1, spec(self.resolved(pattern.template.as_ref(), pattern.template_ref.as_ref())?)?);
        } else if let Some(pattern) = &role.leader_worker_pattern {
            let template = self.resolved(pattern.template.as_ref(), pattern.template_ref.as_ref())?;
            let size = pattern.size.unwrap_or(1).max(1);
            add(1, spec(patched(template.clone(), pattern.leader_template_patch.as_ref())?)?);
            if size > 1 {
                add(size - 1, spec(patched(template, pattern.worker_template_patch.as_ref())?)?);
            }
        } else if let Some(pattern) = &role.custom_components_pattern {
            for component in &pattern.components {
                add(component.size.unwrap_or(1), spec(component.template.value()?)?);
            }
        }
        if pods.is_empty() { Err(TemplateError::None) } else { Ok(pods) }
    }

    fn resolved(
        &self,
        template: Option<&Template>,
        reference: Option<&TemplateRef>,
    ) -> Result<Value, TemplateError> {
        let Some(reference) = reference else {
            return template.ok_or(TemplateError::None)?.value();
        };
        let known = self.spec.role_templates.iter().find(|known| known.name == reference.name);
        let known = known.ok_or_else(|| TemplateError::Unknown(reference.name.clone()))?;
        patched(known.template.value()?, reference.patch.as_ref())
    }
}

fn spec(mut template: Value) -> Result<PodSpec, TemplateError> {
    let spec = template.get_mut("spec").map_or(Value::Null, Value::take);
    if spec.is_null() {
        return Err(TemplateError::None);
    }
    let spec: PodSpec =
        serde_json::from_value(spec).map_err(|error| TemplateError::Invalid(error.to_string()))?;
    if spec.containers.is_empty() { Err(TemplateError::None) } else { Ok(spec) }
}

/// Applies a strategic merge patch: objects are merged, lists of keyed objects by key, other lists replaced; null removes.
fn patched(mut template: Value, patch: Option<&Template>) -> Result<Value, TemplateError> {
    if let Some(patch) = patch {
        merge(&mut template, patch.value()?, "")?;
    }
    Ok(template)
}

fn merge(target: &mut Value, patch: Value, name: &str) -> Result<(), TemplateError> {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (field, value) in patch {
                if field.starts_with('$') {
                    return Err(TemplateError::Directive(field));
                }
                if value.is_null() {
                    target.remove(&field);
                } else {
                    merge(target.entry(field.as_str()).or_insert(Value::Null), value, &field)?;
                }
            }
        }
        (Value::Array(target), Value::Array(patch)) if merge_key(name).is_some() => {
            let key = merge_key(name).unwrap_or_default();
            for item in patch {
                match target.iter_mut().find(|known| known.get(key) == item.get(key)) {
                    Some(known) => merge(known, item, "")?,
                    None => target.push(item),
                }
            }
        }
        (target, patch) => *target = patch,
    }
    Ok(())
}

/// What tells the items of a list apart.
///
/// Source: the `patchMergeKey` of Kubernetes' pod types.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "volumes" | "resourceClaims" | "schedulingGates" => Some("name"),
        "ports" => Some("containerPort"),
        "topologySpreadConstraints" => Some("topologyKey"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(role: &Value, templates: &Value) -> RoleBasedGroup {
        serde_json::from_value(json!({
            "apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup", "metadata": {"name": "demo"},
            "spec": {"roles": [role], "roleTemplates": templates}
        }))
        .expect("a group")
    }

    fn engine(gpus: u32) -> Value {
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {"pool": "a", "zone": "z"}, "serviceAccountName": "x",
            "volumes": [{"name": "shm", "emptyDir": {"sizeLimit": 8}}],
            "containers": [{"name": "engine", "image": "i", "args": ["--long"], "resources": {"limits": {"nvidia.com/gpu": gpus}}}]}})
    }

    /// GPUs of each pod, and its node selector.
    fn shape(role: &Value, templates: &Value) -> Result<Vec<(u32, String, String)>, TemplateError> {
        let group = group(role, templates);
        let pods = group.pods_of_replica(&group.spec.roles[0])?;
        let shape = |(count, spec): (u32, PodSpec)| {
            let resources = spec.containers[0].resources.clone().unwrap_or_default();
            let gpus = resources.limits.unwrap_or_default().remove("nvidia.com/gpu").unwrap_or_default().0;
            let selector: Vec<_> = spec.node_selector.unwrap_or_default().into_keys().collect();
            (count, gpus, selector.join(","))
        };
        Ok(pods.into_iter().map(shape).collect())
    }

    #[test]
    fn the_pods_of_one_replica() {
        let pod = |count, gpus: &str, selector: &str| (count, gpus.to_owned(), selector.to_owned());
        let patch = json!({"spec": {"nodeSelector": {"zone": null}, "containers": [{"name": "engine", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}});
        let base = json!([{"name": "base", "template": engine(8)}]);
        for (name, role, templates, want) in [
            (
                "standalone",
                json!({"name": "a", "standalonePattern": {"template": engine(2)}}),
                json!([]),
                Ok(vec![pod(1, "2", "pool,zone")]),
            ),
            (
                "leader and workers alike",
                json!({"name": "a", "leaderWorkerPattern": {"size": 4, "template": engine(8)}}),
                json!([]),
                Ok(vec![pod(4, "8", "pool,zone")]),
            ),
            (
                "the leader is another one",
                json!({"name": "a", "leaderWorkerPattern": {"size": 4, "template": engine(8), "leaderTemplatePatch": patch}}),
                json!([]),
                Ok(vec![pod(1, "1", "pool"), pod(3, "8", "pool,zone")]),
            ),
            (
                "a template of the group, patched",
                json!({"name": "a", "standalonePattern": {"templateRef": {"name": "base", "patch": patch}}}),
                base.clone(),
                Ok(vec![pod(1, "1", "pool")]),
            ),
            (
                "components",
                json!({"name": "a", "customComponentsPattern": {"components": [
                    {"name": "x", "template": engine(1)}, {"name": "y", "size": 3, "template": engine(8)}]}}),
                json!([]),
                Ok(vec![pod(1, "1", "pool,zone"), pod(3, "8", "pool,zone")]),
            ),
            (
                "a template that the group lacks",
                json!({"name": "a", "standalonePattern": {"templateRef": {"name": "other"}}}),
                base,
                Err(TemplateError::Unknown("other".to_owned())),
            ),
            (
                "a directive",
                json!({"name": "a", "leaderWorkerPattern": {"size": 2, "template": engine(8),
                    "workerTemplatePatch": {"spec": {"tolerations": [], "$patch": "replace"}}}}),
                json!([]),
                Err(TemplateError::Directive("$patch".to_owned())),
            ),
            ("no pattern", json!({"name": "a"}), json!([]), Err(TemplateError::None)),
            (
                "no template",
                json!({"name": "a", "standalonePattern": {"template": "x"}}),
                json!([]),
                Err(TemplateError::None),
            ),
            (
                "no containers",
                json!({"name": "a", "standalonePattern": {"template": {"spec": {}}}}),
                json!([]),
                Err(TemplateError::None),
            ),
        ] {
            assert_eq!(shape(&role, &templates), want, "{name}");
        }
    }

    #[test]
    fn what_room_does_not_depend_on_is_dropped() {
        let template: Template = serde_json::from_value(engine(8)).expect("a template");
        let want = r#"{"spec":{"containers":[{"name":"engine","resources":{"limits":{"nvidia.com/gpu":"8"}}}],"nodeSelector":{"pool":"a","zone":"z"},"volumes":[{"emptyDir":{},"name":"shm"}]}}"#;
        assert_eq!(&*template.0, want);
        assert_eq!(serde_json::to_string(&template).expect("JSON"), want);
    }
}
