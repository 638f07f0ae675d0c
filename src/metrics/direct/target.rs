//! [`Target`]: which pods are scraped, and where.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerPort, Pod};

use crate::api::rbg::GROUP_NAME;

/// Annotation: `true` scrapes a pod that belongs to no group, `false` leaves out one that does.
const SCRAPE: &str = "prometheus.io/scrape";
/// Annotation: the port of the metrics.
const PORT: &str = "prometheus.io/port";
/// Annotation: the path of the metrics, `/metrics` when absent.
const PATH: &str = "prometheus.io/path";
/// Annotation: `http` (when absent) or `https`.
const SCHEME: &str = "prometheus.io/scheme";
/// Names of container ports that serve metrics, the likeliest first.
const PORT_NAMES: [&str; 4] = ["metrics", "http-metrics", "prometheus", "http"];

/// Which pods are scraped at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Pods of the roles of RoleBasedGroups.
    Roles,
    /// Those, and every other pod that carries `prometheus.io/scrape: "true"`.
    RolesAndAnnotated,
}

/// A pod that is scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID: names are used again.
    pub uid: String,
    /// Where its metrics are.
    pub url: String,
}

/// Why a pod that ought to be scraped cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing tells the port.
    #[error("no port to scrape: annotate the pod with {PORT}, or name a container port metrics or http")]
    NoPort,
    /// The annotation of the port is no port.
    #[error("annotation {PORT}: {0:?} is not a port; write a number from 1 to 65535")]
    Port(String),
    /// The annotation of the scheme is neither of the two.
    #[error("annotation {SCHEME}: {0:?} is not a scheme; write http or https")]
    Scheme(String),
}

impl Target {
    /// Returns where a pod is scraped; `None` for one that is not, has no address yet or has ended.
    ///
    /// The port is that of the annotation, else the container port named `metrics`, `http-metrics`, `prometheus` or `http`, else
    /// the only one.
    pub fn of(pod: &Pod, scope: Scope) -> Option<Result<Self, TargetError>> {
        let nothing = BTreeMap::new();
        let annotations = pod.metadata.annotations.as_ref().unwrap_or(&nothing);
        let annotation = |name: &str| annotations.get(name).map(|value| value.trim());
        let is_of_a_role = pod.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(GROUP_NAME));
        let is_wanted = match annotation(SCRAPE) {
            Some("false") => false,
            Some("true") => is_of_a_role || scope == Scope::RolesAndAnnotated,
            _ => is_of_a_role,
        };
        let status = pod.status.as_ref()?;
        if !is_wanted || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return None;
        }
        let address = status.pod_ip.as_deref().filter(|address| !address.is_empty())?;
        let url = || {
            let scheme = annotation(SCHEME).unwrap_or("http");
            if !matches!(scheme, "http" | "https") {
                return Err(TargetError::Scheme(scheme.to_owned()));
            }
            let port = match annotation(PORT) {
                Some(text) => text.parse().ok().filter(|port: &u16| *port > 0).ok_or(text),
                None => return Ok((scheme, declared_port(pod).ok_or(TargetError::NoPort)?)),
            };
            Ok((scheme, port.map_err(|text| TargetError::Port(text.to_owned()))?))
        };
        let path = annotation(PATH).unwrap_or("/metrics").trim_start_matches('/');
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        Some(url().map(|(scheme, port)| Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            pod: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            url: format!("{scheme}://{host}:{port}/{path}"),
        }))
    }
}

/// The container port that serves metrics by its name, or the only one.
fn declared_port(pod: &Pod) -> Option<u16> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let is_tcp = |port: &&ContainerPort| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP");
    let ports: Vec<&ContainerPort> =
        containers.flat_map(|container| container.ports.iter().flatten()).filter(is_tcp).collect();
    let named = |name: &&str| ports.iter().find(|port| port.name.as_deref() == Some(name));
    let chosen = match (PORT_NAMES.iter().find_map(named), ports.as_slice()) {
        (Some(port), _) => port,
        (None, [only]) => only,
        _ => return None,
    };
    u16::try_from(chosen.container_port).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    struct Case {
        name: &'static str,
        is_of_a_role: bool,
        annotations: Value,
        ports: Value,
        want: Option<Result<&'static str, TargetError>>,
    }

    fn pod(case: &Case) -> Pod {
        let labels = if case.is_of_a_role { json!({GROUP_NAME: "demo"}) } else { json!({}) };
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": labels, "annotations": case.annotations},
            "spec": {"containers": [{"name": "engine", "ports": case.ports}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1"},
        }))
        .expect("a pod")
    }

    #[test]
    fn pods_and_their_ports() {
        let two = json!([{"containerPort": 8000, "name": "grpc"}, {"containerPort": 9000, "name": "http"}]);
        let cases = [
            Case {
                name: "a stranger",
                is_of_a_role: false,
                annotations: json!({}),
                ports: two.clone(),
                want: None,
            },
            Case {
                name: "a stranger that asks for it",
                is_of_a_role: false,
                annotations: json!({SCRAPE: "true", PORT: "81", PATH: "stats", SCHEME: "https"}),
                ports: json!([]),
                want: Some(Ok("https://10.0.0.1:81/stats")),
            },
            Case {
                name: "a named port",
                is_of_a_role: true,
                annotations: json!({}),
                ports: two.clone(),
                want: Some(Ok("http://10.0.0.1:9000/metrics")),
            },
            Case {
                name: "metrics before http",
                is_of_a_role: true,
                annotations: json!({}),
                ports: json!([{"containerPort": 1, "name": "http"}, {"containerPort": 2, "name": "metrics"}]),
                want: Some(Ok("http://10.0.0.1:2/metrics")),
            },
            Case {
                name: "the only port",
                is_of_a_role: true,
                annotations: json!({}),
                ports: json!([{"containerPort": 8000}, {"containerPort": 7, "protocol": "UDP"}]),
                want: Some(Ok("http://10.0.0.1:8000/metrics")),
            },
            Case {
                name: "which of two",
                is_of_a_role: true,
                annotations: json!({}),
                ports: json!([{"containerPort": 8000}, {"containerPort": 8001}]),
                want: Some(Err(TargetError::NoPort)),
            },
            Case {
                name: "not wanted",
                is_of_a_role: true,
                annotations: json!({SCRAPE: "false"}),
                ports: two.clone(),
                want: None,
            },
            Case {
                name: "no port",
                is_of_a_role: true,
                annotations: json!({PORT: "http"}),
                ports: two.clone(),
                want: Some(Err(TargetError::Port("http".to_owned()))),
            },
            Case {
                name: "no scheme",
                is_of_a_role: true,
                annotations: json!({SCHEME: "ftp"}),
                ports: two,
                want: Some(Err(TargetError::Scheme("ftp".to_owned()))),
            },
        ];
        for case in &cases {
            let got = Target::of(&pod(case), Scope::RolesAndAnnotated);
            let got = got.map(|target| target.map(|target| target.url));
            assert_eq!(got, case.want.clone().map(|want| want.map(str::to_owned)), "{}", case.name);
        }
        assert_eq!(Target::of(&pod(&cases[1]), Scope::Roles), None, "only roles");
    }

    #[test]
    fn pods_without_an_address_or_an_end() {
        let case = Case {
            name: "",
            is_of_a_role: true,
            annotations: json!({}),
            ports: json!([{"containerPort": 8000}]),
            want: None,
        };
        let changed = |phase: &str, address: Option<&str>| {
            let mut pod = pod(&case);
            if let Some(status) = &mut pod.status {
                (status.phase, status.pod_ip) = (Some(phase.to_owned()), address.map(str::to_owned));
            }
            Target::of(&pod, Scope::Roles).map(|target| target.map(|target| target.url))
        };
        assert_eq!(changed("Failed", Some("10.0.0.1")), None);
        assert_eq!(changed("Pending", None), None);
        assert_eq!(changed("Running", Some("fd00::1")), Some(Ok("http://[fd00::1]:8000/metrics".to_owned())));
    }
}
