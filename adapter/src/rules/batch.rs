//! [`Batch`]: one query that answers a rule for all objects at once, where the expression allows it.

use std::collections::BTreeMap;

use crate::{
    rules::{
        promql::{
            self,
            partition::{ANY_VALUE, answers_each},
        },
        query::{Filling, MetricsQuery},
    },
    selector::Selector,
};

/// A query over all objects of the cluster, or of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The PromQL.
    pub query: String,
    /// Whether all namespaces are in the answer, which then carries the namespace's label as well.
    pub whole_cluster: bool,
}

/// Returns the batch form of a query: over the cluster if it can be told apart by namespace and object, else over the
/// request's namespace, else none.
///
/// The same template is filled without the objects' matcher; the parsed expression then shows whether each sample
/// depends only on its own object's series.
pub fn batch(query: &MetricsQuery, filling: &Filling<'_>) -> Option<Batch> {
    let (label, _) = filling.objects?;
    // A condition could make another query of other values.
    if !query.template().is_plain() {
        return None;
    }
    let Some((namespace_label, namespace)) = filling.namespace else {
        let query = over_all(query, filling, &[label], None)?;
        return Some(Batch { query, whole_cluster: true });
    };
    if namespace_label == label {
        return None;
    }
    if let Some(query) = over_all(query, filling, &[label, namespace_label], None) {
        return Some(Batch { query, whole_cluster: true });
    }
    let query = over_all(query, filling, &[label], Some((namespace_label, namespace)))?;
    Some(Batch { query, whole_cluster: false })
}

/// Fills the template for every value of `keys`, and checks that each value is answered on its own.
fn over_all(
    query: &MetricsQuery,
    filling: &Filling<'_>,
    keys: &[&str],
    namespace: Option<(&str, &str)>,
) -> Option<String> {
    let selector = filling.selector;
    if selector.is_some_and(|selector| {
        selector.requirements().iter().any(|requirement| keys.contains(&requirement.key.as_str()))
    }) {
        return None;
    }
    let mut matchers = MetricsQuery::selector_matchers(filling).ok()?;
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for requirement in selector.map(Selector::requirements).unwrap_or_default() {
        values.insert(requirement.key.clone(), requirement.values.join("|"));
    }
    if let Some((label, namespace)) = namespace {
        matchers.push(MetricsQuery::namespace_matcher(label, namespace));
        values.insert(label.to_owned(), namespace.to_owned());
    }
    for key in keys.iter().rev() {
        matchers.push(format!("{key}!=\"\""));
        values.insert((*key).to_owned(), ANY_VALUE.to_owned());
    }
    let group_by: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    let text = query.render(filling.series, &matchers.join(","), &values, &group_by).ok()?;
    let expr = promql::parse(&text).ok()?;
    answers_each(&expr, keys).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(template: &str, selector: &str, namespace: Option<(&str, &str)>) -> Option<(String, bool)> {
        let query = MetricsQuery::parse(template).expect(template);
        let selector = Selector::parse(selector).expect("selector");
        let filling = Filling {
            series: "x",
            selector: Some(&selector),
            namespace,
            objects: Some(("pod", &["p1", "p2"])),
            group_by: &["pod".to_owned()],
            ..Filling::default()
        };
        batch(&query, &filling).map(|batch| (batch.query, batch.whole_cluster))
    }

    #[test]
    fn one_query_for_the_cluster_or_the_namespace() {
        let namespace = Some(("namespace", "a"));
        for (template, selector, namespace, want) in [
            (
                "sum(rate(<<.Series>>{<<.LabelMatchers>>,c=\"d\"}[2m])) by (<<.GroupBy>>)",
                "",
                namespace,
                Some(("sum(rate(x{namespace!=\"\",pod!=\"\",c=\"d\"}[2m])) by (pod,namespace)", true)),
            ),
            (
                "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
                "v in (b,a)",
                namespace,
                Some(("sum(x{v=~\"a|b\",namespace!=\"\",pod!=\"\"}) by (pod,namespace)", true)),
            ),
            (
                "sum(<<.Series>>{<<.LabelMatchers>>}) by (pod)",
                "",
                namespace,
                Some(("sum(x{namespace=\"a\",pod!=\"\"}) by (pod)", false)),
            ),
            (
                "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
                "",
                None,
                Some(("sum(x{pod!=\"\"}) by (pod)", true)),
            ),
            (
                "sum(x{namespace=\"<<index .LabelValuesByName \"namespace\">>\",pod=~\"<<.LabelValuesByName.pod>>\"}) by (<<.GroupBy>>)",
                "",
                namespace,
                Some(("sum(x{namespace=\"a\",pod=~\".+\"}) by (pod)", false)),
            ),
            ("<<.Series>>{<<.LabelMatchers>>}", "", namespace, None),
            ("sum(<<.Series>>{<<.LabelMatchers>>})", "", namespace, None),
            ("count(cheddar{sharp=\"true\"})", "", namespace, None),
            ("sum(x{pod=\"<<.LabelValuesByName.pod>>\"}) by (pod)", "", namespace, None),
            ("<<if .Series>>sum(<<.Series>>{<<.LabelMatchers>>}) by (pod)<<end>>", "", namespace, None),
            ("sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)", "pod=x", namespace, None),
            ("sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>) keep", "", namespace, None),
        ] {
            let want = want.map(|(query, whole)| (query.to_owned(), whole));
            assert_eq!(of(template, selector, namespace), want, "{template}");
        }
    }
}
