//! Finding fields in an API schema, and making it one that the API server takes and that stays small.

use serde_json::{Map, Value, json};

use super::CrdError;

/// A quantity as the API server reads it.
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Parts that are autoscaling/v2 verbatim; their descriptions are upstream's and long.
const VERBATIM: [&str; 13] = [
    "spec.roles[].behavior",
    "spec.roles[].metrics[].resource",
    "spec.roles[].metrics[].containerResource",
    "spec.roles[].metrics[].pods",
    "spec.roles[].metrics[].object",
    "spec.roles[].metrics[].external",
    "spec.roles[].scaleToZero.wakeOn[].resource",
    "spec.roles[].scaleToZero.wakeOn[].containerResource",
    "spec.roles[].scaleToZero.wakeOn[].pods",
    "spec.roles[].scaleToZero.wakeOn[].object",
    "spec.roles[].scaleToZero.wakeOn[].external",
    "status.roles[].metrics[].current",
    "status.roles[].metrics[].target",
];

/// Returns the schema of a field, such as `spec.roles[].metrics[]`; `{}` stands for the values of a map.
pub(super) fn field<'a>(schema: &'a mut Value, path: &str) -> Result<&'a mut Map<String, Value>, CrdError> {
    let mut at = schema;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let name = step.trim_end_matches("[]").trim_end_matches("{}");
        at = at
            .pointer_mut(&format!("/properties/{name}"))
            .ok_or_else(|| CrdError::NoField(path.to_owned()))?;
        for inner in step.as_bytes()[name.len()..].chunks(2) {
            let key = if inner == b"[]" { "items" } else { "additionalProperties" };
            at = at.get_mut(key).ok_or_else(|| CrdError::NoField(path.to_owned()))?;
        }
    }
    at.as_object_mut().ok_or_else(|| CrdError::NoField(path.to_owned()))
}

/// Makes the schema structural and plain: null is absent, quantities are integers or strings, counts are int32.
pub(super) fn make_structural(schema: &mut Value) {
    if let Value::Object(fields) = schema {
        // Without it the API server drops a null before it validates, as it does for built-in objects.
        fields.remove("nullable");
        if fields.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            fields.insert("anyOf".to_owned(), json!([{"type": "integer"}, {"type": "string"}]));
            fields.insert("pattern".to_owned(), json!(QUANTITY));
            fields.insert("maxLength".to_owned(), json!(64));
            return;
        }
        if fields.get("format") == Some(&json!("uint32")) {
            fields.insert("format".to_owned(), json!("int32"));
            fields.insert("minimum".to_owned(), json!(0));
        }
        if fields.contains_key("type") {
            fields.remove("default");
        }
        fields.values_mut().for_each(make_structural);
    } else if let Value::Array(items) = schema {
        items.iter_mut().for_each(make_structural);
    }
}

/// Takes the descriptions out of the parts that are autoscaling/v2 verbatim, and names the source instead.
pub(super) fn strip_verbatim_descriptions(schema: &mut Value) -> Result<(), CrdError> {
    for path in VERBATIM {
        let part = field(schema, path)?;
        for inner in part.values_mut() {
            strip(inner, false);
        }
    }
    Ok(())
}

/// Removes `description` where it is text about a field; a field of that name stays.
fn strip(value: &mut Value, names_fields: bool) {
    if let Value::Object(fields) = value {
        if !names_fields {
            fields.remove("description");
        }
        for (key, inner) in fields {
            strip(inner, !names_fields && key == "properties");
        }
    }
}
