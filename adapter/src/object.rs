//! custom.metrics.k8s.io about things that stand for pods of RoleBasedGroups: the group, the scaling adapter of one of its roles, the
//! namespace with all its groups.
//!
//! The value is that of their pods together, by the signal's fold: the sum, or the largest share. Whose a pod is its labels say: a
//! group's name may contain dashes, so the name of a scaling adapter, `<group>-<role>`, is compared and never taken apart.

use std::{collections::BTreeMap, sync::Arc};

use rbg_autoscaler::{
    api::rbg::{GROUP_NAME, ROLE_NAME, scaling_adapter_name},
    metrics::{Fold, Signal},
    units::MilliValue,
};

use crate::{
    answers::Made,
    custom::unavailable,
    discovery::Exposed,
    pods::Pod,
    reply::{ObjectValue, ValueList},
    request::{CustomRequest, GroupResource, ObjectName, RequestError},
    total::{Gathered, Gatherer, Selected, has_total},
};

/// The API group of RoleBasedGroups, and its version in references.
const WORKLOADS: &str = "workloads.x-k8s.io";
const WORKLOADS_VERSION: &str = "workloads.x-k8s.io/v1alpha2";

/// A kind of object that stands for pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A RoleBasedGroup: all its pods.
    Group,
    /// A RoleBasedGroupScalingAdapter: the pods of its role.
    ScalingAdapter,
    /// A namespace: the pods of all groups in it.
    Namespace,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Group, Self::ScalingAdapter, Self::Namespace];

    /// Returns the kind that a request names, by its plural or singular.
    pub fn of(resource: &GroupResource) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            let plural = kind.plural();
            let is_named = resource.resource == plural || resource.resource == plural.trim_end_matches('s');
            is_named && resource.group == kind.api_group()
        })
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Group => "rolebasedgroups",
            Self::ScalingAdapter => "rolebasedgroupscalingadapters",
            Self::Namespace => "namespaces",
        }
    }

    fn api_group(self) -> &'static str {
        if self == Self::Namespace { "" } else { WORKLOADS }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Group => "RoleBasedGroup",
            Self::ScalingAdapter => "RoleBasedGroupScalingAdapter",
            Self::Namespace => "Namespace",
        }
    }

    /// References have a slash before the version of the core group as well.
    fn api_version(self) -> &'static str {
        if self == Self::Namespace { "/v1" } else { WORKLOADS_VERSION }
    }

    /// The name of the object that a pod belongs to.
    fn object(self, namespace: &str, pod: &Pod) -> Option<String> {
        let group = pod.label(GROUP_NAME)?;
        match self {
            Self::Group => Some(group.to_owned()),
            Self::ScalingAdapter => Some(scaling_adapter_name(group, pod.label(ROLE_NAME)?)),
            Self::Namespace => Some(namespace.to_owned()),
        }
    }
}

/// Returns how discovery lists a signal, besides for pods.
pub fn exposed(signal: &Signal) -> impl Iterator<Item = Exposed> {
    let kinds = if has_total(signal) { &Kind::ALL[..] } else { &[] };
    kinds.iter().map(|kind| Exposed {
        resource: GroupResource::new(kind.api_group(), kind.plural()).to_string(),
        metric: signal.name.clone(),
        namespaced: *kind != Kind::Namespace,
    })
}

/// Answers a request about one such object, or about all of a kind that have a value.
///
/// Errors: as those of [`Gatherer::gather`]; 404 for an object without pods; 400 for `*` with a label selector, since objects'
/// labels are not read.
pub async fn answer(
    gatherer: &Gatherer<'_>,
    signal: &Signal,
    kind: Kind,
    request: &CustomRequest,
) -> Result<Made, RequestError> {
    if !gatherer.pods.is_synced() {
        return Err(unavailable("the pods of the cluster are not listed yet".to_owned()));
    }
    let metric = request.metric.as_str();
    let namespaces: Vec<String> = match (kind, &request.namespace, &request.name) {
        (Kind::Namespace, None, ObjectName::All) => gatherer.pods.namespaces(),
        (Kind::Namespace, None, ObjectName::One(name)) => vec![name.clone()],
        (Kind::Group | Kind::ScalingAdapter, Some(namespace), _) => vec![namespace.clone()],
        _ => {
            let resource = &request.resource;
            let message = format!("the server could not find the metric {metric} for {resource}");
            return Err(RequestError::not_found(message));
        }
    };
    if request.name == ObjectName::All && !request.label_selector.is_empty() {
        let plural = kind.plural();
        let message = format!(
            "labelSelector: the labels of {plural} are not read; ask for one of them by name, or for all"
        );
        return Err(RequestError::bad_request(message));
    }
    let mut found: Vec<(String, String, Gathered)> = Vec::new();
    for namespace in namespaces {
        // Before the pods are looked at: what changes meanwhile makes another number.
        let generation = gatherer.pods.generation(&namespace);
        for (name, pods) in objects(gatherer, kind, &namespace, &request.name)? {
            let parts =
                gatherer.gather(signal, &request.metric_selector, &namespace, &pods, generation).await;
            match (parts, &request.name) {
                (Ok(parts), _) => found.push((namespace.clone(), name, parts)),
                (Err(error), ObjectName::One(_)) => return Err(told(&error, kind, &name)),
                (Err(error), ObjectName::All) if error.code == 400 => return Err(error),
                (Err(_), ObjectName::All) => {}
            }
        }
    }
    if let (ObjectName::One(name), true) = (&request.name, found.is_empty()) {
        let what = kind.name();
        let message = format!(
            "the server could not find the metric {metric} for {what} {name}: it has no pods of a RoleBasedGroup"
        );
        return Err(RequestError::not_found(message));
    }
    let items = found.iter().filter_map(|(namespace, name, parts)| {
        let fold = |one: MilliValue, other: MilliValue| match signal.fold {
            Fold::Sum => one.saturating_add(other),
            Fold::Max => one.max(other),
        };
        Some(ObjectValue {
            kind: kind.name(),
            api_version: kind.api_version(),
            namespace: Some(namespace.as_str()).filter(|_| kind != Kind::Namespace),
            name,
            time: parts.samples.iter().map(|(_, sample)| sample.time).min()?,
            window_seconds: Some(parts.window.as_secs()).filter(|seconds| *seconds > 0),
            value: parts.samples.iter().map(|(_, sample)| sample.value).reduce(fold)?,
        })
    });
    let list = ValueList {
        version: request.version,
        metric,
        selector: &request.metric_selector,
        items: items.collect(),
    };
    let body = list.to_json()?.into();
    let basis = match (&request.name, found.into_iter().next()) {
        (ObjectName::One(_), Some((_, _, parts))) => parts.basis,
        _ => None,
    };
    Ok(Made { body, basis })
}

/// The objects of a namespace that are asked about, with their pods.
///
/// Errors: 400 when a scaling adapter's name fits two roles.
fn objects(
    gatherer: &Gatherer<'_>,
    kind: Kind,
    namespace: &str,
    asked: &ObjectName,
) -> Result<BTreeMap<String, Selected>, RequestError> {
    let is_asked = |name: &String| match asked {
        ObjectName::All => true,
        ObjectName::One(one) => one == name,
    };
    let mut objects: BTreeMap<String, Selected> = BTreeMap::new();
    for (name, pod) in gatherer.pods.filter(namespace, |pod| pod.label(GROUP_NAME).is_some()) {
        if let Some(object) = kind.object(namespace, &pod).filter(is_asked) {
            objects.entry(object).or_default().push((name, pod));
        }
    }
    if kind == Kind::ScalingAdapter {
        for (name, pods) in &objects {
            let role = |pod: &Arc<Pod>| {
                (pod.label(GROUP_NAME).map(str::to_owned), pod.label(ROLE_NAME).map(str::to_owned))
            };
            let first = pods.first().map(|(_, pod)| role(pod));
            if pods.iter().any(|(_, pod)| Some(role(pod)) != first) {
                let message = format!(
                    "{name}: two roles have this name, since names contain dashes; ask for pods with a label selector, or rename a role"
                );
                return Err(RequestError::bad_request(message));
            }
        }
    }
    Ok(objects)
}

/// Says what an error is about.
fn told(error: &RequestError, kind: Kind, name: &str) -> RequestError {
    let message = format!("{} {name}: {}", kind.name(), error.message);
    RequestError { message, ..error.clone() }
}

#[cfg(test)]
mod tests;
