//! external.metrics.k8s.io by rules: metrics that belong to no object.

use std::collections::BTreeMap;

use rbg_autoscaler::units::MilliValue;
use serde::Serialize;

use crate::{
    answers::Made,
    engine::{Engine, Kept},
    reply::whole_seconds,
    request::{ExternalRequest, RequestError},
    rules::query::Escaping,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: BTreeMap<String, String>,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    metric_name: &'a str,
    metric_labels: &'a BTreeMap<String, String>,
    timestamp: String,
    value: MilliValue,
}

impl Engine {
    /// Answers a request. Errors: 404 for an unknown metric or without any rules.
    pub async fn external(&self, request: &ExternalRequest) -> Result<Made, RequestError> {
        let book = self.book().ok_or_else(RequestError::no_such_path)?;
        let plan = book.external(request, Escaping::NAMES)?;
        let answered = self.answered(&plan.query, Kept::Long).await?;
        let basis = Some(self.basis(&answered, None));
        let items = answered.vector.elements.iter().map(|element| Item {
            metric_name: &request.metric,
            metric_labels: &element.labels,
            timestamp: whole_seconds(element.time),
            value: element.value,
        });
        let body = serde_json::to_vec(&List {
            kind: "ExternalMetricValueList",
            api_version: "external.metrics.k8s.io/v1beta1",
            metadata: BTreeMap::new(),
            items: items.collect(),
        })
        .map_err(RequestError::internal)?;
        Ok(Made { body: body.into(), basis })
    }
}
