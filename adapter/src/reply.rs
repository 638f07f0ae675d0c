//! What goes over the wire: lists of values and `Status` objects, byte for byte as clients of these APIs expect them.

use jiff::Timestamp;
use rbg_autoscaler::units::MilliValue;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    request::{CustomVersion, RequestError},
    selector::{Operator, Selector},
};

/// One value of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectValue<'a> {
    /// The kind of object.
    pub kind: &'a str,
    /// Its API version as references have it: `/v1` for the core group.
    pub api_version: &'a str,
    /// Its namespace, if it has one.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
    /// When the value was true.
    pub time: Timestamp,
    /// What the value was taken over.
    pub window_seconds: Option<u64>,
    /// The value.
    pub value: MilliValue,
}

/// A list of values of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueList<'a> {
    /// The version to write.
    pub version: CustomVersion,
    /// The metric's name.
    pub metric: &'a str,
    /// The selector that narrowed the metric.
    pub selector: &'a Selector,
    /// The values.
    pub items: Vec<ObjectValue<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    name: &'a str,
    api_version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemV1Beta1<'a> {
    described_object: Reference<'a>,
    metric_name: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    value: MilliValue,
    selector: &'a Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemV1Beta2<'a> {
    described_object: Reference<'a>,
    metric: MetricIdentifier<'a>,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_seconds: Option<u64>,
    value: MilliValue,
}

#[derive(Serialize)]
struct MetricIdentifier<'a> {
    name: &'a str,
    selector: &'a Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<I> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Nothing,
    items: Vec<I>,
}

#[derive(Serialize)]
struct Nothing {}

/// One value of an external metric.
#[derive(Clone, Debug)]
pub struct ExternalValue<'a, L> {
    /// The metric's name.
    pub metric: &'a str,
    /// What tells it from other values of the metric.
    pub labels: &'a L,
    /// When the value was true.
    pub time: Timestamp,
    /// What the value was taken over.
    pub window_seconds: Option<u64>,
    /// The value.
    pub value: MilliValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalItem<'a, L> {
    metric_name: &'a str,
    metric_labels: &'a L,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    value: MilliValue,
}

/// Writes a list of values of an external metric.
pub fn external_list<'a, L: Serialize + 'a>(
    values: impl Iterator<Item = ExternalValue<'a, L>>,
) -> Result<Vec<u8>, RequestError> {
    let items = values.map(|value| ExternalItem {
        metric_name: value.metric,
        metric_labels: value.labels,
        timestamp: whole_seconds(value.time),
        window: value.window_seconds,
        value: value.value,
    });
    serde_json::to_vec(&List {
        kind: "ExternalMetricValueList",
        api_version: "external.metrics.k8s.io/v1beta1",
        metadata: Nothing {},
        items: items.collect(),
    })
    .map_err(RequestError::internal)
}

impl ValueList<'_> {
    /// Writes the list. Errors: a selector that the API's own form cannot express.
    pub fn to_json(&self) -> Result<Vec<u8>, RequestError> {
        let selector = label_selector(self.selector)?;
        let written = match self.version {
            CustomVersion::V1Beta1 => serde_json::to_vec(&List {
                kind: "MetricValueList",
                api_version: "custom.metrics.k8s.io/v1beta1",
                metadata: Nothing {},
                items: self.items.iter().map(|item| item.v1beta1(self.metric, &selector)).collect(),
            }),
            CustomVersion::V1Beta2 => serde_json::to_vec(&List {
                kind: "MetricValueList",
                api_version: "custom.metrics.k8s.io/v1beta2",
                metadata: Nothing {},
                items: self.items.iter().map(|item| item.v1beta2(self.metric, &selector)).collect(),
            }),
        };
        written.map_err(RequestError::internal)
    }
}

impl<'a> ObjectValue<'a> {
    fn reference(&self) -> Reference<'a> {
        Reference {
            kind: self.kind,
            namespace: self.namespace,
            name: self.name,
            api_version: self.api_version,
        }
    }

    fn v1beta1(&self, metric: &'a str, selector: &'a Value) -> ItemV1Beta1<'a> {
        ItemV1Beta1 {
            described_object: self.reference(),
            metric_name: metric,
            timestamp: whole_seconds(self.time),
            window: self.window_seconds,
            value: self.value,
            selector,
        }
    }

    fn v1beta2(&self, metric: &'a str, selector: &'a Value) -> ItemV1Beta2<'a> {
        ItemV1Beta2 {
            described_object: self.reference(),
            metric: MetricIdentifier { name: metric, selector },
            timestamp: whole_seconds(self.time),
            window_seconds: self.window_seconds,
            value: self.value,
        }
    }
}

/// Kubernetes times have whole seconds.
pub fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Writes a selector as a `LabelSelector` object; null when it selects everything.
///
/// Errors: 400 for `>` and `<`, which that object cannot say.
fn label_selector(selector: &Selector) -> Result<Value, RequestError> {
    if selector.is_empty() {
        return Ok(Value::Null);
    }
    let mut labels = serde_json::Map::new();
    let mut expressions = Vec::new();
    for requirement in selector.requirements() {
        let operator = match requirement.operator {
            Operator::Equals | Operator::DoubleEquals => {
                let value = requirement.values.first().cloned().unwrap_or_default();
                labels.insert(requirement.key.clone(), Value::String(value));
                continue;
            }
            Operator::In => "In",
            Operator::NotEquals | Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::GreaterThan | Operator::LessThan => {
                let message =
                    format!("metricLabelSelector: > and < on {:?} are not supported", requirement.key);
                return Err(RequestError::bad_request(message));
            }
        };
        let mut expression = json!({"key": requirement.key, "operator": operator});
        if !requirement.values.is_empty() {
            expression["values"] = json!(requirement.values);
        }
        expressions.push(expression);
    }
    let mut written = serde_json::Map::new();
    if !labels.is_empty() {
        written.insert("matchLabels".to_owned(), Value::Object(labels));
    }
    if !expressions.is_empty() {
        written.insert("matchExpressions".to_owned(), Value::Array(expressions));
    }
    Ok(Value::Object(written))
}

/// Writes a failure as a `Status` object.
pub fn status(error: &RequestError) -> Vec<u8> {
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
        "code": error.code,
    });
    if error.code >= 500 {
        status["details"] = json!({"causes": [{"message": error.message}]});
    }
    serde_json::to_vec(&status).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(version: CustomVersion, selector: &Selector) -> String {
        let items = vec![
            ObjectValue {
                kind: "Pod",
                api_version: "/v1",
                namespace: Some("ns1"),
                name: "p1",
                time: "2026-11-20T10:00:00.987Z".parse().expect("a time"),
                window_seconds: Some(60),
                value: MilliValue::from_milli(12_500),
            },
            ObjectValue {
                kind: "Node",
                api_version: "/v1",
                namespace: None,
                name: "n1",
                time: "2026-11-20T10:00:01Z".parse().expect("a time"),
                window_seconds: None,
                value: MilliValue::from_whole(1000),
            },
        ];
        let list = ValueList { version, metric: "queue_length", selector, items };
        String::from_utf8(list.to_json().expect("written")).expect("UTF-8")
    }

    #[test]
    fn v1beta1() {
        insta::assert_snapshot!(list(CustomVersion::V1Beta1, &Selector::default()), @r#"{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{},"items":[{"describedObject":{"kind":"Pod","namespace":"ns1","name":"p1","apiVersion":"/v1"},"metricName":"queue_length","timestamp":"2026-11-20T10:00:00Z","window":60,"value":"12500m","selector":null},{"describedObject":{"kind":"Node","name":"n1","apiVersion":"/v1"},"metricName":"queue_length","timestamp":"2026-11-20T10:00:01Z","value":"1k","selector":null}]}"#);
    }

    #[test]
    fn v1beta2_with_a_selector() {
        let selector = Selector::parse("a=1,b in (2,3),c,!d,e!=4").expect("parses");
        insta::assert_snapshot!(list(CustomVersion::V1Beta2, &selector), @r#"{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","metadata":{},"items":[{"describedObject":{"kind":"Pod","namespace":"ns1","name":"p1","apiVersion":"/v1"},"metric":{"name":"queue_length","selector":{"matchExpressions":[{"key":"b","operator":"In","values":["2","3"]},{"key":"c","operator":"Exists"},{"key":"d","operator":"DoesNotExist"},{"key":"e","operator":"NotIn","values":["4"]}],"matchLabels":{"a":"1"}}},"timestamp":"2026-11-20T10:00:00Z","windowSeconds":60,"value":"12500m"},{"describedObject":{"kind":"Node","name":"n1","apiVersion":"/v1"},"metric":{"name":"queue_length","selector":{"matchExpressions":[{"key":"b","operator":"In","values":["2","3"]},{"key":"c","operator":"Exists"},{"key":"d","operator":"DoesNotExist"},{"key":"e","operator":"NotIn","values":["4"]}],"matchLabels":{"a":"1"}}},"timestamp":"2026-11-20T10:00:01Z","value":"1k"}]}"#);
    }

    #[test]
    fn a_selector_that_cannot_be_written_is_a_bad_request() {
        let selector = Selector::parse("a>1").expect("parses");
        assert_eq!(label_selector(&selector).expect_err("refused").code, 400);
    }

    #[test]
    fn a_failure_is_a_status() {
        let error = RequestError {
            code: 503,
            reason: "ServiceUnavailable",
            message: "prometheus is away".to_owned(),
        };
        insta::assert_snapshot!(String::from_utf8_lossy(&status(&error)), @r#"{"apiVersion":"v1","code":503,"details":{"causes":[{"message":"prometheus is away"}]},"kind":"Status","message":"prometheus is away","metadata":{},"reason":"ServiceUnavailable","status":"Failure"}"#);
    }
}
