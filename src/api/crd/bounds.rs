//! Sizes, patterns, list types and defaults of single fields.

use serde_json::{Map, Value};

use super::{CrdError, schema::field};

/// A field and what is added to its schema.
type Bound = (&'static str, &'static str);

const SPEC: &[Bound] = &[
    ("spec.groupRef.name", NAME),
    ("spec.mode", r#"{"default": "Enforce"}"#),
    ("spec.hold", r#"{"maxItems": 2, "x-kubernetes-list-type": "atomic"}"#),
    (
        "spec.roles",
        r#"{"minItems": 1, "maxItems": 16, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}"#,
    ),
    ("spec.roles[].name", NAME),
    ("spec.roles[].minReplicas", r#"{"minimum": 0, "maximum": 1000000}"#),
    ("spec.roles[].maxReplicas", r#"{"minimum": 1, "maximum": 1000000}"#),
    ("spec.roles[].gang.replicas", r#"{"minimum": 1, "maximum": 1000000}"#),
    ("spec.roles[].fallback.replicas", r#"{"minimum": 0, "maximum": 1000000}"#),
    ("spec.roles[].scaleToZero.wakeTo", r#"{"minimum": 1, "maximum": 1000000}"#),
    ("spec.roles[].behavior", r#"{"default": {}}"#),
    ("spec.ratios", r#"{"maxItems": 16, "x-kubernetes-list-type": "atomic"}"#),
    ("spec.ratios[].roles", r#"{"minItems": 2, "maxItems": 2, "x-kubernetes-list-type": "atomic"}"#),
    ("spec.ratios[].roles[]", NAME),
    ("spec.ratios[].min", RATIO),
    ("spec.ratios[].max", RATIO),
    (
        "spec.schedules",
        r#"{"maxItems": 16, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}"#,
    ),
    ("spec.schedules[].name", NAME),
    ("spec.schedules[].days", r#"{"maxItems": 7, "x-kubernetes-list-type": "atomic"}"#),
    ("spec.schedules[].from", CLOCK),
    ("spec.schedules[].to", CLOCK),
    ("spec.schedules[].timezone", r#"{"minLength": 1, "maxLength": 63}"#),
    (
        "spec.schedules[].roles",
        r#"{"minItems": 1, "maxItems": 16, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}"#,
    ),
    ("spec.schedules[].roles[].name", NAME),
    ("spec.schedules[].roles[].minReplicas", r#"{"minimum": 0, "maximum": 1000000}"#),
    ("spec.schedules[].roles[].maxReplicas", r#"{"minimum": 1, "maximum": 1000000}"#),
];

/// Below a direction of `behavior`.
const RULES: &[Bound] = &[
    ("stabilizationWindowSeconds", r#"{"minimum": 0, "maximum": 3600}"#),
    ("selectPolicy", r#"{"enum": ["Max", "Min", "Disabled"]}"#),
    ("policies", r#"{"minItems": 1, "maxItems": 10, "x-kubernetes-list-type": "atomic"}"#),
    ("policies[].type", r#"{"enum": ["Pods", "Percent"]}"#),
    ("policies[].value", r#"{"minimum": 1}"#),
    ("policies[].periodSeconds", r#"{"minimum": 1, "maximum": 1800}"#),
];

/// Below a list of metrics.
const METRICS: &[Bound] = &[
    ("", r#"{"maxItems": 10, "x-kubernetes-list-type": "atomic"}"#),
    ("[].name", r#"{"minLength": 1, "maxLength": 63, "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"}"#),
    ("[].role", NAME),
    ("[].type", r#"{"enum": ["Pods", "Object", "External", "Resource", "ContainerResource"]}"#),
    ("[].resource.name", WORD),
    ("[].containerResource.name", WORD),
    ("[].containerResource.container", NAME),
    ("[].object.describedObject.apiVersion", TEXT),
    ("[].object.describedObject.kind", WORD),
    ("[].object.describedObject.name", WORD),
];

/// Below the sources that name a metric.
const IDENTIFIER: &[Bound] = &[
    ("name", WORD),
    ("selector.matchLabels", r#"{"maxProperties": 32}"#),
    ("selector.matchLabels{}", TEXT),
    ("selector.matchExpressions", r#"{"maxItems": 32, "x-kubernetes-list-type": "atomic"}"#),
    ("selector.matchExpressions[].key", TEXT),
    ("selector.matchExpressions[].operator", r#"{"enum": ["In", "NotIn", "Exists", "DoesNotExist"]}"#),
    ("selector.matchExpressions[].values", r#"{"maxItems": 64, "x-kubernetes-list-type": "atomic"}"#),
    ("selector.matchExpressions[].values[]", TEXT),
];

const STATUS: &[Bound] = &[
    ("status.roles", r#"{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}"#),
    ("status.conditions", BY_TYPE),
    ("status.roles[].conditions", BY_TYPE),
    ("status.roles[].metrics", ATOMIC),
    ("status.roles[].decision", ATOMIC),
    ("status.roles[].history.recommendations", ATOMIC),
    ("status.roles[].history.scaleEvents", ATOMIC),
];

/// Names of groups, roles and containers.
const NAME: &str = r#"{"minLength": 1, "maxLength": 63}"#;
/// Names of metrics, kinds and objects.
const WORD: &str = r#"{"minLength": 1, "maxLength": 253}"#;
const TEXT: &str = r#"{"maxLength": 317}"#;
const RATIO: &str = r#"{"maxLength": 9, "pattern": "^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$"}"#;
const CLOCK: &str = r#"{"maxLength": 5, "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}"#;
const ATOMIC: &str = r#"{"x-kubernetes-list-type": "atomic"}"#;
const BY_TYPE: &str = r#"{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}"#;

/// The two places where metrics are listed.
pub(super) const METRIC_LISTS: [&str; 2] = ["spec.roles[].metrics", "spec.roles[].scaleToZero.wakeOn"];
/// The sources of a verbatim metric.
pub(super) const SOURCES: [&str; 5] = ["resource", "containerResource", "pods", "object", "external"];

/// Adds the bounds of every field.
pub(super) fn add(schema: &mut Value) -> Result<(), CrdError> {
    for (path, bound) in SPEC.iter().chain(STATUS) {
        merge(schema, path, bound)?;
    }
    for direction in ["scaleUp", "scaleDown"] {
        for (path, bound) in RULES {
            merge(schema, &format!("spec.roles[].behavior.{direction}.{path}"), bound)?;
        }
    }
    for list in METRIC_LISTS {
        for (path, bound) in METRICS {
            merge(schema, &format!("{list}{path}"), bound)?;
        }
        for source in ["pods", "object", "external"] {
            for (path, bound) in IDENTIFIER {
                merge(schema, &format!("{list}[].{source}.metric.{path}"), bound)?;
            }
        }
        for source in SOURCES {
            let target = format!("{list}[].{source}.target");
            merge(
                schema,
                &format!("{target}.type"),
                r#"{"enum": ["Utilization", "Value", "AverageValue"]}"#,
            )?;
            merge(schema, &format!("{target}.averageUtilization"), r#"{"minimum": 1}"#)?;
        }
    }
    Ok(())
}

fn merge(schema: &mut Value, path: &str, bound: &str) -> Result<(), CrdError> {
    let bound: Map<String, Value> =
        serde_json::from_str(bound).map_err(|error| CrdError::Bounds(path.to_owned(), error))?;
    field(schema, path)?.extend(bound);
    Ok(())
}
