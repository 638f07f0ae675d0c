//! [`adopt`]: writes the object adopted from inline text, or deletes it.

use std::time::Duration;

use http::{Method, Request};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use rbg_autoscaler::api::{autoscaler::RoleBasedGroupAutoscaler, rbg::RoleBasedGroup};
use serde_json::{Value, json};

use super::{HASH_ANNOTATION, InlinePolicy, ORIGIN_INLINE, ORIGIN_LABEL, Plan, adopted_name};
use crate::apply::FIELD_MANAGER;

const TIMEOUT: Duration = Duration::from_secs(10);

/// An object to write from inline text.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// The hash of the text.
    pub hash: String,
    /// Whether hand edits of the object are overwritten.
    pub restores: bool,
    namespace: String,
    name: String,
    replaces: bool,
    body: Value,
}

impl Adoption {
    pub(super) fn new(
        group: &RoleBasedGroup,
        inline: &InlinePolicy,
        existing: Option<&RoleBasedGroupAutoscaler>,
        restores: bool,
    ) -> Self {
        let namespace = group.namespace().unwrap_or_default();
        let name = adopted_name(&group.name_any());
        let mut meta = existing.map(|existing| existing.metadata.clone()).unwrap_or_default();
        meta.name = Some(name.clone());
        meta.namespace = Some(namespace.clone());
        meta.managed_fields = None;
        meta.owner_references = group.controller_owner_ref(&()).map(|owner| vec![owner]);
        meta.labels.get_or_insert_default().insert(ORIGIN_LABEL.to_owned(), ORIGIN_INLINE.to_owned());
        meta.annotations.get_or_insert_default().insert(HASH_ANNOTATION.to_owned(), inline.hash().to_owned());
        let body = json!({
            "apiVersion": RoleBasedGroupAutoscaler::api_version(&()),
            "kind": RoleBasedGroupAutoscaler::kind(&()),
            "metadata": meta,
            "spec": inline.spec(group),
        });
        Self { hash: inline.hash().to_owned(), restores, namespace, name, replaces: existing.is_some(), body }
    }

    /// Returns the object as it is sent.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// A PUT of the whole spec rather than an apply, because fields that were added by hand must go; with strict
    /// validation, because an unknown field in the text is a typing error.
    fn request(&self) -> Result<Request<Vec<u8>>, kube::Error> {
        let collection = RoleBasedGroupAutoscaler::url_path(&(), Some(&self.namespace));
        let (method, path) = if self.replaces {
            (Method::PUT, format!("{collection}/{}", self.name))
        } else {
            (Method::POST, collection)
        };
        Request::builder()
            .method(method)
            .uri(format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&self.body).map_err(kube::Error::SerdeError)?)
            .map_err(kube::Error::HttpError)
    }
}

/// Why inline text was not adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The API server refuses the text; its message says why.
    #[error("{0}")]
    Invalid(String),
    /// The object is not as it was observed.
    #[error("the adopted object changed meanwhile")]
    Moved(#[source] kube::Error),
    /// The API server could not be asked, or did not let us.
    #[error("the adopted object could not be written")]
    Failed(#[source] kube::Error),
    /// No answer within the time given.
    #[error("the API server did not answer within {0:?}")]
    Timeout(Duration),
}

impl AdoptError {
    fn from_kube(error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else { return Self::Failed(error) };
        match status.code {
            400 | 422 => Self::Invalid(status.message.clone()),
            404 | 409 => Self::Moved(error),
            _ => Self::Failed(error),
        }
    }

    /// Returns the kind of error as a metric label.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_inline_policy",
            Self::Moved(_) => "conflict",
            Self::Failed(_) => "refused",
            Self::Timeout(_) => "timeout",
        }
    }
}

/// Carries a plan out.
pub async fn adopt(client: &Client, namespace: &str, plan: &Plan) -> Result<(), AdoptError> {
    let answer = match plan {
        Plan::Settled | Plan::Gone => return Ok(()),
        Plan::Invalid(message) => return Err(AdoptError::Invalid(message.clone())),
        Plan::Write(adoption) => {
            let request = adoption.request().map_err(AdoptError::Failed)?;
            tokio::time::timeout(TIMEOUT, client.request::<Value>(request))
                .await
                .map(|answer| answer.map(drop))
        }
        Plan::Remove { name, uid, resource_version } => {
            let api: Api<RoleBasedGroupAutoscaler> = Api::namespaced(client.clone(), namespace);
            let preconditions =
                Preconditions { uid: Some(uid.clone()), resource_version: Some(resource_version.clone()) };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            tokio::time::timeout(TIMEOUT, api.delete(name, &params)).await.map(|answer| answer.map(drop))
        }
    };
    answer.map_err(|_| AdoptError::Timeout(TIMEOUT))?.map_err(AdoptError::from_kube)
}
