//! The reference of policies, from the CRD.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use rbg_autoscaler::units::GatewayDuration;
use serde_json::Value;

const CRD: &str = include_str!("../../../deploy/crds/rolebasedgroupautoscalers.yaml");
const HEAD: &str = "# Policy reference

<!-- Made by `make docs` from the CRD; edit the doc comments of src/api instead. -->

`RoleBasedGroupAutoscaler`, `rbg-autoscaler.dev/v1alpha1`, short name `rbga`. What a policy means is told in
[concepts.md](concepts.md); what the status says in [troubleshooting.md](troubleshooting.md). Fields of a role can also be
written inside a RoleBasedGroup, under `autoscaling` of the role, without `name`. A *duration* is written
as `90s`, `10m` or `1h30m`; a *quantity* as `10`, `\"0.8\"` or `\"800m\"`, in quotes unless it is a whole number.

";

/// Returns the page.
pub fn page() -> Result<String> {
    let crd: Value = serde_saphyr::from_str(CRD).context("the CRD is not YAML")?;
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut text = HEAD.to_owned();
    for part in ["spec", "status"] {
        section(&mut text, part, &schema[part]);
    }
    Ok(text)
}

/// One object: its fields as a table, then the objects in it.
fn section(text: &mut String, path: &str, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let _ = writeln!(text, "## {path}\n");
    if let Some(described) = schema["description"].as_str() {
        let _ = writeln!(text, "{}\n", plain(described));
    }
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    text.push_str("| field | type | meaning |\n| --- | --- | --- |\n");
    let mut inner = Vec::new();
    for (name, field) in properties {
        let mark = if required.contains(&name.as_str()) { " (required)" } else { "" };
        let mut meaning = plain(field["description"].as_str().unwrap_or_default());
        if let Some(default) = field.get("default") {
            let _ = write!(meaning, " Default `{default}`.");
        }
        let _ =
            writeln!(text, "| `{name}`{mark} | {} | {} |", kind(field), meaning.trim().replace('|', "\\|"));
        let (item, suffix) = if field["items"].is_object() { (&field["items"], "[]") } else { (field, "") };
        // Embedded HPA types have no descriptions here: Kubernetes documents them.
        let is_ours = item["properties"]
            .as_object()
            .is_some_and(|inner| inner.values().any(|field| field["description"].is_string()));
        if is_ours {
            inner.push((format!("{path}.{name}{suffix}"), item));
        }
    }
    rules(text, schema);
    text.push('\n');
    for (path, schema) in inner {
        section(text, &path, schema);
    }
}

/// What the API server checks besides types.
fn rules(text: &mut String, schema: &Value) {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let messages: Vec<_> = rules.filter_map(|rule| rule["message"].as_str()).collect();
    if messages.is_empty() {
        return;
    }
    text.push_str("\nThe API server refuses it when one of these does not hold:\n\n");
    for message in messages {
        let _ = writeln!(text, "- {message}");
    }
}

fn kind(field: &Value) -> String {
    let one = |field: &Value| {
        if field["x-kubernetes-int-or-string"] == true {
            return "quantity".to_owned();
        }
        match (&field["enum"], field["type"].as_str()) {
            (Value::Array(values), _) => values
                .iter()
                .filter_map(Value::as_str)
                .map(|value| format!("`{value}`"))
                .collect::<Vec<_>>()
                .join(", "),
            (_, Some("string")) if field["format"] == "date-time" => "time".to_owned(),
            (_, Some("string")) if field["pattern"] == GatewayDuration::PATTERN => "duration".to_owned(),
            (_, Some(kind)) => kind.to_owned(),
            (_, None) => "any".to_owned(),
        }
    };
    let mut bounds = Vec::new();
    for (key, sign) in [("minimum", "≥"), ("maximum", "≤")] {
        if let Some(bound) = field[key].as_f64() {
            bounds.push(format!("{sign} {bound}"));
        }
    }
    if field["items"].is_object() {
        let most = field["maxItems"].as_u64().map(|most| format!(", at most {most}")).unwrap_or_default();
        return format!("list of {}{most}", one(&field["items"]));
    }
    let bounds = if bounds.is_empty() { String::new() } else { format!(", {}", bounds.join(" and ")) };
    format!("{}{bounds}", one(field))
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
