//! [`MetricEntry`]: one entry of `metrics`, either our short form or an autoscaling/v2 `MetricSpec`, verbatim.

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, ExternalMetricSource, HorizontalPodAutoscalerBehavior, ObjectMetricSource,
    PodsMetricSource, ResourceMetricSource,
};
use serde::{Deserialize, Deserializer, Serialize, de, de::DeserializeOwned};
use serde_json::Value;

use crate::units::{GatewayDuration, MilliValue};

/// One metric: the short form has `name`, the verbatim form has `type` and the source that it names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "io", derive(schemars::JsonSchema))]
pub struct MetricEntry {
    /// Short form: the signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Short form: the target per replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<MilliValue>,
    /// Short form: another role of the group, whose total is divided by the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Short form, `token_utilization` only: how far ahead the trend is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookahead: Option<GatewayDuration>,
    /// Verbatim form: `Pods`, `Object`, `External`, `Resource` or `ContainerResource`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Verbatim form.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "verbatim")]
    pub resource: Option<Box<ResourceMetricSource>>,
    /// Verbatim form.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "verbatim")]
    pub container_resource: Option<Box<ContainerResourceMetricSource>>,
    /// Verbatim form.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "verbatim")]
    pub pods: Option<Box<PodsMetricSource>>,
    /// Verbatim form.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "verbatim")]
    pub object: Option<Box<ObjectMetricSource>>,
    /// Verbatim form.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "verbatim")]
    pub external: Option<Box<ExternalMetricSource>>,
}

/// One entry of `wakeOn`: the short form, whose target is 0 when absent, or a verbatim Object or External metric.
pub type WakeMetricSpec = MetricEntry;

/// Reads an autoscaling/v2 object whose quantities may be integers, as the API server allows.
fn verbatim<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let Some(mut value) = Option::<Value>::deserialize(deserializer)? else { return Ok(None) };
    if let Some(target) = value.get_mut("target") {
        for field in ["value", "averageValue"] {
            quantity_text(target, field).map_err(de::Error::custom)?;
        }
    }
    T::deserialize(value).map(Some).map_err(de::Error::custom)
}

/// Reads a behavior whose tolerances may be integers.
pub(super) fn behavior<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<HorizontalPodAutoscalerBehavior>, D::Error> {
    let Some(mut value) = Option::<Value>::deserialize(deserializer)? else { return Ok(None) };
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = value.get_mut(direction) {
            quantity_text(rules, "tolerance").map_err(de::Error::custom)?;
        }
    }
    HorizontalPodAutoscalerBehavior::deserialize(value).map(Some).map_err(de::Error::custom)
}

/// Turns an integer into its text; refuses a bare fraction, which YAML and JSON would round.
fn quantity_text(parent: &mut Value, field: &str) -> Result<(), String> {
    let Some(Value::Number(number)) = parent.get(field) else { return Ok(()) };
    if number.is_f64() {
        return Err(format!("{field}: quote it: write \"{number}\" instead of {number}"));
    }
    let text = number.to_string();
    parent[field] = Value::String(text);
    Ok(())
}
