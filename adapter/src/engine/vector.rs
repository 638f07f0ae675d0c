//! [`Vector`]: what Prometheus answers to an instant query, with all labels.

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

use jiff::Timestamp;
use rbg_autoscaler::units::MilliValue;
use serde::Deserialize;

use crate::{custom::unavailable, request::RequestError};

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
    /// Why some may be missing, if the source says so.
    pub partial: Option<String>,
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
    #[serde(flatten)]
    wholeness: Wholeness,
}

/// What an answer of Prometheus' HTTP API says of its own completeness.
#[derive(Debug, Default, Deserialize)]
pub struct Wholeness {
    #[serde(default)]
    warnings: Option<Vec<String>>,
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

impl Wholeness {
    /// Returns why an answer is partial, if it is: what Thanos warns of when a store did not answer, or VictoriaMetrics' own mark.
    /// Remarks about the query are none.
    pub fn partial(self) -> Option<String> {
        let mut warnings = self.warnings.into_iter().flatten();
        let warning = warnings.find(|warning| !warning.starts_with("PromQL "));
        warning.or_else(|| self.is_partial.then(|| "the answer is marked as partial".to_owned()))
    }
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
    /// Native histograms have none.
    #[serde(default)]
    value: Option<(f64, String)>,
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
            Some(Data::Scalar(value)) => vec![WireElement { metric: BTreeMap::new(), value: Some(value) }],
            Some(Data::Matrix(_)) => {
                return Err("the query gives a matrix, not one value per object".to_owned());
            }
            Some(Data::String(_)) => return Err("the query gives a string, not values".to_owned()),
            None => return Err("unreadable answer: no data in it".to_owned()),
        };
        let elements = wire.into_iter().filter_map(WireElement::number).collect();
        Ok(Self { elements, partial: reply.wholeness.partial(), index: OnceLock::new() })
    }

    /// Refuses a partial answer where a number may be a total: it would be too low, and the HPA would take away replicas for it.
    pub fn whole(&self) -> Result<(), RequestError> {
        match &self.partial {
            None => Ok(()),
            Some(why) => {
                Err(unavailable(format!("unable to fetch metrics: a part of the answer is missing: {why}")))
            }
        }
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
        let (time, value) = self.value?;
        let value = MilliValue::from_f64_truncated(value.parse().ok()?)?;
        let time =
            Timestamp::from_millisecond(MilliValue::from_f64_truncated(time + 0.0005)?.milli()).ok()?;
        Some(Element { labels: self.metric, value, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_answer_says_so() {
        let answer = |more: &str| {
            let body =
                format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[]}}{more}}}"#);
            Vector::parse(body.as_bytes()).expect("readable").whole().map_err(|error| error.message)
        };
        let store = "receive series from Addr: store:10901: context deadline exceeded";
        for (more, want) in [
            ("", None),
            (r#","warnings":null,"isPartial":false"#, None),
            (r#","warnings":["PromQL warning: a mix of histograms"],"infos":["PromQL info: x"]"#, None),
            (&*format!(r#","warnings":["PromQL info: x","{store}"]"#), Some(store)),
            (r#","isPartial":true"#, Some("the answer is marked as partial")),
        ] {
            let why = |why| format!("unable to fetch metrics: a part of the answer is missing: {why}");
            assert_eq!(answer(more).err(), want.map(why), "{more}");
        }
    }

    #[test]
    fn native_histograms_are_left_out() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"pod":"p"},"histogram":[1800000000,{"count":"1","sum":"2"}]},{"metric":{"pod":"q"},"value":[1800000000,"1"]}]}}"#;
        assert_eq!(Vector::parse(body.as_bytes()).expect("readable").elements.len(), 1);
    }

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
