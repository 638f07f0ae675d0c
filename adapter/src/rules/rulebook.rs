//! [`Rulebook`]: bound rules with the metrics that exist, and the [`Plan`] of queries that a request becomes.

use std::sync::Arc;

use crate::{
    request::{CustomRequest, EXTERNAL_GROUP, ExternalRequest, GroupResource, RequestError},
    rules::{
        association::LabelError,
        batch::{Batch, batch},
        config::BoundRules,
        discovery::BoundRule,
        id::RuleId,
        query::{Escaping, Filling, QueryError},
        registry::{Registry, is_namespaced},
        resources::{ObjectKind, ResourceMap},
        series::SeriesShape,
        usage::{UsageOf, UsageQuery},
    },
};

/// The kind whose objects are namespaces.
const NAMESPACES: &str = "namespaces";

/// Rules, kinds and metrics at one moment; replaced as a whole when one of them changes.
#[derive(Clone, Debug)]
pub struct Rulebook {
    rules: BoundRules,
    map: Arc<ResourceMap>,
    registry: Registry,
}

/// What is asked of Prometheus for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The rule that answers.
    pub rule: RuleId,
    /// The PromQL.
    pub query: String,
    /// The label by which samples of the answer are matched to objects; `None` for external metrics.
    pub label: Option<String>,
    /// The label of the namespace, for objects that have one.
    pub namespace_label: Option<String>,
    /// One query for all objects, if there is one.
    pub batch: Option<Batch>,
}

/// Why a rule has no query for a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum PlanError {
    #[error(transparent)]
    Label(#[from] LabelError),
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl Rulebook {
    /// Joins bound rules with the series that each rule's query finds.
    pub fn new<'a>(
        rules: BoundRules,
        map: Arc<ResourceMap>,
        series: impl Fn(&BoundRule) -> &'a [SeriesShape],
    ) -> Self {
        let registry = Registry::build(&rules, series);
        Self { rules, map, registry }
    }

    /// Returns the rules.
    pub fn rules(&self) -> &BoundRules {
        &self.rules
    }

    /// Returns the metrics.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the kind of object that a request names.
    pub fn kind(&self, name: &GroupResource) -> Option<&ObjectKind> {
        self.map.find(name)
    }

    /// Plans a request about objects; `names` are those that `*` selects, or the one that is asked about.
    ///
    /// Errors: 404 when the metric does not exist, when nothing is selected, or when the rule has no query for it.
    pub fn custom(
        &self,
        request: &CustomRequest,
        names: &[&str],
        escaping: Escaping,
    ) -> Result<Plan, RequestError> {
        if !self.rules.asks.custom {
            return Err(RequestError::no_such_path());
        }
        let (metric, asked) = (&request.metric, &request.resource);
        let missing =
            || RequestError::not_found(format!("the server could not find the metric {metric} for {asked}"));
        let kind = self.map.find(asked).ok_or_else(missing)?;
        let name = kind.group_resource();
        // Upstream asks for cluster-scoped kinds within a namespace only; at the root is where they live.
        let scope_fits = match request.namespace {
            Some(_) => is_namespaced(&name),
            None => !is_namespaced(&name) || !kind.namespaced,
        };
        let origin = self.registry.custom(&name, metric).filter(|_| scope_fits).ok_or_else(missing)?;
        if names.is_empty() {
            return Err(missing());
        }
        let Some(series) = &origin.series else {
            let rule = self.rules.plain.get(origin.place).ok_or_else(missing)?;
            let label = Some("pod".to_owned());
            let query = rule.query.clone();
            let batch = Some(Batch { query: query.clone(), whole_cluster: true });
            let namespace_label = Some("namespace".to_owned());
            return Ok(Plan { rule: origin.rule.clone(), query, label, namespace_label, batch });
        };
        let rule = self.rules.custom.get(origin.place).ok_or_else(missing)?;
        plan_objects(rule, series, request, &name, names, escaping).map_err(|error| {
            let message = missing().message;
            RequestError::not_found(format!("{message}: {} has no query for it: {error}", origin.rule))
        })
    }

    /// Plans a request for an external metric.
    ///
    /// Errors: 404 when the metric does not exist, 500 when its rule has no query for the request.
    pub fn external(&self, request: &ExternalRequest, escaping: Escaping) -> Result<Plan, RequestError> {
        if !self.rules.asks.external {
            return Err(RequestError::no_such_path());
        }
        let metric = &request.metric;
        let missing = || {
            RequestError::not_found(format!(
                "the server could not find the metric {metric} for {EXTERNAL_GROUP}"
            ))
        };
        let origin = self.registry.external(metric).ok_or_else(missing)?;
        let rule = self.rules.external.get(origin.place).ok_or_else(missing)?;
        let series = origin.series.as_deref().unwrap_or_default();
        let query = external_query(rule, series, request, escaping).map_err(|error| {
            let rule = &origin.rule;
            RequestError::internal(format_args!(
                "unable to fetch metrics: {rule} has no query for it: {error}"
            ))
        })?;
        Ok(Plan { rule: origin.rule.clone(), query, label: None, namespace_label: None, batch: None })
    }

    /// Plans a request for the CPU and memory of pods or nodes: one query for each.
    ///
    /// Errors: 404 without `resourceRules`, 500 when they have no query for the request.
    pub fn usage(
        &self,
        of: UsageOf<'_>,
        names: &[&str],
        escaping: Escaping,
    ) -> Result<[UsageQuery; 2], RequestError> {
        let usage = self.rules.usage.as_ref().ok_or_else(RequestError::no_such_path)?;
        usage
            .queries(of, names, escaping)
            .map_err(|error| RequestError::internal(format_args!("unable to fetch metrics: {error}")))
    }
}

fn plan_objects(
    rule: &BoundRule,
    series: &str,
    request: &CustomRequest,
    kind: &GroupResource,
    names: &[&str],
    escaping: Escaping,
) -> Result<Plan, PlanError> {
    let namespace_label = match &request.namespace {
        Some(namespace) => Some((rule.labels.label_of(&GroupResource::new("", NAMESPACES))?, namespace)),
        None => None,
    };
    let label = rule.labels.label_of(kind)?;
    let group_by = [label.clone()];
    let filling = Filling {
        series,
        selector: Some(&request.metric_selector),
        namespace: namespace_label.as_ref().map(|(label, namespace)| (label.as_str(), namespace.as_str())),
        objects: Some((&label, names)),
        group_by: &group_by,
        escaping,
    };
    let query = rule.rule.query.build(&filling)?;
    let batch = batch(&rule.rule.query, &filling);
    let namespace_label = namespace_label.map(|(label, _)| label);
    Ok(Plan { rule: rule.rule.id.clone(), query, label: Some(label), namespace_label, batch })
}

fn external_query(
    rule: &BoundRule,
    series: &str,
    request: &ExternalRequest,
    escaping: Escaping,
) -> Result<String, PlanError> {
    let namespace_label = if rule.rule.association.namespaced && !request.namespace.is_empty() {
        Some(rule.labels.label_of(&GroupResource::new("", NAMESPACES))?)
    } else {
        None
    };
    let filling = Filling {
        series,
        selector: Some(&request.metric_selector),
        namespace: namespace_label.as_deref().map(|label| (label, request.namespace.as_str())),
        escaping,
        ..Filling::default()
    };
    Ok(rule.rule.query.build(&filling)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{request::MetricRequest, rules::config::RuleSet};

    const CONFIG: &str = r#"
rules:
- seriesQuery: x
  resources: {template: "<<.Resource>>"}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- {name: plain, query: "sum by (namespace, pod) (y)"}
- seriesQuery: x
  name: {as: no_namespace}
  resources: {overrides: {pod: {resource: pod}}}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
externalRules:
- seriesQuery: x
  name: {as: bound}
  resources: {overrides: {ns: {resource: namespace}}}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- {seriesQuery: x, name: {as: free}, resources: {namespaced: false}, metricsQuery: "sum(<<.Series>>{<<.LabelMatchers>>})"}
- {seriesQuery: x, name: {as: broken}, metricsQuery: "sum(<<.Series>>{<<.LabelMatchers>>})"}
"#;

    fn rulebook(config: &str) -> Rulebook {
        let map = Arc::new(ResourceMap::built_in());
        let rules = RuleSet::load(config).expect("loads").bind(&map);
        assert_eq!(rules.errors, []);
        let labels = ["namespace", "pod", "node", "deployment", "priorityclass"].map(str::to_owned).to_vec();
        let shapes = [SeriesShape { name: "x".to_owned(), labels }];
        Rulebook::new(rules, map, |_| &shapes)
    }

    fn ask(book: &Rulebook, path: &str, names: &[&str]) -> Result<String, (u16, String)> {
        let planned = match MetricRequest::parse(&format!("/apis{path}")).map_err(|e| (e.code, e.message))? {
            MetricRequest::Custom(request) => book.custom(&request, names, Escaping::default()),
            MetricRequest::External(request) => book.external(&request, Escaping::default()),
            MetricRequest::Resource(_) => panic!("not here"),
        };
        planned.map(|plan| plan.query).map_err(|error| (error.code, error.message))
    }

    #[test]
    fn requests_become_queries() {
        let book = rulebook(CONFIG);
        for (path, names, want) in [
            ("/namespaces/a/pods/*/x", &["p1", "p2"][..], r#"sum(x{namespace="a",pod=~"p1|p2"}) by (pod)"#),
            ("/namespaces/a/pod/p1/x", &["p1"], r#"sum(x{namespace="a",pod="p1"}) by (pod)"#),
            (
                "/namespaces/a/deployments.apps/d/x?metricLabelSelector=z%3D1,b",
                &["d"],
                r#"sum(x{b!="",z="1",namespace="a",deployment="d"}) by (deployment)"#,
            ),
            ("/nodes/n1/x", &["n1"], r#"sum(x{node="n1"}) by (node)"#),
            ("/namespaces/a/metrics/x", &["a"], r#"sum(x{namespace="a"}) by (namespace)"#),
            ("/namespaces/*/metrics/x", &["a", "b"], r#"sum(x{namespace=~"a|b"}) by (namespace)"#),
            // A cluster-scoped kind: where upstream has it, and where it belongs.
            (
                "/namespaces/a/priorityclasses/h/x",
                &["h"],
                r#"sum(x{namespace="a",priorityclass="h"}) by (priorityclass)"#,
            ),
            ("/priorityclasses.scheduling/h/x", &["h"], r#"sum(x{priorityclass="h"}) by (priorityclass)"#),
            ("/namespaces/a/pods/*/plain", &["p1"], "sum by (namespace, pod) (y)"),
        ] {
            let path = format!("/custom.metrics.k8s.io/v1beta2{path}");
            assert_eq!(ask(&book, &path, names), Ok(want.to_owned()), "{path}");
        }
        for (path, want) in [
            ("/namespaces/a/bound", r#"sum(x{ns="a"}) by ()"#),
            ("/namespaces/a/bound?labelSelector=q+in+(b,a)", r#"sum(x{q=~"a|b",ns="a"}) by ()"#),
            ("/namespaces/a/free?labelSelector=ns%3Db", r#"sum(x{ns="b"})"#),
            ("/namespaces/a/free", "sum(x{})"),
        ] {
            let path = format!("/external.metrics.k8s.io/v1beta1{path}");
            assert_eq!(ask(&book, &path, &[]), Ok(want.to_owned()), "{path}");
        }
    }

    #[test]
    fn failures_have_upstreams_codes() {
        let book = rulebook(CONFIG);
        for (path, names, code, part) in [
            (
                "/namespaces/a/pods/*/nope",
                &["p"][..],
                404,
                "the server could not find the metric nope for pods",
            ),
            ("/namespaces/a/pods/*/x", &[], 404, "the server could not find the metric x for pods"),
            ("/namespaces/a/gadgets/g/x", &["g"], 404, "the metric x for gadgets"),
            ("/pods/p/x", &["p"], 404, "the metric x for pods"),
            ("/namespaces/a/nodes/n/x", &["n"], 404, "the metric x for nodes"),
            (
                "/namespaces/a/pods/*/x?metricLabelSelector=q>1",
                &["p"],
                404,
                "rules[0] has no query for it: the selector's operator >",
            ),
            ("/namespaces/a/pods/p/no_namespace", &["p"], 404, "no label is known for namespaces"),
        ] {
            let path = format!("/custom.metrics.k8s.io/v1beta1{path}");
            let (got, message) = ask(&book, &path, names).expect_err(&path);
            assert!(got == code && message.contains(part), "{path}: {got} {message}");
        }
        for (path, code, part) in [
            (
                "/namespaces/a/nope",
                404,
                "the server could not find the metric nope for external.metrics.k8s.io",
            ),
            (
                "/namespaces/a/broken",
                500,
                "Internal error occurred: unable to fetch metrics: externalRules[2] has no query",
            ),
            ("/namespaces/a/bound?labelSelector=q<1", 500, "operator <"),
        ] {
            let path = format!("/external.metrics.k8s.io/v1beta1{path}");
            let (got, message) = ask(&book, &path, &[]).expect_err(&path);
            assert!(got == code && message.contains(part), "{path}: {got} {message}");
        }
    }

    #[test]
    fn an_api_without_rules_is_not_served() {
        let book = rulebook("rules: []");
        for path in [
            "/custom.metrics.k8s.io/v1beta1/namespaces/a/pods/p/x",
            "/external.metrics.k8s.io/v1beta1/namespaces/a/x",
        ] {
            let (code, message) = ask(&book, path, &["p"]).expect_err(path);
            assert_eq!((code, message.as_str()), (404, "the server could not find the requested resource"));
        }
        assert_eq!(
            book.usage(UsageOf::Nodes, &["n"], Escaping::default()).expect_err("not served").code,
            404
        );
    }
}
