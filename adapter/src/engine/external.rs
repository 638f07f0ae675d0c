//! external.metrics.k8s.io by rules: metrics that belong to no object.

use crate::{
    answers::Made,
    engine::{Engine, Kept},
    reply::{ExternalValue, external_list},
    request::{ExternalRequest, RequestError},
    rules::query::Escaping,
};

impl Engine {
    /// Answers a request. Errors: 404 for an unknown metric or without any rules.
    pub async fn external(&self, request: &ExternalRequest) -> Result<Made, RequestError> {
        let book = self.book().ok_or_else(RequestError::no_such_path)?;
        let plan = book.external(request, Escaping::NAMES)?;
        let answered = self.answered(&plan.query, Kept::Long).await?;
        answered.vector.whole()?;
        let basis = Some(self.basis(&answered, None));
        let items = answered.vector.elements.iter().map(|element| ExternalValue {
            metric: &request.metric,
            labels: &element.labels,
            time: element.time,
            window_seconds: None,
            value: element.value,
        });
        Ok(Made { body: external_list(items)?.into(), basis })
    }
}
