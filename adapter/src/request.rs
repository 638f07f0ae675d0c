//! [`MetricRequest`]: what a request path under `/apis` asks for, parsed once at the edge.
//!
//! Covers the paths that answer values (custom, external and resource metrics); discovery is the server's own.
//! Knows nothing of rules, objects or samples.

use std::fmt;

use crate::{
    request::target::Target,
    selector::{Selector, SelectorError},
};

pub mod target;

/// The group of metrics about Kubernetes objects.
pub const CUSTOM_GROUP: &str = "custom.metrics.k8s.io";
/// The group of metrics about anything else.
pub const EXTERNAL_GROUP: &str = "external.metrics.k8s.io";
/// The group of CPU and memory usage.
pub const RESOURCE_GROUP: &str = "metrics.k8s.io";

/// A failed request, ready to become a Kubernetes `Status`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// The HTTP status code.
    pub code: u16,
    /// The `Status` reason, such as `NotFound`.
    pub reason: &'static str,
    /// The cause in words; the HPA shows it in its condition.
    pub message: String,
}

impl RequestError {
    /// Returns a 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { code: 400, reason: "BadRequest", message: message.into() }
    }

    /// Returns a 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { code: 404, reason: "NotFound", message: message.into() }
    }

    /// Returns the 404 of a path that nothing serves.
    pub fn no_such_path() -> Self {
        Self::not_found("the server could not find the requested resource")
    }

    /// Returns a 500 in the apiserver's wording.
    pub fn internal(message: impl fmt::Display) -> Self {
        let message = format!("Internal error occurred: {message}");
        Self { code: 500, reason: "InternalError", message }
    }

    /// Returns a 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self { code: 405, reason: "MethodNotAllowed", message }
    }
}

impl From<SelectorError> for RequestError {
    fn from(error: SelectorError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// A group and a resource as a path names them: plural or singular, the group possibly missing or shortened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, such as `pods`.
    pub resource: String,
}

impl GroupResource {
    /// Returns the pair.
    pub fn new(group: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { group: group.into(), resource: resource.into() }
    }

    /// Says whether these are the pods of the core group, by their plural.
    pub fn is_pods(&self) -> bool {
        self.group.is_empty() && self.resource == "pods"
    }

    /// Parses `resource[.group]`, split at the first dot.
    pub fn parse(text: &str) -> Self {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Self::new(group, resource)
    }
}

impl fmt::Display for GroupResource {
    /// Writes `resource[.group]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// Which objects are asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ObjectName {
    /// `*`: all that the label selector selects.
    All,
    /// One object; the label selector is ignored.
    One(String),
}

impl ObjectName {
    fn parse(text: &str) -> Self {
        if text == "*" { Self::All } else { Self::One(text.to_owned()) }
    }
}

/// The versions of custom.metrics.k8s.io; they differ in their JSON only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CustomVersion {
    /// v1beta1
    V1Beta1,
    /// v1beta2
    V1Beta2,
}

/// A request for values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricRequest {
    /// custom.metrics.k8s.io
    Custom(CustomRequest),
    /// external.metrics.k8s.io
    External(ExternalRequest),
    /// metrics.k8s.io
    Resource(ResourceRequest),
}

/// A metric of Kubernetes objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomRequest {
    /// The version of the answer.
    pub version: CustomVersion,
    /// The namespace in the path; `None` for root-scoped objects and for namespaces themselves.
    pub namespace: Option<String>,
    /// The kind of object as asked.
    pub resource: GroupResource,
    /// Which objects.
    pub name: ObjectName,
    /// The metric's name.
    pub metric: String,
    /// `labelSelector`: which objects of `*`.
    pub label_selector: Selector,
    /// `metricLabelSelector`: which series.
    pub metric_selector: Selector,
}

/// A metric that belongs to no object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalRequest {
    /// The namespace in the path.
    pub namespace: String,
    /// The metric's name.
    pub metric: String,
    /// `labelSelector`: which series.
    pub metric_selector: Selector,
}

/// CPU and memory usage of pods or nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRequest {
    /// Pods, or nodes.
    pub target: ResourceTarget,
    /// Which of them; [`ObjectName::All`] for a list.
    pub name: ObjectName,
    /// `labelSelector`, for a list.
    pub label_selector: Selector,
    /// `fieldSelector` on `metadata.name`, for a list.
    pub field_name: Option<String>,
}

/// What usage is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceTarget {
    /// Nodes.
    Nodes,
    /// Pods, of one namespace or of all.
    Pods(Option<String>),
}

impl MetricRequest {
    /// Parses a path with its query, such as
    /// `/apis/custom.metrics.k8s.io/v1beta2/namespaces/a/pods/*/queue_length?labelSelector=app%3Dweb`.
    ///
    /// Errors: 404 for a path that asks for no value, 400 for a malformed one, 405 for a watch of external metrics.
    pub fn parse(path_and_query: &str) -> Result<Self, RequestError> {
        let target = Target::parse(path_and_query)?;
        let segments: Vec<&str> = target.segments().iter().map(String::as_str).collect();
        let ["apis", group, version, rest @ ..] = segments.as_slice() else {
            return Err(RequestError::no_such_path());
        };
        match (*group, *version) {
            (CUSTOM_GROUP, "v1beta1") => custom(CustomVersion::V1Beta1, rest, &target).map(Self::Custom),
            (CUSTOM_GROUP, "v1beta2") => custom(CustomVersion::V1Beta2, rest, &target).map(Self::Custom),
            (EXTERNAL_GROUP, "v1beta1") => external(rest, &target).map(Self::External),
            (RESOURCE_GROUP, "v1beta1") => usage(rest, &target).map(Self::Resource),
            _ => Err(RequestError::no_such_path()),
        }
    }
}

fn custom(version: CustomVersion, rest: &[&str], target: &Target) -> Result<CustomRequest, RequestError> {
    let (namespace, resource, name, metric) = match *rest {
        ["namespaces", _, _] => return Err(RequestError::bad_request("invalid request path")),
        ["namespaces", namespace, "metrics", metric] => (None, "namespaces", namespace, metric),
        ["namespaces", namespace, resource, name, metric] => (Some(namespace), resource, name, metric),
        [resource, name, metric] => (None, resource, name, metric),
        _ => return Err(RequestError::no_such_path()),
    };
    if metric.contains('/') {
        return Err(RequestError::no_such_path());
    }
    if let Some(field) = target.field_name()?
        && field != name
    {
        let message = format!("fieldSelector asks for metadata.name {field:?}, the path for {name:?}");
        return Err(RequestError::bad_request(message));
    }
    Ok(CustomRequest {
        version,
        namespace: namespace.map(str::to_owned),
        resource: GroupResource::parse(resource),
        name: ObjectName::parse(name),
        metric: metric.to_owned(),
        label_selector: target.selector("labelSelector")?,
        metric_selector: target.selector("metricLabelSelector")?,
    })
}

fn external(rest: &[&str], target: &Target) -> Result<ExternalRequest, RequestError> {
    let ["namespaces", namespace, metric] = *rest else {
        return Err(RequestError::no_such_path());
    };
    if metric.contains('/') {
        return Err(RequestError::no_such_path());
    }
    if target.first("watch").is_some_and(|watch| matches!(watch, "" | "1" | "t" | "true" | "True")) {
        return Err(RequestError::method_not_allowed());
    }
    Ok(ExternalRequest {
        namespace: namespace.to_owned(),
        metric: metric.to_owned(),
        metric_selector: target.selector("labelSelector")?,
    })
}

fn usage(rest: &[&str], target: &Target) -> Result<ResourceRequest, RequestError> {
    let (of, name) = match *rest {
        ["nodes"] => (ResourceTarget::Nodes, ObjectName::All),
        ["nodes", name] => (ResourceTarget::Nodes, ObjectName::One(name.to_owned())),
        ["pods"] => (ResourceTarget::Pods(None), ObjectName::All),
        ["namespaces", namespace, "pods"] => {
            (ResourceTarget::Pods(Some(namespace.to_owned())), ObjectName::All)
        }
        ["namespaces", namespace, "pods", name] => {
            (ResourceTarget::Pods(Some(namespace.to_owned())), ObjectName::One(name.to_owned()))
        }
        _ => return Err(RequestError::no_such_path()),
    };
    let label_selector = target.selector("labelSelector")?;
    let field_name = target.field_name()?.map(str::to_owned);
    Ok(ResourceRequest { target: of, name, label_selector, field_name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta1";

    fn custom_of(path: &str) -> CustomRequest {
        match MetricRequest::parse(&format!("{CUSTOM}{path}")) {
            Ok(MetricRequest::Custom(request)) => request,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn parses_the_custom_paths() {
        struct Case {
            path: &'static str,
            want: (Option<&'static str>, &'static str, &'static str, &'static str),
        }
        for case in [
            Case { path: "/nodes/n1/load", want: (None, "nodes", "n1", "load") },
            Case { path: "/nodes/%2A/load", want: (None, "nodes", "*", "load") },
            Case { path: "/namespaces/a/pods/*/q", want: (Some("a"), "pods", "*", "q") },
            Case {
                path: "/namespaces/a/pods/%2A/job%3Aq%3Arate",
                want: (Some("a"), "pods", "*", "job:q:rate"),
            },
            Case { path: "/namespaces/a/pods/p1/a%7Cb", want: (Some("a"), "pods", "p1", "a|b") },
            Case { path: "/namespaces/a/metrics/q", want: (None, "namespaces", "a", "q") },
            Case { path: "/namespaces/*/metrics/q", want: (None, "namespaces", "*", "q") },
            Case { path: "/namespaces/a/pods/p1/q/", want: (Some("a"), "pods", "p1", "q") },
            Case {
                path: "/namespaces/a/rolebasedgroups.workloads.x-k8s.io/g/q?pretty=true",
                want: (Some("a"), "rolebasedgroups.workloads.x-k8s.io", "g", "q"),
            },
        ] {
            let request = custom_of(case.path);
            let (namespace, resource, name, metric) = case.want;
            assert_eq!(request.namespace.as_deref(), namespace, "{}", case.path);
            assert_eq!(request.resource.to_string(), resource, "{}", case.path);
            assert_eq!(request.name, ObjectName::parse(name), "{}", case.path);
            assert_eq!(request.metric, metric, "{}", case.path);
        }
    }

    #[test]
    fn selectors_are_form_decoded() {
        let request = custom_of(
            "/namespaces/a/pods/*/q?labelSelector=app%3Dweb%2Ctier+in+(a)&metricLabelSelector=verb!%3DGET&limit=5",
        );
        assert_eq!(request.label_selector, Selector::parse("app=web,tier in (a)").expect("parses"));
        assert_eq!(request.metric_selector, Selector::parse("verb!=GET").expect("parses"));
        let path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/a/q?labelSelector=x%3D1";
        let Ok(MetricRequest::External(request)) = MetricRequest::parse(path) else { panic!("{path}") };
        assert_eq!((request.namespace.as_str(), request.metric.as_str()), ("a", "q"));
        assert_eq!(request.metric_selector.requirements()[0].values, ["1"]);
    }

    #[test]
    fn refuses_with_the_right_code() {
        for (path, code) in [
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/a/foo", 400),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/a", 404),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/a/pods/p", 404),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/a/pods/p/m/x", 404),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n1", 404),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes", 404),
            ("/apis/custom.metrics.k8s.io/v1beta3/nodes/n1/m", 404),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n1/a%2Fb", 404),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n%zz/m", 400),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n%ff/m", 400),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n1/m?labelSelector=a%3D%3D%3D", 400),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n1/m?metricLabelSelector=,", 400),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n1/m?fieldSelector=metadata.name%3Dn2", 400),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n1/m?fieldSelector=status.phase%3DRunning", 400),
            ("/apis/external.metrics.k8s.io/v1beta1/m", 404),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/a", 404),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/a/g/m", 404),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/a/m?watch=true", 405),
            ("/apis/metrics.k8s.io/v1beta1/services", 404),
            ("/apis", 404),
            ("", 404),
        ] {
            let error = MetricRequest::parse(path).expect_err(path);
            assert_eq!(error.code, code, "{path}: {error}");
        }
        assert_eq!(custom_of("/nodes/n1/m?fieldSelector=metadata.name%3Dn1").metric, "m");
    }

    #[test]
    fn parses_the_usage_paths() {
        for (path, target, name) in [
            ("/nodes", ResourceTarget::Nodes, ObjectName::All),
            ("/nodes/n1", ResourceTarget::Nodes, ObjectName::One("n1".into())),
            ("/pods", ResourceTarget::Pods(None), ObjectName::All),
            ("/namespaces/a/pods", ResourceTarget::Pods(Some("a".into())), ObjectName::All),
            ("/namespaces/a/pods/p", ResourceTarget::Pods(Some("a".into())), ObjectName::One("p".into())),
        ] {
            let path = format!("/apis/metrics.k8s.io/v1beta1{path}");
            let Ok(MetricRequest::Resource(request)) = MetricRequest::parse(&path) else { panic!("{path}") };
            assert_eq!((request.target, request.name), (target, name), "{path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(path in "\\PC{0,60}") {
            let _ = MetricRequest::parse(&path);
        }

        #[test]
        fn never_panics_near_the_real_paths(tail in "[a-z*/%2Af?=&.+]{0,40}") {
            let _ = MetricRequest::parse(&format!("{CUSTOM}/namespaces/{tail}"));
        }
    }
}
