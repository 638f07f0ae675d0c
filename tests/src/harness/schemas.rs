//! JSON schemas of the kinds that an API server serves, for kubeconform, which would get them from the web.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use axum::http::Request;
use kube::Client;
use serde_json::{Map, Value, json};

use super::eventually::eventually;

/// How long a kind may take to be published after its definition was applied.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes a strict schema of the kind of each object into a folder: fields that it does not name are refused. Returns what
/// kubeconform's `-schema-location` is.
///
/// Errors: the API server does not publish a kind.
pub async fn write_schemas(client: &Client, objects: &[Value], folder: &Path) -> Result<String> {
    fs::create_dir_all(folder)?;
    let kinds: BTreeSet<(&str, &str)> = objects
        .iter()
        .filter_map(|object| Some((object["apiVersion"].as_str()?, object["kind"].as_str()?)))
        .collect();
    let mut document = (String::new(), Value::Null);
    for (api_version, kind) in kinds {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let what = format!("the schema of {kind} in {api_version} is published");
        let schema = eventually(&what, PATIENCE, async || {
            if document.0 != api_version || root_of(&document.1, kind).is_none() {
                let folder = if group.is_empty() { "api" } else { "apis" };
                let path = format!("/openapi/v3/{folder}/{api_version}");
                document =
                    (api_version.to_owned(), client.request(Request::get(path).body(Vec::new())?).await?);
            }
            Ok(root_of(&document.1, kind).map(|root| {
                let mut schemas = document.1["components"]["schemas"].clone();
                forbid_the_unknown(&mut schemas, false);
                json!({"$ref": format!("#/components/schemas/{root}"), "components": {"schemas": schemas}})
            }))
        })
        .await?;
        // kubeconform calls the core group by its version.
        let group = if group.is_empty() { version } else { group };
        let name = format!("{group}-{version}-{}.json", kind.to_lowercase());
        fs::write(folder.join(&name), schema.to_string()).context(name)?;
    }
    let name = "{{.Group}}-{{.ResourceAPIVersion}}-{{.ResourceKind}}.json";
    Ok(format!("{}/{name}", folder.display()))
}

/// The name of the schema of a kind in the document of its version.
fn root_of(document: &Value, kind: &str) -> Option<String> {
    let schemas = document["components"]["schemas"].as_object()?;
    let is_meant = |schema: &Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
        let mut kinds = kinds.filter(|known| known["kind"] == kind);
        kinds.next().is_some() && schema["properties"]["metadata"].is_object()
    };
    schemas.iter().find(|(_, schema)| is_meant(schema)).map(|(name, _)| name.clone())
}

/// Items of a list that says so are open, too.
fn forbid_the_unknown(schema: &mut Value, is_of_open_list: bool) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(|part| forbid_the_unknown(part, false)),
        Value::Object(fields) => {
            let is_open = is_open(fields);
            let is_closed =
                fields.get("properties").is_some_and(Value::is_object) && !is_open && !is_of_open_list;
            for (name, field) in fields.iter_mut() {
                forbid_the_unknown(field, is_open && name == "items");
            }
            if is_closed {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        _ => {}
    }
}

fn is_open(fields: &Map<String, Value>) -> bool {
    fields.contains_key("additionalProperties")
        || fields.get("x-kubernetes-preserve-unknown-fields").is_some_and(|open| open == true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_to_stay_open_does() {
        let mut schema = json!({
            "a": {"type": "object", "properties": {"b": {"allOf": [{"properties": {"c": {}}}]}}},
            "open": {"properties": {"x": {}}, "x-kubernetes-preserve-unknown-fields": true},
            "map": {"additionalProperties": {"type": "string"}},
            "list": {"items": {"properties": {"x": {}}}, "x-kubernetes-preserve-unknown-fields": true},
        });
        forbid_the_unknown(&mut schema, false);
        let want = json!({
            "a": {"type": "object", "additionalProperties": false,
                "properties": {"b": {"allOf": [{"properties": {"c": {}}, "additionalProperties": false}]}}},
            "open": {"properties": {"x": {}}, "x-kubernetes-preserve-unknown-fields": true},
            "map": {"additionalProperties": {"type": "string"}},
            "list": {"items": {"properties": {"x": {}}}, "x-kubernetes-preserve-unknown-fields": true},
        });
        assert_eq!(schema, want);
    }
}
