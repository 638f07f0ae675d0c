//! [`Association`]: which label of a series names which kind of object, in both directions.

use std::sync::Arc;

use crate::{
    request::GroupResource,
    rules::{
        decode::Fields,
        go_regex::GoRegex,
        resources::{ObjectKind, ResourceMap},
        template::{Schema, Template, Type, Value},
    },
};

const SCHEMA: Schema = &[("Group", Type::Text), ("Resource", Type::Text)];

/// The `resources` of a rule.
#[derive(Clone, Debug)]
pub struct Association {
    /// Label and the kind as it was written, in the order of the file.
    overrides: Vec<(String, GroupResource)>,
    template: Option<LabelTemplate>,
    /// Whether external metrics carry the request's namespace.
    pub namespaced: bool,
}

/// `resources.template`: a label's name from a kind, and a kind from a label's name.
#[derive(Clone, Debug)]
struct LabelTemplate {
    template: Template,
    regex: GoRegex,
}

/// An association whose overrides were looked up among the kinds of a cluster.
#[derive(Clone, Debug)]
pub struct Bound {
    overrides: Vec<(String, GroupResource)>,
    template: Option<LabelTemplate>,
    map: Arc<ResourceMap>,
}

/// Why a label cannot be told for a kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The rule names no label for the kind.
    #[error("no label is known for {0}: resources needs a template or an override for it")]
    NoLabel(GroupResource),
    /// The cluster does not know the kind.
    #[error("no kind of object is called {0}")]
    UnknownKind(GroupResource),
    /// The template makes nothing of the kind.
    #[error("resources.template makes no label of {0}")]
    Empty(GroupResource),
}

impl Association {
    /// Decodes `resources` of a rule.
    pub fn decode(rule: &Fields<'_>) -> Option<Self> {
        let resources = rule.fields("resources", &["template", "overrides", "namespaced"]);
        let mut overrides = Vec::new();
        let listed = resources.fields("overrides", &[]);
        for (label, node) in listed.pairs() {
            let kind = listed.item(label, node, &["group", "resource"]);
            let resource = kind.required_text("resource");
            overrides.push((label.to_owned(), GroupResource::new(kind.text("group"), resource)));
        }
        let text = resources.text("template");
        let template = match (text.is_empty(), LabelTemplate::new(&text)) {
            (true, _) => None,
            (false, Ok(template)) => Some(template),
            (false, Err(problem)) => {
                resources.problem("template", problem);
                return None;
            }
        };
        Some(Self { overrides, template, namespaced: resources.flag("namespaced").unwrap_or(true) })
    }

    /// Says whether neither a template nor an override is given.
    pub fn is_empty(&self) -> bool {
        self.overrides.is_empty() && self.template.is_none()
    }

    /// Returns the overrides: labels and the kinds as they were written.
    pub fn overrides(&self) -> &[(String, GroupResource)] {
        &self.overrides
    }

    /// Looks the overrides up. Errors: names those that no kind fits.
    pub fn bind(&self, map: &Arc<ResourceMap>) -> Result<Bound, String> {
        let mut overrides = Vec::new();
        let mut unknown = Vec::new();
        for (label, name) in &self.overrides {
            match map.find(name) {
                Some(kind) => overrides.push((label.clone(), kind.group_resource())),
                None => {
                    unknown.push(format!("resources.overrides.{label}: no kind of object is called {name}"));
                }
            }
        }
        if !unknown.is_empty() {
            return Err(unknown.join("; "));
        }
        Ok(Bound { overrides, template: self.template.clone(), map: Arc::clone(map) })
    }
}

impl LabelTemplate {
    fn new(text: &str) -> Result<Self, String> {
        let template = Template::parse(text, SCHEMA).map_err(|error| error.to_string())?;
        // The template's own text is part of the expression, unescaped.
        let pattern = fill(&template, "(?P<group>.+?)", "(?P<resource>.+?)")?;
        let regex = GoRegex::new(&format!("^{pattern}$")).map_err(|error| error.to_string())?;
        if !regex.has_group("resource") {
            return Err("must hold <<.Resource>>".to_owned());
        }
        Ok(Self { template, regex })
    }
}

fn fill(template: &Template, group: &str, resource: &str) -> Result<String, String> {
    let fields = [Value::Text(group.into()), Value::Text(resource.into())];
    template.render(&fields).map_err(|error| error.to_string())
}

impl Bound {
    /// Returns the kind that a label names; `None` for a label that names none.
    pub fn kind_of(&self, label: &str) -> Option<GroupResource> {
        if let Some((_, kind)) = self.overrides.iter().find(|(name, _)| name == label) {
            return Some(kind.clone());
        }
        let regex = &self.template.as_ref()?.regex;
        let resource = regex.named_group("resource", label)?;
        let group = regex.named_group("group", label).unwrap_or("");
        self.map.find(&GroupResource::new(group, resource)).map(ObjectKind::group_resource)
    }

    /// Returns the label that names a kind; of several overrides the first in the file.
    pub fn label_of(&self, kind: &GroupResource) -> Result<String, LabelError> {
        if let Some((label, _)) = self.overrides.iter().find(|(_, named)| named == kind) {
            return Ok(label.clone());
        }
        let no_label = || LabelError::NoLabel(kind.clone());
        let template = &self.template.as_ref().ok_or_else(no_label)?.template;
        let unknown = || LabelError::UnknownKind(kind.clone());
        let singular = self.map.singular(&kind.resource).ok_or_else(unknown)?;
        let group = kind.group.replace(['.', '-'], "_");
        match fill(template, &group, singular) {
            Ok(label) if !label.is_empty() => Ok(label),
            _ => Err(LabelError::Empty(kind.clone())),
        }
    }

    /// Returns the kinds that more than one override names, with the labels, the one in use first.
    pub fn doubled(&self) -> Vec<(GroupResource, Vec<String>)> {
        let mut doubled: Vec<(GroupResource, Vec<String>)> = Vec::new();
        for (label, kind) in &self.overrides {
            match doubled.iter_mut().find(|(named, _)| named == kind) {
                Some((_, labels)) => labels.push(label.clone()),
                None => doubled.push((kind.clone(), vec![label.clone()])),
            }
        }
        doubled.retain(|(_, labels)| labels.len() > 1);
        doubled
    }

    /// Returns the kinds of the cluster.
    pub fn map(&self) -> &ResourceMap {
        &self.map
    }

    /// Returns the kinds that overrides name, each once, in the order of the file.
    pub fn overridden_kinds(&self) -> Vec<GroupResource> {
        let mut kinds: Vec<GroupResource> = Vec::new();
        for (_, kind) in &self.overrides {
            if !kinds.contains(kind) {
                kinds.push(kind.clone());
            }
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{decode::Problems, yaml};

    fn association(text: &str) -> Result<Association, String> {
        let node = yaml::parse(text).expect("parses");
        let problems = Problems::default();
        let association = Association::decode(&Fields::of(&node, "", &[], &problems));
        problems.message().map_or_else(|| association.ok_or_else(String::new), Err)
    }

    fn bound(text: &str) -> Bound {
        let association = association(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        association.bind(&Arc::new(ResourceMap::built_in())).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn labels_and_kinds_name_each_other() {
        let plain = "resources: {template: '<<.Resource>>'}";
        let prefixed = "resources: {template: 'kube_<<.Group>>_<<.Resource>>'}";
        let dotted = "resources: {template: 'x.<<.Resource>>'}";
        let mixed = "resources: {template: '<<.Resource>>', overrides: {ns: {resource: namespace}, job: {resource: pod}}}";
        for (text, label, want) in [
            (plain, "pod", Some("pods")),
            (plain, "pods", Some("pods")),
            (plain, "job", Some("jobs.batch")),
            (plain, "instance", None),
            (prefixed, "kube_apps_deployment", Some("deployments.apps")),
            (prefixed, "kube_networking_ingress", Some("ingresses.networking.k8s.io")),
            (prefixed, "kube_networking_k8s_io_ingress", None),
            (prefixed, "kube__pod", None),
            (prefixed, "xkube_apps_deployment", None),
            (dotted, "x_pod", Some("pods")),
            (mixed, "ns", Some("namespaces")),
            (mixed, "namespace", Some("namespaces")),
            (mixed, "job", Some("pods")),
            ("resources: {overrides: {ns: {resource: namespace}}}", "pod", None),
            ("{}", "pod", None),
        ] {
            let kind = bound(text).kind_of(label).map(|kind| kind.to_string());
            assert_eq!(kind.as_deref(), want, "{text} {label}");
        }
        for (text, kind, want) in [
            (plain, "pods", Ok("pod")),
            (plain, "deployments.apps", Ok("deployment")),
            (prefixed, "ingresses.networking.k8s.io", Ok("kube_networking_k8s_io_ingress")),
            (prefixed, "pods", Ok("kube__pod")),
            (mixed, "namespaces", Ok("ns")),
            (mixed, "pods", Ok("job")),
            (mixed, "nodes", Ok("node")),
            (
                "{}",
                "pods",
                Err("no label is known for pods: resources needs a template or an override for it"),
            ),
        ] {
            let label = bound(text).label_of(&GroupResource::parse(kind)).map_err(|error| error.to_string());
            assert_eq!(label.as_deref(), want.map_err(str::to_owned).as_ref().copied(), "{text} {kind}");
        }
    }

    #[test]
    fn of_two_overrides_the_first_is_used() {
        let bound =
            bound("resources: {overrides: {b: {resource: pod}, a: {resource: pods}, n: {resource: node}}}");
        assert_eq!(bound.label_of(&GroupResource::parse("pods")).as_deref(), Ok("b"));
        let want = vec![(GroupResource::parse("pods"), vec!["b".to_owned(), "a".to_owned()])];
        assert_eq!(bound.doubled(), want);
        assert_eq!(bound.kind_of("a"), Some(GroupResource::parse("pods")));
    }

    #[test]
    fn mistakes_name_their_field() {
        for (text, want) in [
            ("resources: {template: 'x'}", "resources.template: must hold <<.Resource>>"),
            ("resources: {template: '<<.Group>>'}", "resources.template: must hold <<.Resource>>"),
            ("resources: {template: '<<.Name>>'}", "resources.template: unknown field .Name"),
            ("resources: {template: '(<<.Resource>>'}", "resources.template: "),
            ("resources: {overrides: {a: {group: x}}}", "resources.overrides.a.resource: is required"),
            ("resources: {overrides: {a: pod}}", "resources.overrides.a: expected a mapping"),
            ("resources: {metricLabel: x}", "resources.metricLabel: unknown field"),
        ] {
            let error = association(text).expect_err(text);
            assert!(error.starts_with(want), "{text}: {error}");
        }
        let unknown = association("resources: {overrides: {a: {group: cheese.io, resource: brand}}}");
        let error = unknown.expect("decodes").bind(&Arc::new(ResourceMap::built_in())).expect_err("unknown");
        assert_eq!(error, "resources.overrides.a: no kind of object is called brand.cheese.io");
    }
}
