//! Discovery: which groups, versions and metrics are served, plain and aggregated.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::request::{CUSTOM_GROUP, EXTERNAL_GROUP, RESOURCE_GROUP};

/// A metric of a kind of object, as discovery lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exposed {
    /// `pods`, or `plural.group`.
    pub resource: String,
    /// The metric's name.
    pub metric: String,
    /// Whether the objects have a namespace.
    pub namespaced: bool,
}

/// Everything that is served; sorted, so that equal contents are equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Metrics of objects.
    pub custom: Vec<Exposed>,
    /// Metrics of no object; `None` when external.metrics.k8s.io is not served.
    pub external: Option<Vec<String>>,
    /// Whether metrics.k8s.io is served.
    pub usage: bool,
}

const CUSTOM_VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];
const EXTERNAL_VERSIONS: [&str; 1] = ["v1beta1"];
const RESOURCE_VERSIONS: [&str; 1] = ["v1beta1"];
/// The resources of metrics.k8s.io: plural, singular, kind and whether they have a namespace.
const RESOURCES: [(&str, &str, &str, bool); 2] =
    [("nodes", "node", "NodeMetrics", false), ("pods", "pod", "PodMetrics", true)];

impl Discovery {
    /// Returns what is served, sorted and without repeats.
    pub fn new(mut custom: Vec<Exposed>, external: Option<Vec<String>>) -> Self {
        custom.sort();
        custom.dedup();
        let external = external.map(|mut names| {
            names.sort();
            names.dedup();
            names
        });
        Self { custom, external, usage: false }
    }

    /// The same with metrics.k8s.io, or without.
    #[must_use]
    pub fn with_usage(self, usage: bool) -> Self {
        Self { usage, ..self }
    }

    fn groups(&self) -> Vec<(&'static str, &'static [&'static str])> {
        let mut groups: Vec<(&str, &[&str])> = vec![(CUSTOM_GROUP, &CUSTOM_VERSIONS)];
        if self.external.is_some() {
            groups.push((EXTERNAL_GROUP, &EXTERNAL_VERSIONS));
        }
        if self.usage {
            groups.push((RESOURCE_GROUP, &RESOURCE_VERSIONS));
        }
        groups
    }

    /// Returns the group versions that are served, as `group/version`.
    pub fn group_versions(&self) -> Vec<String> {
        let groups = self.groups().into_iter();
        groups
            .flat_map(|(group, versions)| versions.iter().map(move |version| format!("{group}/{version}")))
            .collect()
    }

    /// Returns the document behind a discovery path, or `None` if there is none.
    pub fn document(&self, segments: &[String]) -> Option<Value> {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match *segments.as_slice() {
            ["apis"] => {
                let groups: Vec<_> =
                    self.groups().into_iter().map(|(name, versions)| group(name, versions)).collect();
                Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
            }
            ["apis", asked] => {
                let (name, versions) = self.groups().into_iter().find(|(name, _)| *name == asked)?;
                let mut document = group(name, versions);
                document["kind"] = json!("APIGroup");
                document["apiVersion"] = json!("v1");
                Some(document)
            }
            ["apis", asked, version] => {
                let (name, versions) = self.groups().into_iter().find(|(name, _)| *name == asked)?;
                let version = versions.iter().find(|served| **served == version)?;
                Some(json!({
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": format!("{name}/{version}"),
                    "resources": self.resources(name),
                }))
            }
            _ => None,
        }
    }

    fn resources(&self, group: &str) -> Vec<Value> {
        let resource = |name: String, namespaced: bool, kind: &str| json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get"]});
        if group == RESOURCE_GROUP {
            let of = |(plural, singular, kind, namespaced): (&str, &str, &str, bool)| json!({"name": plural, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]});
            return RESOURCES.into_iter().map(of).collect();
        }
        if group == EXTERNAL_GROUP {
            let names = self.external.iter().flatten();
            return names.map(|name| resource(name.clone(), true, "ExternalMetricValueList")).collect();
        }
        let custom = self.custom.iter();
        custom
            .map(|exposed| {
                resource(
                    format!("{}/{}", exposed.resource, exposed.metric),
                    exposed.namespaced,
                    "MetricValueList",
                )
            })
            .collect()
    }

    /// Returns the aggregated document of `/apis`, in `apidiscovery.k8s.io/` v2 or v2beta1.
    pub fn aggregated(&self, version: &str) -> Value {
        let items: Vec<_> = self
            .groups()
            .into_iter()
            .map(|(name, versions)| {
                let versions: Vec<_> = versions
                    .iter()
                    .map(|version| {
                        let resources = self.aggregated_resources(name, version);
                        json!({"version": version, "resources": resources, "freshness": "Current"})
                    })
                    .collect();
                json!({"metadata": {"name": name, "creationTimestamp": null}, "versions": versions})
            })
            .collect();
        json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{version}"),
            "metadata": {},
            "items": items,
        })
    }

    fn aggregated_resources(&self, group: &str, version: &str) -> Vec<Value> {
        let kind = |kind: &str| json!({"group": group, "version": version, "kind": kind});
        if group == RESOURCE_GROUP {
            let of = |(plural, singular, name, namespaced): (&str, &str, &str, bool)| {
                json!({
                    "resource": plural,
                    "responseKind": kind(name),
                    "scope": if namespaced { "Namespaced" } else { "Cluster" },
                    "singularResource": singular,
                    "verbs": ["get", "list"],
                })
            };
            return RESOURCES.into_iter().map(of).collect();
        }
        if group == EXTERNAL_GROUP {
            let names = self.external.iter().flatten();
            return names
                .map(|name| {
                    json!({
                        "resource": name,
                        "responseKind": kind("ExternalMetricValueList"),
                        "scope": "Namespaced",
                        "singularResource": "",
                        "verbs": ["get"],
                    })
                })
                .collect();
        }
        let mut parents: BTreeMap<(&str, bool), Vec<Value>> = BTreeMap::new();
        for exposed in &self.custom {
            let metric = json!({"subresource": exposed.metric, "responseKind": kind("MetricValueList"), "verbs": ["get"]});
            parents.entry((&exposed.resource, exposed.namespaced)).or_default().push(metric);
        }
        parents
            .into_iter()
            .map(|((resource, namespaced), metrics)| {
                json!({
                    "resource": resource,
                    // Not served itself; an absent object makes old clients crash.
                    "responseKind": {"group": "", "version": "", "kind": ""},
                    "scope": if namespaced { "Namespaced" } else { "Cluster" },
                    "singularResource": "",
                    "verbs": [],
                    "subresources": metrics,
                })
            })
            .collect()
    }
}

fn group(name: &str, versions: &[&str]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::target::Target;

    fn discovery() -> Discovery {
        let exposed = |resource: &str, metric: &str, namespaced| Exposed {
            resource: resource.to_owned(),
            metric: metric.to_owned(),
            namespaced,
        };
        Discovery::new(
            vec![
                exposed("pods", "queue_length", true),
                exposed("pods", "qps", true),
                exposed("nodes", "load", false),
                exposed("pods", "qps", true),
            ],
            Some(vec!["gateway_queue".to_owned()]),
        )
    }

    fn document(path: &str) -> Option<Value> {
        discovery().document(Target::parse(path).expect("parses").segments())
    }

    #[test]
    fn plain_documents() {
        insta::assert_json_snapshot!("apis", document("/apis/"));
        insta::assert_json_snapshot!("group", document("/apis/custom.metrics.k8s.io"));
        insta::assert_json_snapshot!(
            "resources",
            document("/apis/custom.metrics.k8s.io/v1beta1?timeout=32s")
        );
        insta::assert_json_snapshot!("external", document("/apis/external.metrics.k8s.io/v1beta1"));
    }

    #[test]
    fn what_is_not_served_is_not_there() {
        for path in ["/", "/apis/metrics.k8s.io", "/apis/custom.metrics.k8s.io/v1", "/apis/a/b/c"] {
            assert_eq!(document(path), None, "{path}");
        }
        let without = Discovery::new(Vec::new(), None);
        let external = Target::parse("/apis/external.metrics.k8s.io").expect("parses");
        assert_eq!(without.document(external.segments()), None);
    }

    #[test]
    fn cpu_and_memory() {
        assert_eq!(document("/apis/metrics.k8s.io/v1beta1"), None, "off unless asked for");
        let path = Target::parse("/apis/metrics.k8s.io/v1beta1").expect("parses");
        let with = Discovery::new(Vec::new(), None).with_usage(true);
        insta::assert_json_snapshot!("usage", with.document(path.segments()));
        insta::assert_json_snapshot!("usage_aggregated", with.aggregated("v2")["items"][1]);
    }

    #[test]
    fn aggregated_document() {
        insta::assert_json_snapshot!("aggregated", discovery().aggregated("v2"));
    }
}
