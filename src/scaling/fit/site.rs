//! [`admits`]: whether a node takes a pod at all, whatever its room.

use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};

/// The taint that a cordoned node is treated as having.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Why a node does not take a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bar {
    /// It is not ready or being deleted.
    NotReady,
    /// It is cordoned.
    Cordoned,
    /// It has a taint that the pod does not tolerate.
    Taint,
    /// The pod's node selector, affinity or node name names others.
    Selector,
}

impl Bar {
    /// In words, after a number of nodes.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::NotReady => "not ready",
            Self::Cordoned => "unschedulable",
            Self::Taint => "tainted",
            Self::Selector => "not selected",
        }
    }
}

/// Returns whether the node takes the pod, apart from its room.
///
/// Source: Kubernetes, assigning pods to nodes; taints and tolerations.
pub(super) fn admits(node: &Node, pod: &PodSpec) -> Result<(), Bar> {
    if !is_ready(node) {
        return Err(Bar::NotReady);
    }
    let tolerations = pod.tolerations.as_deref().unwrap_or_default();
    let spec = node.spec.as_ref();
    if spec.and_then(|spec| spec.unschedulable) == Some(true) {
        let cordon =
            Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
        if !tolerated(&cordon, tolerations) {
            return Err(Bar::Cordoned);
        }
    }
    let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    if taints.iter().any(|taint| taint.effect != "PreferNoSchedule" && !tolerated(taint, tolerations)) {
        return Err(Bar::Taint);
    }
    if is_selected(node, pod) { Ok(()) } else { Err(Bar::Selector) }
}

/// A node without a Ready condition was trimmed; its taints tell.
fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.is_none_or(|condition| condition.status == "True") && node.metadata.deletion_timestamp.is_none()
}

fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| {
        let key = toleration.key.as_deref().unwrap_or_default();
        let effect = toleration.effect.as_deref().unwrap_or_default();
        if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
            return false;
        }
        match toleration.operator.as_deref().unwrap_or_default() {
            "Exists" => true,
            "" | "Equal" => {
                !key.is_empty()
                    && toleration.value.as_deref().unwrap_or_default()
                        == taint.value.as_deref().unwrap_or_default()
            }
            _ => false,
        }
    })
}

fn is_selected(node: &Node, pod: &PodSpec) -> bool {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if pod.node_name.as_deref().is_some_and(|wanted| !wanted.is_empty() && wanted != name) {
        return false;
    }
    let label = |key: &str| node.metadata.labels.as_ref()?.get(key).map(String::as_str);
    if pod.node_selector.iter().flatten().any(|(key, value)| label(key) != Some(value)) {
        return false;
    }
    let required = |affinity: &Affinity| {
        let node_affinity = affinity.node_affinity.as_ref()?;
        let required = node_affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
        Some(required.node_selector_terms.iter().any(|term| matches(term, &label, name)))
    };
    pod.affinity.as_ref().and_then(required).unwrap_or(true)
}

/// An empty term matches nothing.
fn matches<'n>(term: &NodeSelectorTerm, label: &dyn Fn(&str) -> Option<&'n str>, name: &'n str) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let field = |key: &str| (key == "metadata.name").then_some(name);
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|requirement| meets(requirement, label(&requirement.key)))
        && fields.iter().all(|requirement| {
            matches!(&*requirement.operator, "In" | "NotIn") && meets(requirement, field(&requirement.key))
        })
}

/// A requirement that the API server would refuse is met by nothing.
fn meets(requirement: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || found.is_some_and(|found| values.iter().any(|value| value == found));
    let compare = || {
        let [bound] = values else { return None };
        Some(found?.parse::<i64>().ok()?.cmp(&bound.parse::<i64>().ok()?))
    };
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !values.is_empty() && !listed(),
        "Exists" => values.is_empty() && found.is_some(),
        "DoesNotExist" => values.is_empty() && found.is_none(),
        "Gt" => compare() == Some(std::cmp::Ordering::Greater),
        "Lt" => compare() == Some(std::cmp::Ordering::Less),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
