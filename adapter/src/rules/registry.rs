//! [`Registry`]: which metrics exist, and which rule and series are behind each.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    request::{CUSTOM_GROUP, EXTERNAL_GROUP, GroupResource},
    rules::{
        config::BoundRules,
        discovery::BoundRule,
        id::{Finding, RuleId},
        series::SeriesShape,
    },
};

/// A warning names this many metrics.
const NAMED_AT_MOST: usize = 3;

/// The metrics of a rule set, given the series that exist.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    custom: BTreeMap<(GroupResource, String), Origin>,
    external: BTreeMap<String, Origin>,
    collisions: Vec<Finding>,
}

/// What is behind a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The rule.
    pub rule: RuleId,
    /// Where it stands among the bound rules of its kind.
    pub place: usize,
    /// The series; `None` for a rule of the plain form.
    pub series: Option<String>,
}

/// A metric as discovery shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exposed {
    /// The API group.
    pub api: &'static str,
    /// `<resource>/<metric>`, or the bare name of an external metric.
    pub name: String,
    /// What discovery says of it.
    pub namespaced: bool,
    /// The rule behind it.
    pub rule: RuleId,
    /// The series behind it.
    pub series: Vec<String>,
}

/// Says whether metrics of a kind are asked for within a namespace: of all kinds but these three.
pub fn is_namespaced(kind: &GroupResource) -> bool {
    !(kind.group.is_empty() && matches!(&*kind.resource, "namespaces" | "nodes" | "persistentvolumes"))
}

/// Metrics that one origin takes from another, by the two of them.
type Taken = BTreeMap<(RuleId, RuleId, String), Vec<String>>;

impl Registry {
    /// Names the metrics of all rules, given the series that each rule's query finds.
    ///
    /// Of two rules, or two series, that make the same metric the later one wins; a finding tells of it.
    pub fn build<'a>(rules: &BoundRules, series: impl Fn(&BoundRule) -> &'a [SeriesShape]) -> Self {
        let mut registry = Self::default();
        let mut taken = Taken::new();
        for (place, rule) in rules.custom.iter().enumerate() {
            for shape in series(rule) {
                let Some(metric) = rule.rule.naming.metric(&shape.name) else { continue };
                for kind in kinds_of(rule, shape) {
                    let shown = format!("{kind}/{metric}");
                    let origin =
                        Origin { rule: rule.rule.id.clone(), place, series: Some(shape.name.clone()) };
                    let before = registry.custom.insert((kind, metric.clone()), origin.clone());
                    note(&mut taken, before, &origin, shown);
                }
            }
        }
        for (place, rule) in rules.plain.iter().enumerate() {
            let key = (GroupResource::new("", "pods"), rule.name.clone());
            let shown = format!("pods/{}", rule.name);
            let origin = Origin { rule: rule.id.clone(), place, series: None };
            match registry.custom.get(&key) {
                Some(other) if other.rule > rule.id => note(&mut taken, Some(origin), other, shown),
                _ => {
                    let before = registry.custom.insert(key, origin.clone());
                    note(&mut taken, before, &origin, shown);
                }
            }
        }
        for (place, rule) in rules.external.iter().enumerate() {
            for shape in series(rule) {
                let Some(metric) = rule.rule.naming.metric(&shape.name) else { continue };
                let origin = Origin { rule: rule.rule.id.clone(), place, series: Some(shape.name.clone()) };
                let before = registry.external.insert(metric.clone(), origin.clone());
                note(&mut taken, before, &origin, metric);
            }
        }
        registry.collisions = findings(taken);
        registry
    }

    /// Returns what is behind a metric of a kind of object.
    pub fn custom(&self, kind: &GroupResource, metric: &str) -> Option<&Origin> {
        self.custom.get(&(kind.clone(), metric.to_owned()))
    }

    /// Returns what is behind an external metric.
    pub fn external(&self, metric: &str) -> Option<&Origin> {
        self.external.get(metric)
    }

    /// Returns all metrics, sorted by API and name.
    pub fn exposed(&self) -> Vec<Exposed> {
        let series = |origin: &Origin| origin.series.iter().cloned().collect();
        let mut exposed: Vec<Exposed> = self
            .custom
            .iter()
            .map(|((kind, metric), origin)| Exposed {
                api: CUSTOM_GROUP,
                name: format!("{kind}/{metric}"),
                namespaced: is_namespaced(kind),
                rule: origin.rule.clone(),
                series: series(origin),
            })
            .collect();
        exposed.extend(self.external.iter().map(|(metric, origin)| Exposed {
            api: EXTERNAL_GROUP,
            name: metric.clone(),
            // Upstream says so even of rules that ignore the namespace.
            namespaced: true,
            rule: origin.rule.clone(),
            series: series(origin),
        }));
        exposed.sort_by(|a, b| (a.api, &a.name).cmp(&(b.api, &b.name)));
        exposed
    }

    /// Returns the kinds of objects that a rule has metrics of.
    pub fn kinds_of(&self, rule: &RuleId) -> Vec<GroupResource> {
        let mut kinds: Vec<GroupResource> = self
            .custom
            .iter()
            .filter(|(_, origin)| origin.rule == *rule)
            .map(|((kind, _), _)| kind.clone())
            .collect();
        kinds.dedup();
        kinds
    }

    /// Returns what was overwritten: for each pair of rules one finding, named for the rule that won.
    pub fn collisions(&self) -> &[Finding] {
        &self.collisions
    }
}

/// The kinds that the labels of a series name, each once.
fn kinds_of(rule: &BoundRule, shape: &SeriesShape) -> Vec<GroupResource> {
    let mut kinds: Vec<GroupResource> = Vec::new();
    for label in &shape.labels {
        if let Some(kind) = rule.labels.kind_of(label)
            && !kinds.contains(&kind)
        {
            kinds.push(kind);
        }
    }
    kinds
}

fn note(taken: &mut Taken, before: Option<Origin>, winner: &Origin, metric: String) {
    let Some(before) = before else { return };
    if before.rule == winner.rule && before.series == winner.series {
        return;
    }
    let from = match (&before.series, &winner.series) {
        (Some(series), Some(winner)) if series != winner => format!("series {series}, by {winner}"),
        _ => String::new(),
    };
    let metrics = taken.entry((winner.rule.clone(), before.rule, from)).or_default();
    if !metrics.contains(&metric) {
        metrics.push(metric);
    }
}

fn findings(taken: Taken) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ((winner, loser, from), metrics) in taken {
        let more = metrics.len().saturating_sub(NAMED_AT_MOST);
        let mut named = metrics.into_iter().take(NAMED_AT_MOST).collect::<Vec<_>>().join(", ");
        if more > 0 {
            named = format!("{named} and {more} more");
        }
        let message = match (winner == loser, from.is_empty()) {
            (true, _) => format!("overwrites its own {named} made of {from}: only the last series answers"),
            (false, true) => format!("overwrites {named} of {loser}"),
            (false, false) => format!("overwrites {named} of {loser} made of {from}"),
        };
        findings.push(Finding::new(&winner, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rules::{config::RuleSet, resources::ResourceMap};

    fn registry(config: &str, series: &[(&str, &[&str])]) -> Registry {
        let rules = RuleSet::load(config).expect("loads").bind(&Arc::new(ResourceMap::built_in()));
        assert_eq!(rules.errors, [], "{config}");
        let shapes: Vec<SeriesShape> = series
            .iter()
            .map(|(name, labels)| SeriesShape {
                name: (*name).to_owned(),
                labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            })
            .collect();
        Registry::build(&rules, |_| &shapes)
    }

    fn names(registry: &Registry) -> Vec<String> {
        let show = |e: Exposed| {
            format!("{}{} {} {:?}", e.name, if e.namespaced { "" } else { "!" }, e.rule, e.series)
        };
        registry.exposed().into_iter().map(show).collect()
    }

    #[test]
    fn every_label_that_names_a_kind_makes_a_metric() {
        let config = "rules: [{seriesQuery: x, metricsQuery: y, name: {matches: '^(.*)_total$'}, resources: {template: '<<.Resource>>', overrides: {ns: {resource: namespace}}}}]";
        let labels = &["ns", "pod", "job", "node", "instance", "storageclass", "le"][..];
        let registry = registry(config, &[("a_total", labels), ("b", labels)]);
        assert_eq!(
            names(&registry),
            [
                "jobs.batch/a rules[0] [\"a_total\"]",
                "namespaces/a! rules[0] [\"a_total\"]",
                "nodes/a! rules[0] [\"a_total\"]",
                "pods/a rules[0] [\"a_total\"]",
                "storageclasses.storage.k8s.io/a rules[0] [\"a_total\"]",
            ]
        );
        assert!(registry.collisions().is_empty());
        assert_eq!(registry.kinds_of(&RuleId::Custom(0)).len(), 5);
    }

    #[test]
    fn the_later_rule_and_the_later_series_win() {
        let config = "
rules:
- {seriesQuery: x, metricsQuery: y, name: {as: m}, resources: {overrides: {pod: {resource: pod}}}}
- {name: m, query: q}
- {seriesQuery: x, metricsQuery: y, seriesFilters: [{is: b}], name: {as: m}, resources: {overrides: {pod: {resource: pod}}}}
- {name: n, query: q}
externalRules:
- {seriesQuery: x, metricsQuery: y, name: {as: m}}
- {seriesQuery: x, metricsQuery: y}
";
        let registry = registry(config, &[("a", &["pod"]), ("b", &["pod"]), ("b", &["pod", "x"])]);
        assert_eq!(
            names(&registry),
            [
                "pods/m rules[2] [\"b\"]",
                "pods/n rules[3] []",
                "a externalRules[1] [\"a\"]",
                "b externalRules[1] [\"b\"]",
                "m externalRules[0] [\"b\"]",
            ]
        );
        let findings: Vec<_> = registry.collisions().iter().map(ToString::to_string).collect();
        assert_eq!(
            findings,
            [
                "rules[0]: overwrites its own pods/m made of series a, by b: only the last series answers",
                "rules[2]: overwrites pods/m of rules[0]",
                "rules[2]: overwrites pods/m of rules[1]",
                "externalRules[0]: overwrites its own m made of series a, by b: only the last series answers",
            ]
        );
    }
}
