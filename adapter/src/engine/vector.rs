//! [`Vector`]: what Prometheus answers to an instant query, with all labels.

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

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
    /// The label that was asked about first, and the places of the elements by its values.
    index: OnceLock<(String, HashMap<String, Vec<usize>>)>,
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
        Ok(Self { elements, index: OnceLock::new() })
    }

    /// Returns the elements whose label has a value. Many ask about the same label, so that one is looked up.
    pub fn labelled(&self, label: &str, value: &str) -> Vec<&Element> {
        let (indexed, places) = self.index.get_or_init(|| {
            let mut places: HashMap<String, Vec<usize>> = HashMap::new();
            for (place, element) in self.elements.iter().enumerate() {
                let Some(value) = element.labels.get(label) else { continue };
                match places.get_mut(value) {
                    Some(known) => known.push(place),
                    None => _ = places.insert(value.clone(), vec![place]),
                }
            }
            (label.to_owned(), places)
        });
        if indexed == label {
            let places = places.get(value).map(Vec::as_slice).unwrap_or_default();
            return places.iter().filter_map(|place| self.elements.get(*place)).collect();
        }
        let is_wanted = |element: &&Element| element.labels.get(label).is_some_and(|found| found == value);
        self.elements.iter().filter(is_wanted).collect()
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
    fn elements_are_found_by_any_label() {
        let element = |a: &str, b: &str| format!(r#"{{"metric":{{"a":"{a}","b":"{b}"}},"value":[1,"1"]}}"#);
        let result = [element("1", "x"), element("2", "x"), element("1", "y")].join(",");
        let body = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#);
        let vector = Vector::parse(body.as_bytes()).expect("readable");
        for (label, value, count) in
            [("a", "1", 2), ("a", "3", 0), ("b", "x", 2), ("b", "y", 1), ("c", "1", 0)]
        {
            assert_eq!(vector.labelled(label, value).len(), count, "{label}={value}");
        }
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
