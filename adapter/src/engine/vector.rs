//! [`Vector`]: what Prometheus answers to an instant query, with all labels.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rbg_autoscaler::units::MilliValue;
use serde::Deserialize;

/// One value with its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: MilliValue,
    /// When it was true.
    pub time: Timestamp,
}

/// The values of an answer; what is no number is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector {
    /// The values.
    pub elements: Vec<Element>,
}

#[derive(Deserialize)]
struct Reply {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<WireElement>),
    Scalar((f64, String)),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct WireElement {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Vector {
    /// Reads an answer: a vector, or a scalar as one value without labels. Errors: what Prometheus says, or what is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let reply: Reply =
            serde_json::from_slice(body).map_err(|error| format!("unreadable answer: {error}"))?;
        if reply.status != "success" {
            return Err(format!("{}: {}", reply.error_type, reply.error));
        }
        let wire = match reply.data {
            Some(Data::Vector(elements)) => elements,
            Some(Data::Scalar(value)) => vec![WireElement { metric: BTreeMap::new(), value }],
            Some(Data::Matrix(_)) => {
                return Err("the query gives a matrix, not one value per object".to_owned());
            }
            Some(Data::String(_)) => return Err("the query gives a string, not values".to_owned()),
            None => return Err("unreadable answer: no data in it".to_owned()),
        };
        let elements = wire.into_iter().filter_map(WireElement::number).collect();
        Ok(Self { elements })
    }
}

impl WireElement {
    /// NaN and infinities are missing, never 0.
    fn number(self) -> Option<Element> {
        let value = MilliValue::from_f64_truncated(self.value.1.parse().ok()?)?;
        let time =
            Timestamp::from_millisecond(MilliValue::from_f64_truncated(self.value.0 + 0.0005)?.milli())
                .ok()?;
        Some(Element { labels: self.metric, value, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_vectors_and_scalars() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"pod":"p"},"value":[1800000000.5,"1.2349"]},{"metric":{},"value":[1,"NaN"]},{"metric":{},"value":[1,"+Inf"]}]}}"#;
        let vector = Vector::parse(body.as_bytes()).expect("readable");
        assert_eq!(vector.elements.len(), 1, "what is no number is missing");
        assert_eq!(vector.elements[0].value.milli(), 1234);
        assert_eq!(vector.elements[0].time.as_millisecond(), 1_800_000_000_500);
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1800000000,"7"]}}"#;
        let vector = Vector::parse(scalar.as_bytes()).expect("readable");
        assert!(vector.elements[0].labels.is_empty());
    }

    #[test]
    fn failures_say_what_is_wrong() {
        for (body, want) in [
            (r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#, "bad_data: parse error"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#, "a matrix"),
            (r#"{"status":"success","data":{"resultType":"string","result":[1,"x"]}}"#, "a string"),
            (r#"{"status":"success"}"#, "no data"),
            ("<html>", "unreadable answer"),
        ] {
            let error = Vector::parse(body.as_bytes()).expect_err(body);
            assert!(error.contains(want), "{body}: {error}");
        }
    }
}
