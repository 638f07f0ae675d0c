//! custom.metrics.k8s.io by rules: metrics of objects of any kind.

use std::collections::HashMap;

use crate::{
    answers::Made,
    engine::{
        Engine, Kept,
        objects::api_version,
        vector::{Element, Vector},
    },
    reply::{ObjectValue, ValueList},
    request::{CustomRequest, ObjectName, RequestError},
    rules::{
        query::Escaping,
        resources::ObjectKind,
        rulebook::{Plan, Rulebook},
    },
};

impl Engine {
    /// Answers a request if a rule makes the metric; `None` when no rule does.
    ///
    /// `selector_text` is the request's label selector as it came.
    pub async fn custom(
        &self,
        request: &CustomRequest,
        selector_text: &str,
    ) -> Option<Result<Made, RequestError>> {
        let book = self.book()?;
        let kind = book.kind(&request.resource)?.clone();
        let origin = book.registry().custom(&kind.group_resource(), &request.metric)?;
        // A rule of the plain form is a signal, which the collector's snapshot answers.
        origin.series.as_ref()?;
        Some(self.ruled(&book, &kind, request, selector_text).await)
    }

    async fn ruled(
        &self,
        book: &Rulebook,
        kind: &ObjectKind,
        request: &CustomRequest,
        selector_text: &str,
    ) -> Result<Made, RequestError> {
        // Before the pods are looked at: what changes meanwhile makes another number.
        let pods = self.followed(kind, request);
        let names = self.names(kind, request, selector_text).await?;
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = book.custom(request, &wanted, Escaping::NAMES)?;
        let (promql, kept) =
            plan.batch.as_ref().map_or((&plan.query, Kept::Short), |batch| (&batch.query, Kept::Long));
        let answered = self.answered(promql, kept).await?;
        // A pod that is missing the HPA fills in by itself; a total it must take as it is.
        if !kind.group_resource().is_pods() {
            answered.vector.whole()?;
        }
        // Who is meant by a selector over other kinds is asked of the API server now and then.
        let is_kept = pods.is_some() || matches!(request.name, ObjectName::One(_));
        let basis = is_kept.then(|| self.basis(&answered, pods));
        let values = by_object(&plan, request.namespace.as_deref(), &answered.vector);
        // References have a slash before the version of the core group as well.
        let api_version =
            if kind.group.is_empty() { format!("/{}", kind.version) } else { api_version(kind) };
        let namespace = request.namespace.as_deref();
        let items: Vec<_> = wanted
            .iter()
            .filter_map(|name| {
                let element = values.get(name)?;
                Some(ObjectValue {
                    kind: &kind.kind,
                    api_version: &api_version,
                    namespace,
                    name,
                    time: element.time,
                    window_seconds: None,
                    value: element.value,
                })
            })
            .collect();
        if let (ObjectName::One(name), true) = (&request.name, items.is_empty()) {
            let (metric, resource) = (&request.metric, &request.resource);
            let message = format!(
                "the server could not find the metric {metric} for {resource} {name}: {} found no value of it",
                plan.rule
            );
            return Err(RequestError::not_found(message));
        }
        let selector = &request.metric_selector;
        let list = ValueList { version: request.version, metric: &request.metric, selector, items };
        Ok(Made { body: list.to_json()?.into(), basis })
    }

    /// The pods that an answer is about, if the list of them is ours to follow: those of `*`.
    fn followed(&self, kind: &ObjectKind, request: &CustomRequest) -> Option<(String, u64)> {
        let namespace = request.namespace.as_ref()?;
        let is_pods = kind.group_resource().is_pods();
        let generation =
            self.pods.generation(namespace).filter(|_| is_pods && request.name == ObjectName::All)?;
        Some((namespace.clone(), generation))
    }
}

/// The values by object's name; the last one wins if there are several. Those of other namespaces are left out.
fn by_object<'a>(plan: &Plan, namespace: Option<&str>, vector: &'a Vector) -> HashMap<&'a str, &'a Element> {
    let Some(label) = &plan.label else { return HashMap::new() };
    let is_whole_cluster = plan.batch.as_ref().is_some_and(|batch| batch.whole_cluster);
    let elements = match (&plan.namespace_label, namespace) {
        (Some(label), Some(namespace)) if is_whole_cluster => vector.labelled(label, namespace),
        _ => vector.elements.iter().collect(),
    };
    elements.into_iter().filter_map(|element| Some((element.labels.get(label)?.as_str(), element))).collect()
}
