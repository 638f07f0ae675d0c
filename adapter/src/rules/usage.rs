//! [`UsageRules`]: `resourceRules`, the queries behind metrics.k8s.io.

use std::{sync::Arc, time::Duration};

use crate::{
    request::GroupResource,
    rules::{
        association::{Association, Bound, LabelError},
        decode::{Fields, Problems},
        discovery::first_success,
        query::{Escaping, Filling, MetricsQuery, QueryError},
        resources::ResourceMap,
        yaml::Node,
    },
};

/// CPU and memory queries.
#[derive(Clone, Debug)]
pub struct UsageRules {
    /// CPU, in cores.
    pub cpu: UsageRule,
    /// Memory, in bytes.
    pub memory: UsageRule,
    /// The window that answers name.
    pub window: Duration,
}

/// The queries of one of the two.
#[derive(Clone, Debug)]
pub struct UsageRule {
    container_query: Option<MetricsQuery>,
    node_query: Option<MetricsQuery>,
    association: Association,
    container_label: String,
}

/// Usage rules whose kinds of objects were looked up in a cluster.
#[derive(Clone, Debug)]
pub struct BoundUsage {
    rules: UsageRules,
    cpu: Bound,
    memory: Bound,
}

/// What usage is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageOf<'a> {
    /// Pods of a namespace.
    Pods(&'a str),
    /// Nodes.
    Nodes,
}

/// A query with the labels that its answer is read by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// The PromQL.
    pub query: String,
    /// The label of the pod or node.
    pub label: String,
    /// The label of the container, for pods.
    pub container_label: String,
}

/// Why a usage query cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The section is missing.
    #[error("resourceRules.{0} is not given")]
    NoQuery(&'static str),
    /// No label is known.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The template failed.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl UsageRules {
    /// Decodes the section. Errors: everything that is wrong with it, in one text.
    pub fn decode(node: &Node) -> Result<Self, String> {
        let problems = Problems::default();
        let fields = Fields::of(node, "", &["cpu", "memory", "window"], &problems);
        let cpu = UsageRule::decode(&fields, "cpu");
        let memory = UsageRule::decode(&fields, "memory");
        let window = fields.duration("window");
        match (problems.message(), cpu, memory) {
            (None, Some(cpu), Some(memory)) => Ok(Self { cpu, memory, window }),
            (message, ..) => Err(message.unwrap_or_default()),
        }
    }

    /// Looks the kinds up.
    pub fn bind(self, map: &Arc<ResourceMap>) -> Result<BoundUsage, String> {
        let cpu = self.cpu.association.bind(map).map_err(|error| format!("cpu.{error}"))?;
        let memory = self.memory.association.bind(map).map_err(|error| format!("memory.{error}"))?;
        Ok(BoundUsage { rules: self, cpu, memory })
    }
}

impl UsageRule {
    fn decode(rules: &Fields<'_>, key: &str) -> Option<Self> {
        let fields = rules.fields(key, &["containerQuery", "nodeQuery", "resources", "containerLabel"]);
        let association = Association::decode(&fields)?;
        let container_label = fields.text("containerLabel");
        let query = |key: &str, group_by: &[String]| {
            let text = fields.text(key);
            if text.is_empty() {
                return Some(None);
            }
            let parsed = MetricsQuery::parse(&text).map_err(|error| error.to_string());
            match parsed.and_then(|query| tried(&query, group_by).map(|()| query)) {
                Ok(query) => Some(Some(query)),
                Err(error) => {
                    fields.problem(key, error);
                    None
                }
            }
        };
        let label = "label".to_owned();
        let container_query = query("containerQuery", &[label.clone(), container_label.clone()]);
        let node_query = query("nodeQuery", &[label]);
        Some(Self {
            container_query: container_query?,
            node_query: node_query?,
            association,
            container_label,
        })
    }
}

fn tried(query: &MetricsQuery, group_by: &[String]) -> Result<(), String> {
    let one = Filling { objects: Some(("label", &["one"])), group_by, ..Filling::default() };
    let several = Filling { objects: Some(("label", &["one", "two"])), ..one.clone() };
    let namespaced = Filling { namespace: Some(("namespace", "name")), ..several.clone() };
    let fillings = [one, several, namespaced];
    first_success(fillings.iter().map(|filling| query.build(filling).map_err(|error| error.to_string())))
}

impl BoundUsage {
    /// Returns the window that answers name.
    pub fn window(&self) -> Duration {
        self.rules.window
    }

    /// Builds the two queries, CPU and memory.
    pub fn queries(
        &self,
        of: UsageOf<'_>,
        names: &[&str],
        escaping: Escaping,
    ) -> Result<[UsageQuery; 2], UsageError> {
        let missing = match of {
            UsageOf::Pods(_) => ["cpu.containerQuery", "memory.containerQuery"],
            UsageOf::Nodes => ["cpu.nodeQuery", "memory.nodeQuery"],
        };
        let [no_cpu, no_memory] = missing.map(UsageError::NoQuery);
        Ok([
            one(&self.rules.cpu, &self.cpu, of, names, escaping, no_cpu)?,
            one(&self.rules.memory, &self.memory, of, names, escaping, no_memory)?,
        ])
    }
}

fn one(
    rule: &UsageRule,
    labels: &Bound,
    of: UsageOf<'_>,
    names: &[&str],
    escaping: Escaping,
    missing: UsageError,
) -> Result<UsageQuery, UsageError> {
    let (query, kind) = match of {
        UsageOf::Pods(_) => (&rule.container_query, "pods"),
        UsageOf::Nodes => (&rule.node_query, "nodes"),
    };
    let query = query.as_ref().ok_or(missing)?;
    let label = labels.label_of(&GroupResource::new("", kind))?;
    let mut group_by = vec![label.clone()];
    let namespace = match of {
        UsageOf::Pods(namespace) => {
            group_by.push(rule.container_label.clone());
            Some((labels.label_of(&GroupResource::new("", "namespaces"))?, namespace))
        }
        UsageOf::Nodes => None,
    };
    let filling = Filling {
        namespace: namespace.as_ref().map(|(label, namespace)| (label.as_str(), *namespace)),
        objects: Some((&label, names)),
        group_by: &group_by,
        escaping,
        ..Filling::default()
    };
    let query = query.build(&filling)?;
    Ok(UsageQuery { query, label, container_label: rule.container_label.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::yaml;

    const RULES: &str = r#"
cpu:
  containerQuery: sum(rate(cpu{<<.LabelMatchers>>}[3m])) by (<<.GroupBy>>)
  nodeQuery: sum(rate(cpu{<<.LabelMatchers>>, id='/'}[3m])) by (<<.GroupBy>>)
  resources: {overrides: {instance: {resource: node}, namespace: {resource: namespace}, pod: {resource: pod}}}
  containerLabel: container
memory:
  containerQuery: sum(memory{<<.LabelMatchers>>}) by (<<.GroupBy>>)
  resources: {template: "<<.Resource>>"}
  containerLabel: container_name
window: 3m
"#;

    fn bound(text: &str) -> Result<BoundUsage, String> {
        UsageRules::decode(&yaml::parse(text).expect("YAML"))?.bind(&Arc::new(ResourceMap::built_in()))
    }

    #[test]
    fn pods_are_grouped_by_container_nodes_are_not() {
        let usage = bound(RULES).expect("decodes");
        assert_eq!(usage.window(), Duration::from_mins(3));
        let [cpu, memory] =
            usage.queries(UsageOf::Pods("a"), &["p1", "p2"], Escaping::default()).expect("builds");
        assert_eq!(cpu.query, r#"sum(rate(cpu{namespace="a",pod=~"p1|p2"}[3m])) by (pod,container)"#);
        assert_eq!(memory.query, r#"sum(memory{namespace="a",pod=~"p1|p2"}) by (pod,container_name)"#);
        assert_eq!((memory.label.as_str(), memory.container_label.as_str()), ("pod", "container_name"));
        let error = usage.queries(UsageOf::Nodes, &["n1"], Escaping::default()).expect_err("no query");
        assert_eq!(error.to_string(), "resourceRules.memory.nodeQuery is not given");
    }

    #[test]
    fn mistakes_name_their_field() {
        for (text, want) in [
            ("cpu: {containerQuery: '<<.X>>'}", "cpu.containerQuery: unknown field .X"),
            ("cpu: {query: x}", "cpu.query: unknown field"),
            ("window: soon", "window: \"soon\" is no duration"),
            ("memory: {resources: {template: x}}", "memory.resources.template: must hold"),
            (
                "memory: {resources: {overrides: {a: {resource: brand}}}}",
                "memory.resources.overrides.a: no kind of object is called brand",
            ),
        ] {
            let error = bound(text).expect_err(text);
            assert!(error.starts_with(want), "{text}: {error}");
        }
    }
}
