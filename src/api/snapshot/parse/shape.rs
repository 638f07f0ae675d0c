//! What is wrong with a document as a whole: another kind of object, or a list where a mapping belongs.

use serde_json::Value;

use crate::api::autoscaler::{API_VERSION, KIND, Problem};

/// Where our own mappings stand; `*` is any key or place. The reader would take a list there for the fields in order.
const MAPPINGS: [&str; 33] = [
    "settings",
    "settings.scaleUpLimit",
    "autoscaler",
    "autoscaler.spec",
    "autoscaler.spec.groupRef",
    "autoscaler.spec.capacity",
    "autoscaler.spec.capacity.backoff",
    "autoscaler.spec.roles.*",
    "autoscaler.spec.roles.*.gang",
    "autoscaler.spec.roles.*.fallback",
    "autoscaler.spec.roles.*.throughput",
    "autoscaler.spec.roles.*.metrics.*",
    "autoscaler.spec.roles.*.scaleToZero",
    "autoscaler.spec.roles.*.scaleToZero.wakeOn.*",
    "autoscaler.spec.ratios.*",
    "autoscaler.spec.schedules.*",
    "autoscaler.spec.schedules.*.roles.*",
    "roles",
    "roles.*",
    "roles.*.templates.*",
    "roles.*.readings.*",
    "roles.*.readings.*.samples.*",
    "roles.*.readings.*.promptTokensPerSecond",
    "roles.*.readings.*.generationTokensPerSecond",
    "roles.*.wake.*",
    "roles.*.history",
    "roles.*.history.recommendations.*",
    "roles.*.history.scaleEvents.*",
    "roles.*.history.rollback",
    "capacity",
    "capacity.reserved.*",
    "capacity.reserved.*.requests",
    "metadata",
];

/// Says so when the document is another kind of object.
pub(super) fn wrong_kind(document: &Value) -> Vec<Problem> {
    let Some(kind) = document.get("kind").and_then(Value::as_str).filter(|kind| *kind != "ScalingSnapshot")
    else {
        return Vec::new();
    };
    let fix = if kind == KIND {
        "this is the policy alone: put it under autoscaler in a ScalingSnapshot, and what is seen of its roles under roles"
    } else {
        "write ScalingSnapshot or leave it out"
    };
    vec![Problem {
        field: "kind".to_owned(),
        message: format!("{kind:?} is not understood; {fix} ({API_VERSION})"),
    }]
}

/// Finds lists that stand where one of our mappings belongs.
pub(super) fn lists_for_mappings(document: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for pattern in MAPPINGS {
        let keys: Vec<&str> = pattern.split('.').collect();
        visit(document, &keys, String::new(), &mut problems);
    }
    problems
}

fn visit(value: &Value, keys: &[&str], path: String, problems: &mut Vec<Problem>) {
    let Some((key, rest)) = keys.split_first() else {
        if value.is_array() {
            let message = "is a list; write a mapping (key: value)".to_owned();
            problems.push(Problem { field: path, message });
        }
        return;
    };
    match value {
        Value::Object(map) if *key == "*" => {
            for (name, child) in map {
                visit(child, rest, format!("{path}.{name}"), problems);
            }
        }
        Value::Array(items) if *key == "*" => {
            for (at, child) in items.iter().enumerate() {
                visit(child, rest, format!("{path}[{at}]"), problems);
            }
        }
        Value::Object(map) => {
            if let Some(child) = map.get(*key) {
                let dot = if path.is_empty() { "" } else { "." };
                visit(child, rest, format!("{path}{dot}{key}"), problems);
            }
        }
        _ => {}
    }
}
