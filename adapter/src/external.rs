//! external.metrics.k8s.io by signals: the selector is over the labels of pods, and each pod that it selects is an item, which the
//! HPA adds up. Without a selector the pods of all groups of the namespace are meant.
//!
//! As with any total nothing is answered while a pod that ought to is silent; see [`Gatherer`].

use std::collections::BTreeMap;

use rbg_autoscaler::{
    api::rbg::{GROUP_NAME, ROLE_NAME},
    metrics::Signal,
};

use crate::{
    answers::Made,
    custom::unavailable,
    pods::Pod,
    reply::{ExternalValue, external_list},
    request::{ExternalRequest, RequestError},
    selector::Selector,
    total::Gatherer,
};

/// Answers a request for a signal.
///
/// Errors: as those of [`Gatherer::gather`]; 404 when no pod is selected.
pub async fn answer(
    gatherer: &Gatherer<'_>,
    signal: &Signal,
    request: &ExternalRequest,
) -> Result<Made, RequestError> {
    if !gatherer.pods.is_synced() {
        return Err(unavailable("the pods of the cluster are not listed yet".to_owned()));
    }
    let ExternalRequest { namespace, metric, metric_selector: selector } = request;
    // Before the pods are looked at: what changes meanwhile makes another number.
    let generation = gatherer.pods.generation(namespace);
    let selected = gatherer.pods.filter(namespace, |pod| {
        if selector.is_empty() { pod.label(GROUP_NAME).is_some() } else { pod.matches(selector) }
    });
    if selected.is_empty() {
        let message = if selector.is_empty() {
            format!(
                "{metric}: namespace {namespace} has no pods of RoleBasedGroups; select others by their labels"
            )
        } else {
            format!(
                "{metric}: the selector, which is over the labels of pods, selects none in namespace {namespace}"
            )
        };
        return Err(RequestError::not_found(message));
    }
    let parts = gatherer.gather(signal, &Selector::default(), namespace, &selected, generation).await?;
    let labels: Vec<BTreeMap<&str, &str>> = parts
        .samples
        .iter()
        .map(|(place, _)| {
            let (name, pod) = &selected[*place];
            labels(namespace, name, pod)
        })
        .collect();
    let items = parts.samples.iter().zip(&labels);
    let items = items.map(|((_, sample), labels)| ExternalValue {
        metric,
        labels,
        time: sample.time,
        window_seconds: Some(parts.window.as_secs()).filter(|seconds| *seconds > 0),
        value: sample.value,
    });
    Ok(Made { body: external_list(items)?.into(), basis: parts.basis })
}

/// What tells one pod's item from another's.
fn labels<'a>(namespace: &'a str, name: &'a str, pod: &'a Pod) -> BTreeMap<&'a str, &'a str> {
    let role = [("group", pod.label(GROUP_NAME)), ("role", pod.label(ROLE_NAME))];
    let role = role.into_iter().filter_map(|(key, value)| Some((key, value?)));
    [("namespace", namespace), ("pod", name)].into_iter().chain(role).collect()
}
