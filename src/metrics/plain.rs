//! [`PlainRules`]: signals of the user's own, written as a bare query: `{name, query, per: pod}`.
//!
//! They stand under `rules` of the same file that the adapter reads. Its other rules, in prometheus-adapter's form, are none of the
//! library's business and are counted only.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    metrics::{Definition, Fold, Signal, Unit},
    units::GatewayDuration,
};

/// The signals that a file of rules adds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlainRules {
    /// The sound ones.
    pub signals: Vec<Signal>,
    /// What is wrong with the others: the place in the file and the reason.
    pub left_out: Vec<(String, String)>,
    /// How many rules have another form.
    pub others: usize,
}

/// Why a file holds no rules at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlainRulesError {
    /// It is not YAML.
    #[error("not a YAML file: {0}")]
    Yaml(String),
    /// There is no list of rules where one belongs.
    #[error("rules: expected a list")]
    NoList,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRule {
    name: String,
    query: String,
    #[serde(default)]
    per: Option<String>,
    #[serde(default)]
    window: Option<String>,
    #[serde(default)]
    fold: Option<Fold>,
    #[serde(default)]
    meaning: String,
}

impl PlainRules {
    /// Reads a file of rules. A bad rule is left out and told of; the others go on.
    pub fn read(text: &str) -> Result<Self, PlainRulesError> {
        let document: Value =
            serde_saphyr::from_str(text).map_err(|error| PlainRulesError::Yaml(first_line(&error)))?;
        let rules = match document.get("rules") {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Array(rules)) => rules,
            Some(_) => return Err(PlainRulesError::NoList),
        };
        let mut read = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            let is_plain = rule.get("query").is_some()
                || (rule.get("per").is_some() && rule.get("seriesQuery").is_none());
            if !is_plain {
                read.others += 1;
                continue;
            }
            match serde_json::from_value(rule.clone()).map_err(|error| error.to_string()).and_then(signal) {
                Ok(signal) => read.signals.push(signal),
                Err(why) => read.left_out.push((format!("rules[{place}]"), why)),
            }
        }
        Ok(read)
    }
}

fn signal(rule: WireRule) -> Result<Signal, String> {
    let WireRule { name, query, per, window, fold, meaning } = rule;
    if name.is_empty() || name.contains(['/', ' ']) {
        return Err(format!("name: {name:?} cannot stand in a policy or a request's path"));
    }
    if query.is_empty() {
        return Err("query: is required".to_owned());
    }
    if let Some(other) = per.filter(|per| !matches!(per.as_str(), "" | "pod")) {
        return Err(format!("per: {other:?} is not supported; only pod is"));
    }
    let window = match window.as_deref() {
        None | Some("" | "0") => Duration::ZERO,
        Some(text) => text.parse::<GatewayDuration>().map_err(|error| format!("window: {error}"))?.get(),
    };
    Ok(Signal {
        name,
        unit: Unit::Unknown,
        window,
        fold: fold.unwrap_or(Fold::Sum),
        idle: None,
        meaning,
        definition: Definition::Query(query),
    })
}

/// The first line says what and where; the others draw it.
fn first_line(error: &serde_saphyr::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_rules_beside_others() {
        let read = PlainRules::read(
            r#"
rules:
- {seriesQuery: x, metricsQuery: y}
- {name: waiting, query: "sum by (namespace, pod) (x)", per: pod, window: 1m, fold: max, meaning: what waits}
- {name: a/b, query: x}
- {query: x}
- {name: a, per: node}
- {name: a, query: x, metricsQuery: y}
- {name: a, query: x, fold: avg}
- {name: a, query: x, window: soon}
externalRules: [{seriesQuery: x}]
"#,
        )
        .expect("reads");
        let signal = &read.signals[0];
        assert_eq!((read.signals.len(), read.others), (1, 1));
        assert_eq!((signal.name.as_str(), signal.fold, signal.window.as_secs()), ("waiting", Fold::Max, 60));
        assert_eq!(signal.query(), "sum by (namespace, pod) (x)");
        for ((place, why), (want_place, want)) in read.left_out.iter().zip([
            ("rules[2]", "name: \"a/b\" cannot stand"),
            ("rules[3]", "missing field `name`"),
            ("rules[4]", "missing field `query`"),
            ("rules[5]", "unknown field `metricsQuery`"),
            ("rules[6]", "unknown variant `avg`"),
            ("rules[7]", "window: \"soon\" is not a duration"),
        ]) {
            assert!(place == want_place && why.starts_with(want), "{place}: {why}");
        }
        assert_eq!(read.left_out.len(), 6);
    }

    #[test]
    fn files_without_rules() {
        assert_eq!(PlainRules::read(""), Ok(PlainRules::default()));
        assert_eq!(PlainRules::read("externalRules: []"), Ok(PlainRules::default()));
        assert_eq!(PlainRules::read("rules: 5"), Err(PlainRulesError::NoList));
        assert!(matches!(PlainRules::read("rules: ["), Err(PlainRulesError::Yaml(_))));
    }
}
