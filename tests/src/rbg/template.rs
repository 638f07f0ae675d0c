//! Pod templates of a role: found, and patched the way strategic merge patches work.

use serde_json::{Map, Value, json};

use super::types::{RoleBasedGroup, TemplateRef};

/// Returns the template that a pattern gives inline or by reference; a pattern without any is an empty template.
///
/// Errors: the reference names no template of the group.
pub fn resolve(
    group: &RoleBasedGroup,
    inline: Option<&Value>,
    reference: Option<&TemplateRef>,
) -> Result<Value, UnknownTemplate> {
    let Some(reference) = reference else {
        return Ok(inline.cloned().unwrap_or_else(|| json!({})));
    };
    let Some(found) = group.spec.role_templates.iter().find(|template| template.name == reference.name)
    else {
        return Err(UnknownTemplate(reference.name.clone()));
    };
    Ok(patched(&found.template, reference.patch.as_ref()))
}

/// A role refers to a template that its group does not have.
#[derive(Debug, thiserror::Error)]
#[error("the group has no template {0:?}")]
pub struct UnknownTemplate(String);

/// Returns a template with a strategic merge patch applied: objects are merged, lists of keyed objects are merged by key,
/// other lists are replaced, and null removes. Directives (`$patch`) are not understood.
pub fn patched(template: &Value, patch: Option<&Value>) -> Value {
    let mut template = template.clone();
    if let Some(patch) = patch {
        merge(&mut template, patch, None);
    }
    template
}

/// Returns a field of a template as an object; whatever else stood there, or in place of the template, is dropped.
pub fn object<'a>(parent: &'a mut Value, field: &str) -> &'a mut Value {
    if !parent.is_object() {
        *parent = json!({});
    }
    if !parent[field].is_object() {
        parent[field] = json!({});
    }
    &mut parent[field]
}

fn merge(target: &mut Value, patch: &Value, key: Option<&str>) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => merge_fields(target, patch),
        (Value::Array(target), Value::Array(patch)) if key.is_some() => {
            for item in patch {
                let same = key.and_then(|key| target.iter_mut().find(|old| old.get(key) == item.get(key)));
                match same {
                    Some(old) => merge(old, item, None),
                    None => target.push(item.clone()),
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

fn merge_fields(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (field, value) in patch {
        match (target.get_mut(field), value) {
            (_, Value::Null) => drop(target.remove(field)),
            (Some(old), value) => merge(old, value, merge_key(field)),
            (None, value) => drop(target.insert(field.clone(), value.clone())),
        }
    }
}

/// The field that tells items of a list apart, for the lists of a pod that have one.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => Some("name"),
        "ports" => Some("containerPort"),
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        "hostAliases" => Some("ip"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_merge_strategically() {
        struct Case {
            name: &'static str,
            template: Value,
            patch: Value,
            want: Value,
        }
        let cases = [
            Case {
                name: "containers by name, keeping the others",
                template: json!({"spec": {"containers": [{"name": "a", "image": "1", "tty": true}, {"name": "b"}]}}),
                patch: json!({"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "c"}]}}),
                want: json!({"spec": {"containers": [
                    {"name": "a", "image": "2", "tty": true}, {"name": "b"}, {"name": "c"},
                ]}}),
            },
            Case {
                name: "lists without a key are replaced",
                template: json!({"args": ["x", "y"], "tolerations": [{"key": "a"}]}),
                patch: json!({"args": ["z"], "tolerations": [{"key": "b"}]}),
                want: json!({"args": ["z"], "tolerations": [{"key": "b"}]}),
            },
            Case {
                name: "null removes",
                template: json!({"nodeSelector": {"a": "b", "c": "d"}}),
                patch: json!({"nodeSelector": {"a": null}}),
                want: json!({"nodeSelector": {"c": "d"}}),
            },
        ];
        for Case { name, template, patch, want } in cases {
            assert_eq!(patched(&template, Some(&patch)), want, "{name}");
            assert_eq!(patched(&template, None), template, "{name}: no patch");
        }
    }

    #[test]
    fn references_are_found_and_patched() {
        let group: RoleBasedGroup = serde_json::from_value(json!({
            "apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup", "metadata": {"name": "demo"},
            "spec": {"roles": [], "roleTemplates": [{"name": "base", "template": {"spec": {"priority": 1}}}]},
        }))
        .unwrap();
        let reference =
            TemplateRef { name: "base".into(), patch: Some(json!({"spec": {"hostNetwork": true}})) };
        let found = resolve(&group, None, Some(&reference)).unwrap();
        assert_eq!(found, json!({"spec": {"priority": 1, "hostNetwork": true}}));
        let missing = TemplateRef { name: "other".into(), patch: None };
        assert_eq!(
            resolve(&group, None, Some(&missing)).unwrap_err().to_string(),
            "the group has no template \"other\""
        );
    }
}
