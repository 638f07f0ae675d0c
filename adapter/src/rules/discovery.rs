//! [`DiscoveryRule`]: one entry of `rules` or `externalRules`, decoded and checked.

use std::sync::Arc;

use crate::rules::{
    association::{Association, Bound},
    decode::{Fields, Problems},
    id::RuleId,
    naming::Naming,
    query::{Filling, MetricsQuery},
    resources::ResourceMap,
    series::SeriesSelector,
    yaml::{Kind, Node},
};

const KEYS: [&str; 5] = ["seriesQuery", "seriesFilters", "resources", "name", "metricsQuery"];

/// A rule that finds series and makes metrics of them.
#[derive(Clone, Debug)]
pub struct DiscoveryRule {
    /// The rule's place, such as `rules[2]`.
    pub id: RuleId,
    /// `seriesQuery`
    pub series: SeriesSelector,
    /// `seriesFilters` and `name`
    pub naming: Naming,
    /// `resources`
    pub association: Association,
    /// `metricsQuery`
    pub query: MetricsQuery,
}

/// A rule whose kinds of objects were looked up in a cluster.
#[derive(Clone, Debug)]
pub struct BoundRule {
    /// The rule.
    pub rule: DiscoveryRule,
    /// Its labels and kinds.
    pub labels: Bound,
}

impl DiscoveryRule {
    /// Decodes a rule. Errors: everything that is wrong with it, in one text.
    pub fn decode(node: &Node, id: RuleId) -> Result<Self, String> {
        let external = matches!(id, RuleId::External(_));
        let problems = Problems::default();
        let fields = Fields::of(node, "", &KEYS, &problems);
        if !matches!(node.kind, Kind::Map(_)) && !node.is_null() {
            return Err(problems.message().unwrap_or_default());
        }
        let series_text = fields.required_text("seriesQuery");
        let series = SeriesSelector::parse(&series_text);
        if let (Err(error), false) = (&series, series_text.is_empty()) {
            fields.problem("seriesQuery", error);
        }
        let naming = Naming::decode(&fields);
        let association = Association::decode(&fields);
        let query_text = fields.required_text("metricsQuery");
        let query = MetricsQuery::parse(&query_text).map_err(|error| error.to_string()).and_then(|query| {
            tried(&query, external)?;
            Ok(query)
        });
        if let (Err(error), false) = (&query, query_text.is_empty()) {
            fields.problem("metricsQuery", error);
        }
        if let Some(message) = problems.message() {
            return Err(message);
        }
        let (Ok(series), Some(naming), Some(association), Ok(query)) = (series, naming, association, query)
        else {
            return Err("not understood".to_owned());
        };
        Ok(Self { id, series, naming, association, query })
    }

    /// Looks the rule's kinds up.
    pub fn bind(self, map: &Arc<ResourceMap>) -> Result<BoundRule, String> {
        let labels = self.association.bind(map)?;
        Ok(BoundRule { rule: self, labels })
    }
}

/// Fills a template with stand-ins, so that one that can never work is refused when it is loaded.
fn tried(query: &MetricsQuery, external: bool) -> Result<(), String> {
    let label = ["label".to_owned()];
    let namespace = Some(("namespace", "name"));
    let base = Filling { series: "series", ..Filling::default() };
    let fillings = if external {
        vec![base.clone(), Filling { namespace, ..base }]
    } else {
        let objects =
            |names| Filling { namespace, objects: Some(("label", names)), group_by: &label, ..base.clone() };
        let root = Filling { namespace: None, ..objects(&["one"]) };
        vec![objects(&["one"]), objects(&["one", "two"]), root]
    };
    first_success(fillings.iter().map(|filling| query.build(filling).map_err(|error| error.to_string())))
}

/// Succeeds when one of several attempts does, else tells the first failure.
pub(super) fn first_success(attempts: impl Iterator<Item = Result<String, String>>) -> Result<(), String> {
    let mut first = Ok(());
    for attempt in attempts {
        match attempt {
            Ok(_) => return Ok(()),
            Err(error) if first.is_ok() => first = Err(error),
            Err(_) => {}
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::yaml;

    fn decode(text: &str) -> Result<DiscoveryRule, String> {
        DiscoveryRule::decode(&yaml::parse(text).expect("YAML"), RuleId::Custom(0))
    }

    #[test]
    fn decodes_the_documented_form() {
        let rule = decode(
            r#"
seriesQuery: 'queue_length{namespace!="",pod!=""}'
seriesFilters: [{is: '^queue'}]
resources: {template: "kube_<<.Group>>_<<.Resource>>", overrides: {label: {group: apps, resource: deployment}}, namespaced: false}
name: {matches: "^(.*)_length$", as: "${1}_per_second"}
metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)'
"#,
        )
        .expect("decodes");
        assert_eq!(rule.series.matchers().len(), 3);
        assert_eq!(rule.naming.metric("queue_length").as_deref(), Some("queue_per_second"));
        assert!(!rule.association.namespaced && rule.query.groups());
        assert_eq!(rule.association.overrides()[0].1.to_string(), "deployment.apps");
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        for (text, want) in [
            ("{}", vec!["seriesQuery: is required", "metricsQuery: is required"]),
            ("[]", vec!["expected a mapping, found a list (line 1)"]),
            (
                "{seriesQuery: x, metricsQuery: y, metricQuery: z}",
                vec!["metricQuery: unknown field (line 1), expected one of seriesQuery"],
            ),
            (
                "{seriesQuery: x, seriesQuery: x, metricsQuery: y}",
                vec!["seriesQuery: duplicate field (line 1)"],
            ),
            ("{seriesQuery: 'x{', metricsQuery: y}", vec!["seriesQuery: expected a label name"]),
            ("{seriesQuery: x, metricsQuery: '<<.Nope>>'}", vec!["metricsQuery: unknown field .Nope"]),
            ("{seriesQuery: x, metricsQuery: '<<.Series'}", vec!["metricsQuery: unclosed action"]),
            (
                "{seriesQuery: x, metricsQuery: '<<index .GroupBySlice 1>>'}",
                vec!["metricsQuery: the query template fails: index out of range: 1"],
            ),
            (
                "{seriesQuery: x, metricsQuery: '<<- \"\" ->> '}",
                vec!["metricsQuery: the query template makes an empty"],
            ),
            ("{seriesQuery: x, metricsQuery: y, name: {as: [1]}}", vec!["name.as: expected a string"]),
        ] {
            let error = decode(text).expect_err(text);
            for part in want {
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }

    #[test]
    fn an_error_that_depends_on_the_request_is_not_refused() {
        assert!(
            decode("{seriesQuery: x, metricsQuery: '<<if index .LabelValuesByName \"namespace\">>x<<end>>'}")
                .is_ok()
        );
    }
}
