//! [`PlainRule`]: a metric by a bare PromQL query, `{name, query, per: pod}`.

use std::time::Duration;

use rbg_autoscaler::metrics::{Definition, Fold, Signal, Unit};

use crate::rules::{
    decode::{Fields, Problems},
    id::RuleId,
    yaml::{Kind, Node},
};

const KEYS: [&str; 6] = ["name", "query", "per", "window", "fold", "meaning"];

/// A query over the whole cluster whose answer carries the labels `namespace` and `pod`.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainRule {
    /// The rule's place.
    pub id: RuleId,
    /// The metric's name.
    pub name: String,
    /// The PromQL.
    pub query: String,
    /// What the values are taken over.
    pub window: Duration,
    /// How the values of several pods of one replica become one.
    pub fold: Fold,
    /// What people are told that it is.
    pub meaning: String,
}

impl PlainRule {
    /// Says whether an entry of `rules` has the plain form.
    pub fn is_plain(node: &Node) -> bool {
        let Kind::Map(entries) = &node.kind else { return false };
        let has = |key: &str| entries.iter().any(|(name, _)| name == key);
        has("query") || (has("per") && !has("seriesQuery"))
    }

    /// Decodes a rule. Errors: everything that is wrong with it, in one text.
    pub fn decode(node: &Node, id: RuleId) -> Result<Self, String> {
        let problems = Problems::default();
        let fields = Fields::of(node, "", &KEYS, &problems);
        let name = fields.required_text("name");
        if name.contains(['/', ' ']) {
            fields.problem("name", format_args!("{name:?} cannot stand in a request's path"));
        }
        let query = fields.required_text("query");
        let per = fields.text("per");
        if !matches!(per.as_str(), "" | "pod") {
            fields.problem("per", format_args!("{per:?} is not supported; only pod is"));
        }
        let fold = match fields.text("fold").as_str() {
            "" | "sum" => Fold::Sum,
            "max" => Fold::Max,
            other => {
                fields.problem("fold", format_args!("{other:?} is neither sum nor max"));
                Fold::Sum
            }
        };
        let (window, meaning) = (fields.duration("window"), fields.text("meaning"));
        match problems.message() {
            None => Ok(Self { id, name, query, window, fold, meaning }),
            Some(message) => Err(message),
        }
    }

    /// Returns the rule as a signal, which the collector asks for like its own.
    pub fn signal(&self) -> Signal {
        Signal {
            name: self.name.clone(),
            unit: Unit::Unknown,
            window: self.window,
            fold: self.fold,
            idle: None,
            meaning: self.meaning.clone(),
            definition: Definition::Query(self.query.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rbg_autoscaler::metrics::plain::PlainRules;

    use super::*;
    use crate::rules::yaml;

    fn decode(text: &str) -> Result<PlainRule, String> {
        let node = yaml::parse(text).expect("YAML");
        assert!(PlainRule::is_plain(&node), "{text}");
        PlainRule::decode(&node, RuleId::Custom(0))
    }

    #[test]
    fn a_plain_rule_becomes_a_signal() {
        let rule =
            decode("{name: waiting, query: 'sum by (namespace, pod) (x)', per: pod, window: 1m, fold: max}")
                .expect("decodes");
        let signal = rule.signal();
        assert_eq!((signal.name.as_str(), signal.fold), ("waiting", Fold::Max));
        assert_eq!(signal.window, Duration::from_mins(1));
        assert_eq!(signal.value_query(), "sum by (namespace, pod) (x)");
    }

    /// The controller reads the same rules with the library's own reader.
    #[test]
    fn the_controller_reads_the_same() {
        for rule in [
            "{name: a, query: x, per: pod, window: 1m, fold: max, meaning: m}",
            "{name: a, query: x}",
            "{name: a, query: ''}",
            "{name: '', query: x}",
            "{name: a/b, query: x}",
            "{name: a, per: pod}",
            "{name: a, query: x, per: node}",
            "{name: a, query: x, fold: avg}",
            "{name: a, query: x, window: soon}",
            "{name: a, query: x, other: y}",
        ] {
            let read = PlainRules::read(&format!("rules: [{rule}]")).expect("reads");
            let ours = decode(rule).ok().map(|rule| rule.signal());
            assert_eq!(read.signals.first(), ours.as_ref(), "{rule}: {:?}", read.left_out);
        }
    }

    #[test]
    fn mistakes_name_their_field() {
        for (text, want) in [
            ("{query: x}", "name: is required"),
            ("{name: a, per: pod}", "query: is required"),
            ("{name: a/b, query: x}", "name: \"a/b\" cannot stand"),
            ("{name: a, query: x, per: node}", "per: \"node\" is not supported"),
            ("{name: a, query: x, fold: avg}", "fold: \"avg\" is neither"),
            ("{name: a, query: x, metricsQuery: y}", "metricsQuery: unknown field"),
        ] {
            let error = decode(text).expect_err(text);
            assert!(error.starts_with(want), "{text}: {error}");
        }
    }
}
