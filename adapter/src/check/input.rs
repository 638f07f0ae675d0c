//! [`Input`]: the series, kinds and objects that stand for a cluster.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde::Deserialize;

use crate::{
    request::GroupResource,
    rules::{
        config::BoundRules,
        discovery::BoundRule,
        resources::{ObjectKind, ResourceMap},
        rulebook::Rulebook,
        series::{NAME_LABEL, SeriesShape},
    },
    selector::Selector,
};

/// The file: what `/api/v1/series` answers, and more that is ours.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Input {
    /// The series, each with all its labels.
    #[serde(default)]
    data: Vec<BTreeMap<String, String>>,
    /// The kinds of the cluster; the usual built-in ones when absent.
    #[serde(default)]
    resources: Option<Vec<KindEntry>>,
    /// The objects of the cluster, in the order in which a list has them.
    #[serde(default)]
    objects: Vec<Object>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KindEntry {
    #[serde(default)]
    group: String,
    #[serde(default)]
    version: String,
    kind: String,
    resource: String,
    #[serde(default)]
    singular_name: String,
    #[serde(default = "yes")]
    namespaced: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
struct Object {
    #[serde(default)]
    group: String,
    resource: String,
    #[serde(default)]
    namespace: Option<String>,
    name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// Which objects are meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Their kind.
    pub kind: &'a GroupResource,
    /// Their namespace; all when absent.
    pub namespace: Option<&'a str>,
    /// Their labels.
    pub selector: &'a Selector,
}

impl Input {
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Returns the kinds of the cluster.
    pub(super) fn resource_map(&self) -> ResourceMap {
        let Some(resources) = &self.resources else { return ResourceMap::built_in() };
        let kind = |entry: &KindEntry| {
            let KindEntry { group, version, kind, resource, singular_name, namespaced } = entry;
            let mut kind = ObjectKind::new(group, version, kind, resource, *namespaced);
            if !singular_name.is_empty() {
                kind.singular.clone_from(singular_name);
            }
            kind
        };
        ResourceMap::new(resources.iter().map(kind).collect())
    }

    /// Finds each rule's series, as Prometheus would for its `seriesQuery`.
    pub(super) fn rulebook(&self, rules: BoundRules, map: &Arc<ResourceMap>) -> Rulebook {
        let mut found: HashMap<String, Vec<SeriesShape>> = HashMap::new();
        for rule in rules.custom.iter().chain(&rules.external) {
            let selector = &rule.rule.series;
            found.entry(selector.text().to_owned()).or_insert_with(|| {
                let selected = self.data.iter().filter(|series| selector.matches(series));
                // Only names matter from here on; the order of the file decides which series is the last.
                let mut seen = BTreeSet::new();
                let shapes: Vec<_> = selected.map(shape).collect();
                let mut last_first: Vec<_> =
                    shapes.into_iter().rev().filter(|shape| seen.insert(shape.clone())).collect();
                last_first.reverse();
                last_first
            });
        }
        let series = |rule: &BoundRule| found.get(rule.rule.series.text()).map_or(&[][..], Vec::as_slice);
        Rulebook::new(rules, Arc::clone(map), series)
    }

    /// Returns the names and namespaces of objects, in their order.
    pub(super) fn objects<'a>(
        &'a self,
        book: &Rulebook,
        wanted: Wanted<'_>,
    ) -> Vec<(Option<&'a str>, &'a str)> {
        let mut names = Vec::new();
        for object in &self.objects {
            let written = GroupResource::new(&*object.group, &*object.resource);
            let kind = book.kind(&written).map_or(written, ObjectKind::group_resource);
            let namespace = object.namespace.as_deref();
            let in_namespace = wanted.namespace.is_none_or(|wanted| namespace == Some(wanted));
            let label =
                |key: &str| object.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
            if kind == *wanted.kind && in_namespace && wanted.selector.matches(label) {
                names.push((namespace, object.name.as_str()));
            }
        }
        names
    }
}

fn shape(series: &BTreeMap<String, String>) -> SeriesShape {
    let labels = series.keys().filter(|label| *label != NAME_LABEL).cloned().collect();
    SeriesShape { name: series.get(NAME_LABEL).cloned().unwrap_or_default(), labels }
}
