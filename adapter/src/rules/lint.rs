//! Warnings about rules that load but surely mislead: each is one that users ran into.

use promql_parser::parser::Expr;

use crate::{
    request::GroupResource,
    rules::{
        discovery::BoundRule,
        id::Finding,
        promql,
        query::Filling,
        registry::is_namespaced,
        rulebook::Rulebook,
        series::{MatchOp, Matcher, NAME_LABEL},
    },
};

/// Stands for the values of a request, which no matcher of a rule names.
const SOME: &str = "rbga-some";
/// Stands for the series where a rule does not name one.
const SERIES: &str = "rbga_some_series";

/// Returns the warnings about all rules, in the order of the file.
pub fn lint(book: &Rulebook) -> Vec<Finding> {
    let mut findings = book.registry().collisions().to_vec();
    for rule in &book.rules().custom {
        let messages = [names(rule), doubled(rule), custom(rule, &kinds_of(book, rule))].concat();
        findings.extend(messages.into_iter().map(|message| Finding::new(&rule.rule.id, message)));
    }
    for rule in &book.rules().external {
        let messages = [names(rule), doubled(rule), external(rule)].concat();
        findings.extend(messages.into_iter().map(|message| Finding::new(&rule.rule.id, message)));
    }
    for rule in &book.rules().plain {
        let messages = match promql::parse(&rule.query) {
            Ok(expr) => lost(&expr, &["namespace", "pod"]).into_iter().collect(),
            Err(error) => vec![unparsed("query", &error)],
        };
        findings.extend(messages.into_iter().map(|message| Finding::new(&rule.id, message)));
    }
    findings.sort_by(|a, b| a.rule.cmp(&b.rule));
    findings
}

/// The kinds that a rule has metrics of, or would have.
fn kinds_of(book: &Rulebook, rule: &BoundRule) -> Vec<GroupResource> {
    let mut kinds = book.registry().kinds_of(&rule.rule.id);
    for kind in rule.labels.overridden_kinds() {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if kinds.is_empty() {
        kinds.push(GroupResource::new("", "pods"));
    }
    kinds
}

fn names(rule: &BoundRule) -> Vec<String> {
    let naming = &rule.rule.naming;
    let unknown = naming.matches().unknown_groups(naming.template());
    let fix = |name: &String| match name.split_once('_') {
        Some((group, rest)) if group.bytes().all(|b| b.is_ascii_digit()) && !group.is_empty() => {
            format!("; write ${{{group}}}_{rest}")
        }
        _ => String::new(),
    };
    let tell = |name: &String| {
        format!(
            "name.as: ${name} is the group {name:?}, which name.matches does not have: it is empty{}",
            fix(name)
        )
    };
    unknown.iter().map(tell).collect()
}

fn doubled(rule: &BoundRule) -> Vec<String> {
    let tell = |(kind, labels): (GroupResource, Vec<String>)| {
        format!(
            "resources.overrides: {} all name {kind}; queries use {}, the first",
            labels.join(", "),
            labels[0]
        )
    };
    rule.labels.doubled().into_iter().map(tell).collect()
}

fn unparsed(field: &str, error: &str) -> String {
    format!("{field} is not PromQL as we know it, so it could not be checked: {error}")
}

fn lost(expr: &Expr, labels: &[&str]) -> Option<String> {
    let lost: Vec<_> = labels.iter().filter(|label| !promql::can_carry(expr, label)).copied().collect();
    (!lost.is_empty()).then(|| {
        let names = lost.join(", ");
        format!("the answer of the query lacks the label {names}, so no value can be matched to an object")
    })
}

fn custom(rule: &BoundRule, kinds: &[GroupResource]) -> Vec<String> {
    if rule.rule.association.is_empty() {
        return vec![
            "resources has neither a template nor overrides: no object has these metrics".to_owned(),
        ];
    }
    let mut messages: Vec<String> = Vec::new();
    let namespace_label = rule.labels.label_of(&GroupResource::new("", "namespaces"));
    let mut matchers_told = false;
    // Kinds with namespaces first: their queries hold the most matchers.
    let mut kinds = kinds.to_vec();
    kinds.sort_by_key(|kind| !is_namespaced(kind));
    for kind in &kinds {
        let namespaced = is_namespaced(kind);
        let label = match (rule.labels.label_of(kind), &namespace_label) {
            (Err(error), _) => {
                messages.push(format!("metrics of {kind} have no query: {error}"));
                continue;
            }
            (Ok(_), Err(error)) if namespaced => {
                messages.push(format!("metrics of {kind} have no query: {error}"));
                continue;
            }
            (Ok(label), _) => label,
        };
        let namespace = namespace_label.as_deref().ok().filter(|_| namespaced);
        let expr = match expression(rule, namespace, Some(&label)) {
            Ok(expr) => expr,
            Err(message) => {
                messages.push(message);
                break;
            }
        };
        if let Some(message) = lost(&expr, &[&label]) {
            messages.push(format!("metrics of {kind}: {message}"));
        }
        if let Some(label) = namespace.filter(|label| !selects(&expr, label)) {
            messages.push(format!(
                "metrics of {kind}: metricsQuery does not select {label:?}, the request's namespace, so objects of the same name in other namespaces are mixed in"
            ));
        }
        if !std::mem::replace(&mut matchers_told, true) {
            messages.extend(unapplied(rule, &expr));
        }
    }
    messages
}

fn external(rule: &BoundRule) -> Vec<String> {
    let mut messages = Vec::new();
    if rule.rule.query.groups() {
        messages.push(
            "metricsQuery uses GroupBy, which is always empty for external metrics: write the labels themselves"
                .to_owned(),
        );
    }
    let namespace_label = match rule.labels.label_of(&GroupResource::new("", "namespaces")) {
        _ if !rule.rule.association.namespaced => None,
        Ok(label) => Some(label),
        Err(error) => {
            messages.push(format!("every request fails: {error}, unless resources.namespaced is false"));
            return messages;
        }
    };
    match expression(rule, namespace_label.as_deref(), None) {
        Ok(expr) => messages.extend(unapplied(rule, &expr)),
        Err(message) => messages.push(message),
    }
    messages
}

/// Parses the query that a request with stand-in values becomes.
fn expression(rule: &BoundRule, namespace: Option<&str>, object: Option<&str>) -> Result<Expr, String> {
    let group_by: Vec<String> = object.iter().map(|label| (*label).to_owned()).collect();
    let filling = Filling {
        series: series_name(rule),
        namespace: namespace.map(|label| (label, SOME)),
        objects: object.map(|label| (label, &[SOME][..])),
        group_by: &group_by,
        ..Filling::default()
    };
    let query = rule.rule.query.build(&filling).map_err(|error| format!("metricsQuery: {error}"))?;
    promql::parse(&query).map_err(|error| unparsed("metricsQuery", &error))
}

/// The series' name, if `seriesQuery` names just one.
fn series_name(rule: &BoundRule) -> &str {
    let named = |matcher: &&Matcher| matcher.label == NAME_LABEL && matcher.op == MatchOp::Equal;
    rule.rule.series.matchers().iter().find(named).map_or(SERIES, |matcher| &matcher.value)
}

/// Says whether any selector compares a label with the request's value.
fn selects(expr: &Expr, label: &str) -> bool {
    let selectors = promql::selectors(expr);
    let compares = |selector: &&promql_parser::parser::VectorSelector| {
        promql::matchers(selector).any(|matcher| matcher.name == label && matcher.value.contains(SOME))
    };
    selectors.is_empty() || selectors.iter().any(compares)
}

/// Tells of the matchers that find the series but are not applied when they are queried.
fn unapplied(rule: &BoundRule, expr: &Expr) -> Option<String> {
    let name = series_name(rule);
    let all = promql::selectors(expr);
    let of_series: Vec<_> = all.iter().filter(|s| s.name.as_deref() == Some(name)).copied().collect();
    let selectors = if of_series.is_empty() { all } else { of_series };
    let grouped = promql::grouped_by(expr);
    let mut missing = Vec::new();
    for matcher in rule.rule.series.matchers() {
        let label = matcher.label.as_str();
        let only_asks_for_presence = matcher.op == MatchOp::NotEqual && matcher.value.is_empty();
        let is_implied =
            only_asks_for_presence && (rule.labels.kind_of(label).is_some() || grouped.contains(&label));
        if label == NAME_LABEL || is_implied {
            continue;
        }
        if selectors.iter().any(|selector| !applies(selector, matcher)) {
            missing.push(matcher.to_string());
        }
    }
    (!missing.is_empty()).then(|| {
        format!(
            "seriesQuery selects by {}, metricsQuery does not: other series of the name are counted in as well",
            missing.join(" and ")
        )
    })
}

/// Says whether a selector holds a matcher, or one that is stricter.
fn applies(selector: &promql_parser::parser::VectorSelector, wanted: &Matcher) -> bool {
    promql::matchers(selector).filter(|matcher| matcher.name == wanted.label).any(|matcher| {
        let op = promql::op(matcher);
        if op == wanted.op && matcher.value == wanted.value {
            return true;
        }
        // The request's own value is any that is not empty.
        let is_request = matcher.value == SOME;
        op == MatchOp::Equal && wanted.matches(&matcher.value) && !(is_request && wanted.matches(""))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rules::{config::RuleSet, resources::ResourceMap, series::SeriesShape};

    fn warnings(config: &str) -> Vec<String> {
        let map = Arc::new(ResourceMap::built_in());
        let rules = RuleSet::load(config).expect(config).bind(&map);
        assert_eq!(rules.errors, [], "{config}");
        let labels = ["namespace", "pod", "node"].map(str::to_owned).to_vec();
        let shapes = [SeriesShape { name: "x".to_owned(), labels }];
        lint(&Rulebook::new(rules, map, |_| &shapes)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sound_rules_have_no_warnings() {
        for rule in [
            r#"{seriesQuery: 'x{namespace!="",pod!=""}', resources: {template: <<.Resource>>}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}"#,
            r#"{seriesQuery: '{__name__=~"^x.*",container!="POD",pod!=""}', resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}, metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>,container!="POD"}[5m])) by (<<.GroupBy>>)'}"#,
            r#"{seriesQuery: 'x{container!="",q!=""}', resources: {template: <<.Resource>>}, metricsQuery: 'max by (<<.GroupBy>>) (sum by (<<.GroupBy>>, q) (<<.Series>>{<<.LabelMatchers>>,container="engine"}))'}"#,
            "{seriesQuery: x, resources: {overrides: {namespace: {resource: namespace}}}, metricsQuery: 'sum by (namespace) (x)'}",
            "{name: n, query: 'sum by (namespace, pod) (y)'}",
        ] {
            assert_eq!(warnings(&format!("rules: [{rule}]")), [""; 0], "{rule}");
        }
        for rule in [
            r#"{seriesQuery: 'x{q!=""}', resources: {namespaced: false}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (q)'}"#,
            "{seriesQuery: x, resources: {template: <<.Resource>>}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>})'}",
        ] {
            assert_eq!(warnings(&format!("externalRules: [{rule}]")), [""; 0], "{rule}");
        }
    }

    #[test]
    fn each_trap_has_its_warning() {
        let by = "metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'";
        let pods = "resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}";
        for (section, rule, want) in [
            ("rules", format!("{{seriesQuery: x, {by}}}"), vec!["rules[0]: resources has neither"]),
            (
                "rules",
                format!("{{seriesQuery: 'x{{reporter=\"destination\",pod=~\"web-.*\"}}', {pods}, {by}}}"),
                vec!["rules[0]: seriesQuery selects by reporter=\"destination\" and pod=~\"web-.*\", metricsQuery does not"],
            ),
            (
                "rules",
                format!("{{seriesQuery: x, {pods}, metricsQuery: 'sum(<<.Series>>{{<<.LabelMatchers>>}})'}}"),
                vec![
                    "rules[0]: metrics of pods: the answer of the query lacks the label pod",
                    "rules[0]: metrics of namespaces: the answer of the query lacks the label namespace",
                ],
            ),
            (
                "rules",
                format!("{{seriesQuery: x, {pods}, metricsQuery: 'sum(x) by (<<.GroupBy>>)'}}"),
                vec!["rules[0]: metrics of pods: metricsQuery does not select \"namespace\""],
            ),
            (
                "rules",
                format!("{{seriesQuery: x, resources: {{overrides: {{pod: {{resource: pod}}}}}}, {by}}}"),
                vec!["rules[0]: metrics of pods have no query: no label is known for namespaces"],
            ),
            (
                "rules",
                format!(
                    "{{seriesQuery: x, resources: {{overrides: {{namespace: {{resource: namespace}}, b: {{resource: pod}}, a: {{resource: pod}}}}}}, {by}}}"
                ),
                vec!["rules[0]: resources.overrides: b, a all name pods; queries use b, the first"],
            ),
            (
                "rules",
                format!("{{seriesQuery: x, name: {{matches: '(.*)', as: $1_rate}}, {pods}, {by}}}"),
                vec!["rules[0]: name.as: $1_rate is the group \"1_rate\", which name.matches does not have: it is empty; write ${1}_rate"],
            ),
            (
                "rules",
                format!("{{seriesQuery: x, {pods}, metricsQuery: 'rollup_rate(<<.Series>>{{<<.LabelMatchers>>}}[5m])'}}"),
                vec!["rules[0]: metricsQuery is not PromQL as we know it"],
            ),
            ("rules", "{name: n, query: sum(y)}".to_owned(), vec!["rules[0]: the answer of the query lacks the label namespace, pod"]),
            (
                "externalRules",
                format!("{{seriesQuery: x, resources: {{namespaced: false}}, {by}}}"),
                vec!["externalRules[0]: metricsQuery uses GroupBy"],
            ),
            (
                "externalRules",
                "{seriesQuery: x, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>})'}".to_owned(),
                vec!["externalRules[0]: every request fails: no label is known for namespaces"],
            ),
            (
                "externalRules",
                "{seriesQuery: 'x{a=\"b\"}', resources: {namespaced: false}, metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>})'}"
                    .to_owned(),
                vec!["externalRules[0]: seriesQuery selects by a=\"b\""],
            ),
        ] {
            let got = warnings(&format!("{section}: [{rule}]"));
            assert_eq!(got.len(), want.len(), "{rule}: {got:?}");
            for (got, want) in got.iter().zip(want) {
                assert!(got.starts_with(want), "{rule}: {got}");
            }
        }
    }
}
