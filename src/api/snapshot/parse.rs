//! From text to [`ScalingSnapshot`]: YAML or JSON, with every complaint naming the field, the value and the fix.
//!
//! Unknown keys are refused in our own parts and in the verbatim autoscaling/v2 parts, and ignored inside core/v1
//! objects, metadata and the status of a pasted policy.

mod shape;
mod unique;

use std::fmt::Write as _;

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, ExternalMetricSource, HorizontalPodAutoscalerBehavior, ObjectMetricSource,
    PodsMetricSource, ResourceMetricSource,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};
use unique::Unique;

use super::{ScalingSnapshot, fields};
use crate::api::autoscaler::{InputError, Problem};

impl ScalingSnapshot {
    /// Reads a document: JSON when it begins as JSON does, else YAML.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        let mut value = read(text)?;
        let mut problems = shape::wrong_kind(&value);
        problems.extend(shape::lists_for_mappings(&value));
        if !problems.is_empty() {
            return Err(InputError { problems });
        }
        tidy(&mut value, "");
        problems = wrong_in_verbatim(&value);
        let (result, unknown) = typed::<Self>(value);
        problems.extend(unknown.into_iter().filter(|path| !is_foreign(path)).map(|path| unknown_key(&path)));
        match result {
            Ok(snapshot) if problems.is_empty() => return Ok(snapshot),
            Ok(_) => {}
            Err(error) => {
                // The value went into the reader; the text still has it.
                let whole = error.problem(read(text).ok().as_ref());
                // What does not fit inside a verbatim part is told already, with its place there.
                if !problems.iter().any(|told| is_inside(&told.field, &whole.field)) {
                    problems.push(whole);
                }
            }
        }
        Err(InputError { problems })
    }
}

fn problem(field: impl Into<String>, message: impl Into<String>) -> InputError {
    InputError { problems: vec![Problem { field: field.into(), message: message.into() }] }
}

fn read(text: &str) -> Result<Value, InputError> {
    let value: Value = if is_json(text) {
        let Unique(value) = serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Data => problem("document", error.to_string()),
            _ => problem("document", format!("is no JSON: {error}; fix the syntax there")),
        })?;
        value
    } else {
        let mut options = serde_saphyr::Options::default();
        options.strict_booleans = true;
        options.with_snippet = false;
        if let Some(budget) = &mut options.budget {
            budget.max_events = 200_000_000;
            budget.max_nodes = 100_000_000;
            budget.max_total_scalar_bytes = 1 << 30;
            budget.max_reader_input_bytes = None;
        }
        serde_saphyr::from_str_with_options(text, options.clone())
            .or_else(|error| alone(text, options).ok_or(error))
            .map_err(|error| problem("document", no_yaml(&error.to_string())))?
    };
    match value {
        Value::Object(_) => Ok(value),
        Value::Null => {
            Err(problem("document", "is empty; write a ScalingSnapshot with autoscaler and roles"))
        }
        _ => Err(problem("document", "is no mapping; write a ScalingSnapshot with autoscaler and roles")),
    }
}

/// Whether a text is JSON: a brace with a quoted key, or none, behind it. A YAML mapping in braces may have bare keys.
fn is_json(text: &str) -> bool {
    text.trim_start().strip_prefix('{').is_some_and(|rest| {
        let rest = rest.trim_start();
        rest.is_empty() || rest.starts_with(['"', '}', '{', '['])
    })
}

/// The one document that stands between empty ones, as a `---` at the end leaves them.
fn alone(text: &str, options: serde_saphyr::Options) -> Option<Value> {
    let mut documents = serde_saphyr::from_multiple_with_options(text, options).ok()?;
    let document = documents.pop();
    document.filter(|_| documents.is_empty())
}

/// The reader's complaint without advice that is for programmers.
fn no_yaml(error: &str) -> String {
    if error.starts_with("multiple YAML documents") {
        let place = error.rfind(" at line").and_then(|at| error.get(at..)).unwrap_or_default();
        return format!(
            "a second document begins{place}; write one document, and remove the \"---\" before another"
        );
    }
    if let Some(rest) = error.strip_prefix("duplicate mapping key: ")
        && let Some((key, place)) = rest.split_once(", set DuplicateKeyPolicy in Options if acceptable")
    {
        return format!("{key:?} is there twice{place}; keep one");
    }
    if let Some(rest) = error.strip_prefix("non-finite float ")
        && let Some((value, place)) = rest.split_once(" rejected by the configured policy")
    {
        return format!(
            "{value} is no number{place}; write a number, or leave a value out that is not known"
        );
    }
    if error.starts_with("budget breached") {
        let place = error.find(" at line").and_then(|at| error.get(at..)).unwrap_or_default();
        let place = place.split(" (").next().unwrap_or_default();
        return format!(
            "is too large with its aliases written out{place}; write less of it, or without aliases"
        );
    }
    format!("is no YAML: {error}; fix the syntax there")
}

/// Why a value does not fit its type, and where it stands.
struct Misfit {
    path: serde_path_to_error::Path,
    message: String,
}

impl Misfit {
    fn problem(&self, document: Option<&Value>) -> Problem {
        let path = self.path.to_string();
        let field = if path == "." { "document".to_owned() } else { path };
        if let Some(name) = missing(&self.message) {
            let field = if field == "document" { name.to_owned() } else { format!("{field}.{name}") };
            return Problem { field, message: "is missing; add it".to_owned() };
        }
        let mut message = explain(&self.message, &field);
        let value = document.and_then(|document| value_at(document, &self.path)).map(ToString::to_string);
        if let Some(value) = value.filter(|value| value.len() <= 80 && !says(&self.message, value)) {
            message = format!("{value}: {message}");
        }
        Problem { field, message }
    }
}

/// Whether a message names the value already.
fn says(message: &str, value: &str) -> bool {
    let bare = value.trim_matches('"');
    message.contains(if bare.is_empty() { value } else { bare }) || message.contains("quote it")
}

fn value_at<'a>(document: &'a Value, path: &serde_path_to_error::Path) -> Option<&'a Value> {
    use serde_path_to_error::Segment;
    let value = path.iter().try_fold(document, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    })?;
    (!value.is_object() && !value.is_array()).then_some(value)
}

/// Reads a value into a type; also returns the paths of keys that the type does not know.
fn typed<T: DeserializeOwned>(value: Value) -> (Result<T, Misfit>, Vec<String>) {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
    let result: Result<T, serde_json::Error> =
        serde_ignored::deserialize(deserializer, |path| unknown.push(path_text(&path)));
    (result.map_err(|error| Misfit { path: track.path(), message: error.to_string() }), unknown)
}

/// The field that a message says is not there.
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// Adds the fix where serde only names the type.
fn explain(message: &str, field: &str) -> String {
    if message.contains("; write") || message.contains("quote it") {
        return message.to_owned();
    }
    let bare =
        message.strip_prefix("invalid type: ").and_then(|rest| rest.strip_suffix(", expected a string"));
    if let Some((_, literal)) = bare.and_then(|bare| bare.strip_suffix('`')?.split_once(" `")) {
        return format!("{literal} is not a text; quote it: write \"{literal}\"");
    }
    // What does not begin as serde's own complaints do is jiff's, on a time.
    let of_type = ["invalid ", "unknown variant "].into_iter().any(|own| message.starts_with(own));
    if !of_type || message.ends_with("expected a timestamp string") {
        return format!("{message}; write a time such as \"2026-11-21T10:00:00Z\"");
    }
    let Some((what, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let expected = match expected {
        "i32" => "a whole number up to 2147483647",
        "u32" | "u64" => "a whole number of 0 or more",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "string or map" => choices(field),
        other if other == "a map" || other.starts_with("struct") => "a mapping (key: value)",
        "Quantity" => "a quantity: a string such as \"0.8\" or \"500m\", or an integer",
        // The name of a type of Kubernetes.
        other if other.starts_with(|first: char| first.is_ascii_uppercase()) => "a mapping (key: value)",
        other => other,
    };
    format!("{what}; write {expected}")
}

/// What may stand in a field that is one of a few words.
fn choices(field: &str) -> &'static str {
    let last = field.rsplit('.').next().unwrap_or(field);
    match last.split('[').next().unwrap_or(last) {
        "mode" if field.contains(".capacity.") => "Optimistic or Fit",
        "mode" => "Enforce, Recommend or Disabled",
        "hold" => "Up or Down",
        "days" => "Mon, Tue, Wed, Thu, Fri, Sat or Sun",
        "fold" => "sum or max",
        _ => "a text",
    }
}

fn path_text(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", path_text(parent)),
        Path::Map { parent, key } => {
            let mut text = path_text(parent);
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(key);
            text
        }
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            path_text(parent)
        }
    }
}

/// Whether a path lies inside an object that is not ours.
fn is_foreign(path: &str) -> bool {
    let foreign = ["metadata", "autoscaler.metadata", "capacity.nodes", "capacity.pods"];
    if foreign.into_iter().any(|prefix| is_inside(path, prefix)) {
        return true;
    }
    // roles.<name>.pods[…]… and roles.<name>.templates[…].spec…; a role's name may hold dots.
    path.starts_with("roles.")
        && (path.contains(".pods[")
            || path.split_once(".templates[").is_some_and(|(_, rest)| rest.contains("].spec.")))
}

fn unknown_key(path: &str) -> Problem {
    let key = path.rsplit('.').next().unwrap_or(path);
    let mut message = "is no field of this document; remove it".to_owned();
    if let Some(near) = fields::nearest(key) {
        let _ = write!(message, ", or did you mean {near:?}?");
    }
    Problem { field: path.to_owned(), message }
}

/// Fields that may be absent, and of which a bare `pods:` or a null, as Go writes an empty list, says no more.
const MAY_BE_NULL: [&str; 16] = [
    "days",
    "hold",
    "metadata",
    "metrics",
    "pods",
    "ports",
    "ratios",
    "readings",
    "requests",
    "reserved",
    "scaleEvents",
    "schedules",
    "silent",
    "templates",
    "wake",
    "wakeOn",
];

/// Takes out such fields when they are null, and turns integers into text where Kubernetes writes quantities, in core/v1
/// objects and verbatim metrics alike.
fn tidy(value: &mut Value, key: &str) {
    match value {
        Value::Object(map) => {
            // Here users name the keys: a container may be called metrics.
            let named = matches!(key, "containers" | "roles" | "labels");
            map.retain(|name, child| named || !child.is_null() || !MAY_BE_NULL.contains(&name.as_str()));
            let quantities = matches!(key, "requests" | "limits" | "allocatable" | "capacity" | "overhead");
            for (name, child) in map {
                let quantity = quantities
                    || key == "target" && matches!(name.as_str(), "value" | "averageValue")
                    || name == "slopePerSecond"
                    || matches!(key, "scaleUp" | "scaleDown") && name == "tolerance";
                match child {
                    Value::Number(number) if quantity && !number.is_f64() => {
                        *child = Value::String(number.to_string());
                    }
                    _ => tidy(child, name),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(item, "")),
        _ => {}
    }
}

/// Finds unknown keys and values of a wrong type inside the verbatim parts, whose readers do not say where they stand.
fn wrong_in_verbatim(document: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let roles = document.pointer("/autoscaler/spec/roles").and_then(Value::as_array);
    for (index, role) in roles.into_iter().flatten().enumerate() {
        let path = format!("autoscaler.spec.roles[{index}]");
        if let Some(behavior) = role.get("behavior") {
            wrong_in::<HorizontalPodAutoscalerBehavior>(&mut problems, &format!("{path}.behavior"), behavior);
        }
        let lists =
            [("metrics", role.get("metrics")), ("scaleToZero.wakeOn", role.pointer("/scaleToZero/wakeOn"))];
        for (list, entries) in lists {
            for (at, entry) in entries.and_then(Value::as_array).into_iter().flatten().enumerate() {
                let path = format!("{path}.{list}[{at}]");
                for (field, source) in entry.as_object().into_iter().flatten() {
                    let path = format!("{path}.{field}");
                    match field.as_str() {
                        "pods" => wrong_in::<PodsMetricSource>(&mut problems, &path, source),
                        "object" => wrong_in::<ObjectMetricSource>(&mut problems, &path, source),
                        "external" => wrong_in::<ExternalMetricSource>(&mut problems, &path, source),
                        "resource" => wrong_in::<ResourceMetricSource>(&mut problems, &path, source),
                        "containerResource" => {
                            wrong_in::<ContainerResourceMetricSource>(&mut problems, &path, source);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    problems
}

fn wrong_in<T: DeserializeOwned>(problems: &mut Vec<Problem>, path: &str, value: &Value) {
    let mut floats = Vec::new();
    bare_fractions(&mut floats, path, value);
    let (result, unknown) = typed::<T>(value.clone());
    problems.extend(unknown.into_iter().map(|key| unknown_key(&format!("{path}.{key}"))));
    if let Err(misfit) = result {
        let problem = misfit.problem(Some(value));
        // A value that is no mapping at all is told when the whole document is read.
        if problem.field != "document" {
            floats.push(Problem { field: format!("{path}.{}", problem.field), ..problem });
        }
    }
    problems.append(&mut floats);
}

/// Finds quantities that are no text: YAML and JSON would round them.
fn bare_fractions(problems: &mut Vec<Problem>, path: &str, value: &Value) {
    for (key, child) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match child {
            Value::Number(number)
                if number.is_f64() && matches!(key.as_str(), "value" | "averageValue" | "tolerance") =>
            {
                let message = format!("quote it: write \"{number}\" instead of {number}");
                problems.push(Problem { field: path, message });
            }
            _ => bare_fractions(problems, &path, child),
        }
    }
}

/// Whether a field lies inside another one.
fn is_inside(field: &str, outer: &str) -> bool {
    field.strip_prefix(outer).is_some_and(|rest| rest.starts_with(['.', '[']))
}
