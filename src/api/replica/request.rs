//! [`RequestSource`]: which request of a pod a Utilization target is measured against.

use k8s_openapi::api::core::v1::Container;

use super::RolePod;
use crate::units::MilliValue;

/// Which request of a pod a Utilization target is measured against.
#[derive(Clone, Copy, Debug)]
pub struct RequestSource<'a> {
    /// The resource.
    pub resource: &'a str,
    /// The container, or the whole pod.
    pub container: Option<&'a str>,
    /// Whether a request at the level of the pod wins over those of its containers.
    pub pod_level: bool,
}

/// Returns the request of one pod in thousandths, or the HPA's complaint.
///
/// Of the whole pod: the pod-level request where there is one, else the sum over the containers and the init
/// containers that keep running. Source: Kubernetes, HPA, requests of resource metrics.
pub(super) fn of_pod(pod: &RolePod, source: RequestSource<'_>) -> Result<i64, String> {
    let empty = Vec::new();
    let spec = pod.spec();
    let containers = spec.map_or(&empty, |spec| &spec.containers);
    let sidecars = spec
        .and_then(|spec| spec.init_containers.as_ref())
        .into_iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let all = containers.iter().chain(sidecars);
    if let Some(name) = source.container {
        for container in all {
            if container.name == name {
                return of_container(pod, container, source.resource);
            }
        }
        return Err(format!("container {name} not found in Pod {}", pod.name()));
    }
    let pod_level =
        spec.and_then(|spec| spec.resources.as_ref()).and_then(|resources| resources.requests.as_ref());
    if source.pod_level
        && let Some(requests) = pod_level.filter(|requests| requests.keys().any(|name| is_pod_level(name)))
    {
        let request =
            requests.get(source.resource).and_then(|quantity| quantity.0.parse::<MilliValue>().ok());
        return request.map(MilliValue::milli).ok_or_else(|| {
            format!("missing pod-level request for {} in Pod {}", source.resource, pod.name())
        });
    }
    let mut sum = 0_i64;
    for container in all {
        sum = sum.saturating_add(of_container(pod, container, source.resource)?);
    }
    Ok(sum)
}

/// Whether a resource can be requested at the level of the pod.
fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

fn of_container(pod: &RolePod, container: &Container, resource: &str) -> Result<i64, String> {
    container
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref()?.get(resource))
        .and_then(|quantity| quantity.0.parse::<MilliValue>().ok())
        .map(MilliValue::milli)
        .ok_or_else(|| {
            format!("missing request for {resource} in container {} of Pod {}", container.name, pod.name())
        })
}
