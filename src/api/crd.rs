//! The CustomResourceDefinition of RoleBasedGroupAutoscaler, made from the Rust types.
//!
//! The types give the fields; [`bounds`] adds sizes, patterns and list types, [`rules`] what has to hold between
//! fields. So the API server answers a wrong policy at once, with the fix in its message.

mod bounds;
mod rules;
mod schema;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::autoscaler::RoleBasedGroupAutoscaler;

/// Why no CustomResourceDefinition could be made: types and tables no longer agree.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// A table names a field that the types lack.
    #[error("the schema has no field {0}")]
    NoField(String),
    /// A table holds something that is no JSON.
    #[error("the bounds of {0} are no JSON")]
    Bounds(String, #[source] serde_json::Error),
    /// The whole is no CustomResourceDefinition.
    #[error("the result is no CustomResourceDefinition")]
    Shape(#[source] serde_json::Error),
    /// The whole cannot be written as YAML.
    #[error("the result cannot be written as YAML")]
    Yaml(#[source] serde_saphyr::ser::Error),
}

/// Returns the CustomResourceDefinition.
pub fn crd() -> Result<CustomResourceDefinition, CrdError> {
    let mut crd = serde_json::to_value(RoleBasedGroupAutoscaler::crd()).map_err(CrdError::Shape)?;
    let version = &mut crd["spec"]["versions"][0];
    version["additionalPrinterColumns"] = printer_columns();
    let schema = &mut version["schema"]["openAPIV3Schema"];
    schema["description"] = json!("Scales the roles of one RoleBasedGroup by policy.");
    schema::make_structural(schema);
    schema::strip_verbatim_descriptions(schema)?;
    bounds::add(schema)?;
    rules::add(schema)?;
    serde_json::from_value(crd).map_err(CrdError::Shape)
}

/// Returns the CustomResourceDefinition as the YAML file that is installed.
pub fn yaml() -> Result<String, CrdError> {
    let value = serde_json::to_value(crd()?).map_err(CrdError::Shape)?;
    let text = serde_saphyr::to_string(&value).map_err(CrdError::Yaml)?;
    Ok(format!("# Made by `kubectl-rbga crds` from the Rust types; edit those instead.\n{text}"))
}

fn printer_columns() -> Value {
    let column = |name: &str, path: &str| json!({"name": name, "type": "string", "jsonPath": path});
    json!([
        column("Group", ".spec.groupRef.name"),
        column("Mode", ".spec.mode"),
        column("Ready", ".status.conditions[?(@.type==\"Ready\")].status"),
        column("Roles", ".status.summary"),
        column("Reason", ".status.conditions[?(@.type==\"Ready\")].reason"),
        json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where `kubectl apply` gives up: it keeps the object in an annotation of at most 256 kB.
    const LIMIT: usize = 200_000;

    #[test]
    fn the_committed_file_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/crds/rolebasedgroupautoscalers.yaml");
        let made = yaml().expect("a CRD");
        assert!(made.len() < LIMIT, "{} bytes are too many for client-side apply", made.len());
        if std::env::var_os("UPDATE_CRDS").is_some() {
            std::fs::write(path, &made).expect("a writable file");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == made,
            "run: cargo run --bin kubectl-rbga -- crds > deploy/crds/rolebasedgroupautoscalers.yaml"
        );
    }

    #[test]
    fn nothing_is_nullable_and_every_list_of_the_spec_is_bounded() {
        let crd = serde_json::to_value(crd().expect("a CRD")).expect("JSON");
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert!(!schema.to_string().contains("nullable"));
        let mut unbounded = Vec::new();
        find_unbounded(&schema["properties"]["spec"], "spec", &mut unbounded);
        assert!(unbounded.is_empty(), "the API server refuses rules over unbounded {unbounded:?}");
    }

    fn find_unbounded(schema: &Value, path: &str, found: &mut Vec<String>) {
        match schema["type"].as_str() {
            Some("array") if schema.get("maxItems").is_none() => found.push(path.to_owned()),
            Some("string") if schema.get("maxLength").is_none() && schema.get("enum").is_none() => {
                found.push(path.to_owned());
            }
            _ => {}
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            find_unbounded(field, &format!("{path}.{name}"), found);
        }
        for (suffix, inner) in [("[]", &schema["items"]), ("{}", &schema["additionalProperties"])] {
            if inner.is_object() {
                find_unbounded(inner, &format!("{path}{suffix}"), found);
            }
        }
    }
}
