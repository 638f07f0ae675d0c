//! [`Question`]: what a policy asks a metrics API. Pure.

use std::fmt::Write as _;

use k8s_openapi::{api::autoscaling::v2::MetricIdentifier, apimachinery::pkg::apis::meta::v1::LabelSelector};
use rbg_autoscaler::api::{
    autoscaler::{MetricEntry, RoleBasedGroupAutoscalerSpec},
    rbg::{GROUP_NAME, ROLE_NAME},
};

use crate::cache::store::ObjectKey;

/// Where in a policy an answer belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A metric of a role, by its place.
    Metric(String, usize),
    /// A wake signal of a role, by its place.
    Wake(String, usize),
}

/// One question to a metrics API.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Where the answer belongs.
    pub place: Place,
    pub(super) namespace: String,
    pub(super) subject: Subject,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Subject {
    /// The usage of a resource by the pods of a role.
    Resource { pods: String, resource: String },
    /// A metric of the pods of a role.
    Pods { pods: String, metric: Metric },
    /// A metric of one object.
    Object { api_version: String, kind: String, name: String, metric: Metric },
    /// A metric of nothing in the cluster.
    External(Metric),
}

/// A metric by name and selector.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metric {
    pub(super) name: String,
    /// As text; empty when unset, which is no filter at all.
    pub(super) selector: String,
}

/// Returns what a policy asks the metrics APIs; the short form asks nothing here.
pub fn questions(spec: &RoleBasedGroupAutoscalerSpec, group: &ObjectKey) -> Vec<Question> {
    let mut questions = Vec::new();
    for role in &spec.roles {
        let wakes = role.scale_to_zero.iter().flat_map(|rule| &rule.wake_on);
        if role.metrics.iter().chain(wakes).all(|entry| entry.type_.is_none()) {
            continue;
        }
        let pods = format!("{GROUP_NAME}={},{ROLE_NAME}={}", group.name, role.name);
        let wake = role.scale_to_zero.iter().flat_map(|rule| &rule.wake_on);
        let places = role
            .metrics
            .iter()
            .enumerate()
            .map(|(index, entry)| (Place::Metric(role.name.clone(), index), entry));
        let wakes = wake.enumerate().map(|(index, entry)| (Place::Wake(role.name.clone(), index), entry));
        for (place, entry) in places.chain(wakes) {
            if let Some(subject) = subject(entry, &pods) {
                questions.push(Question { place, namespace: group.namespace.clone(), subject });
            }
        }
    }
    questions
}

fn subject(entry: &MetricEntry, pods: &str) -> Option<Subject> {
    Some(match entry.type_.as_deref()? {
        "Resource" => {
            Subject::Resource { pods: pods.to_owned(), resource: entry.resource.as_ref()?.name.clone() }
        }
        "ContainerResource" => Subject::Resource {
            pods: pods.to_owned(),
            resource: entry.container_resource.as_ref()?.name.clone(),
        },
        "Pods" => Subject::Pods { pods: pods.to_owned(), metric: metric(&entry.pods.as_ref()?.metric) },
        "Object" => {
            let source = entry.object.as_ref()?;
            Subject::Object {
                api_version: source.described_object.api_version.clone().unwrap_or_default(),
                kind: source.described_object.kind.clone(),
                name: source.described_object.name.clone(),
                metric: metric(&source.metric),
            }
        }
        "External" => Subject::External(metric(&entry.external.as_ref()?.metric)),
        _ => return None,
    })
}

fn metric(identifier: &MetricIdentifier) -> Metric {
    Metric {
        name: identifier.name.clone(),
        selector: identifier.selector.as_ref().map(selector_text).unwrap_or_default(),
    }
}

/// Returns a selector as it stands in a query: `a=b,c in (d,e),!f`.
fn selector_text(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let values = || expression.values.as_deref().unwrap_or_default().join(",");
        match expression.operator.as_str() {
            "In" => format!("{} in ({})", expression.key, values()),
            "NotIn" => format!("{} notin ({})", expression.key, values()),
            "DoesNotExist" => format!("!{}", expression.key),
            _ => expression.key.clone(),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

impl Question {
    /// Returns the path to GET. `version` is that of custom.metrics.k8s.io, `resource` what the object's kind is called
    /// in a path.
    pub(super) fn path(&self, version: &str, resource: &str) -> String {
        let namespace = encoded(&self.namespace);
        let custom = format!("/apis/custom.metrics.k8s.io/{version}/namespaces/{namespace}");
        match &self.subject {
            Subject::Resource { pods, .. } => with_query(
                format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"),
                &[("labelSelector", pods)],
            ),
            Subject::Pods { pods, metric } => with_query(
                format!("{custom}/pods/%2A/{}", encoded(&metric.name)),
                &[("labelSelector", pods), ("metricLabelSelector", &metric.selector)],
            ),
            Subject::Object { name, metric, .. } => {
                let metric_name = encoded(&metric.name);
                // As the HPA asks: the namespace itself is always its own.
                let path = if resource == "namespaces" {
                    format!("{custom}/metrics/{metric_name}")
                } else {
                    format!("{custom}/{}/{}/{metric_name}", encoded(resource), encoded(name))
                };
                with_query(path, &[("metricLabelSelector", &metric.selector)])
            }
            Subject::External(metric) => with_query(
                format!(
                    "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{}",
                    encoded(&metric.name)
                ),
                &[("labelSelector", &metric.selector)],
            ),
        }
    }
}

fn with_query(path: String, parameters: &[(&str, &str)]) -> String {
    let given: Vec<_> = parameters.iter().filter(|(_, value)| !value.is_empty()).collect();
    let query: Vec<_> = given.into_iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

/// Percent-encodes everything but unreserved characters.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
