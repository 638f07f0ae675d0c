//! The HPA's own figures, asked through snapshot documents: text in, decision out, as the command line does it.

mod document;

use serde_json::Value;

use super::{DecisionDocument, ScalingSnapshot};

/// Left out by name: they are about reading the scale and its selector, or about metric types that no parser lets in.
const LEFT_OUT: [&str; 6] = [
    "TestConditionAmbiguousSelectorWhenFullSelectorOverlapBetweenHPAs",
    "TestConditionAmbiguousSelectorWhenPartialSelectorOverlapBetweenHPAs",
    "TestConditionInvalidSelectorMissing",
    "TestConditionInvalidSelectorUnparsable",
    "TestScaleUpBothMetricsEmpty",
    "TestScaleUpOneMetricInvalid",
];

fn vectors() -> Vec<Value> {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../../../testdata/hpa-vectors.json"))
        .expect("the vectors are JSON");
    vectors.into_iter().filter(|vector| !LEFT_OUT.contains(&text(vector, "name"))).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value} is no text"))
}

/// Decides a document as `kubectl rbga decide` does and returns the answer as JSON.
fn decide(document: &Value) -> Result<Value, String> {
    let yaml = serde_saphyr::to_string(document).map_err(|error| error.to_string())?;
    let snapshot = ScalingSnapshot::parse(&yaml).map_err(|error| error.to_string())?;
    let input = snapshot.into_input(document::now()).map_err(|error| error.to_string())?;
    let answer = DecisionDocument::new(&input.policy, input.decide());
    serde_json::to_value(answer).map_err(|error| error.to_string())
}

/// Compares what `expect` names; returns what differs.
fn compare(vector: &Value, answer: &Value) -> Vec<String> {
    let expect = &vector["expect"];
    let role = &answer["roles"]["role"];
    let mut wrong = Vec::new();
    let mut check = |what: &str, got: Value, want: &Value| {
        if got != *want {
            wrong.push(format!("{what} is {got}, want {want}"));
        }
    };
    match text(vector, "scope") {
        "metric" => {
            let metric = &role["metrics"][0];
            for (key, want) in expect.as_object().into_iter().flatten() {
                match key.as_str() {
                    "replicas" => check(key, metric["proposedReplicas"].clone(), want),
                    "utilization" => check(key, metric["current"]["averageUtilization"].clone(), want),
                    "usageMilli" => check(key, usage(&metric["current"]), want),
                    "error" => {
                        let error = metric["error"].as_str().unwrap_or_default();
                        let there = error.contains(want.as_str().unwrap_or_default());
                        check(&format!("error {error:?}"), there.into(), &Value::Bool(true));
                    }
                    other => check(other, Value::Null, want),
                }
            }
        }
        "rate" | "stabilize" => {
            check("replicas", role["desiredReplicas"].clone(), &expect["replicas"]);
            let condition = if text(vector, "scope") == "rate" { "ScalingLimited" } else { "AbleToScale" };
            if let Some(reason) = expect.get("reason") {
                check("reason", condition_of(role, condition)["reason"].clone(), reason);
            }
        }
        _ => {
            check("desiredReplicas", role["desiredReplicas"].clone(), &expect["desiredReplicas"]);
            let writes = !answer["writes"].as_array().is_some_and(Vec::is_empty);
            check("scaleUpdated", writes.into(), &expect["scaleUpdated"]);
            if let Some(percent) = expect.get("cpuUtilization") {
                check("cpuUtilization", role["metrics"][0]["current"]["averageUtilization"].clone(), percent);
            }
            for want in expect["conditions"].as_array().into_iter().flatten() {
                let got = condition_of(role, text(want, "type"));
                check(&format!("{} status", want["type"]), got["status"].clone(), &want["status"]);
                // Conditions are those before a write.
                if want["reason"] != "SucceededRescale" {
                    check(&format!("{} reason", want["type"]), got["reason"].clone(), &want["reason"]);
                }
            }
            let count = |value: &Value| value.as_array().map_or(0, Vec::len);
            check("conditions", count(&role["conditions"]).into(), &count(&expect["conditions"]).into());
        }
    }
    wrong
}

fn condition_of<'a>(role: &'a Value, type_: &str) -> &'a Value {
    role["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == type_)
        .unwrap_or(&Value::Null)
}

fn usage(current: &Value) -> Value {
    let quantity = current.get("averageValue").or_else(|| current.get("value")).and_then(Value::as_str);
    quantity
        .and_then(|quantity| quantity.parse::<crate::units::MilliValue>().ok())
        .map_or(Value::Null, |value| value.milli().into())
}

#[test]
fn documents_give_the_figures_of_the_hpa() {
    let mut asked = 0;
    let mut wrong = Vec::new();
    for vector in vectors() {
        let name = text(&vector, "name");
        let input = &vector["input"];
        let document = match text(&vector, "scope") {
            "metric" => document::of_metric(input),
            "reconcile" => document::of_pass(input),
            "rate" => document::of_rate(input),
            "stabilize" => document::of_windows(input),
            _ => continue,
        };
        asked += 1;
        match decide(&document) {
            Ok(answer) => {
                wrong.extend(compare(&vector, &answer).into_iter().map(|what| format!("{name}: {what}")));
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(asked, 147, "vectors were asked");
}
