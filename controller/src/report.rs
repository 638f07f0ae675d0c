//! Report: says what was seen, decided and done, as status, conditions and events.
//!
//! The status is written at once when something changed that a person or a program would act on, and otherwise
//! rarely: constant metrics write nothing.

mod conditions;
mod due;
mod outcome;
mod status;
mod transitions;
mod unguarded;

use std::time::Duration;

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use rbg_autoscaler::{
    api::autoscaler::{RoleBasedGroupAutoscaler, RoleBasedGroupAutoscalerStatus},
    cause::chain,
};
use serde_json::json;

pub use self::{
    conditions::{Group, inline_refusal, limit, notes, readiness},
    due::{changed, moved},
    outcome::Outcome,
    status::{Told, status},
    transitions::transitions,
    unguarded::unguarded_sleep,
};
use crate::{
    apply::{ApplyError, FIELD_MANAGER, Written},
    cache::store::ObjectKey,
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The API server could not be asked, or did not let us.
    #[error("the status could not be written")]
    Failed(#[source] Box<kube::Error>),
    /// The object is gone, or another one has its name now.
    #[error("the policy is not there any more")]
    Gone,
    /// No answer within the time given.
    #[error("the API server did not answer within {0:?}")]
    Timeout(Duration),
}

impl ReportError {
    /// Returns the kind of error as a metric label.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Failed(_) => "status_refused",
            Self::Gone => "status_gone",
            Self::Timeout(_) => "status_timeout",
        }
    }
}

/// Returns whether a status says anything that the stored one does not.
pub fn worth_writing(
    before: &RoleBasedGroupAutoscalerStatus,
    after: &RoleBasedGroupAutoscalerStatus,
) -> bool {
    changed(before, after) || moved(before, after)
}

/// Returns why a write failed, unless the world only moved on.
pub fn write_failure(written: &[Written]) -> Option<String> {
    written.iter().find_map(|written| match &written.outcome {
        Ok(_) | Err(ApplyError::Moved(_) | ApplyError::Postponed | ApplyError::NeedsScalingAdapter(_)) => {
            None
        }
        Err(error) => Some(format!("role {}: {}", written.write.role, chain(error))),
    })
}

/// Returns why a role could only be written through a scaling adapter that it does not have.
pub fn adapter_required(written: &[Written]) -> Option<String> {
    written.iter().find_map(|written| match &written.outcome {
        Err(error @ ApplyError::NeedsScalingAdapter(_)) => {
            Some(format!("role {}: {error}", written.write.role))
        }
        _ => None,
    })
}

/// Replaces the status of a policy, if it is still the object with that uid.
pub async fn report(
    client: &Client,
    key: &ObjectKey,
    uid: &str,
    status: &RoleBasedGroupAutoscalerStatus,
) -> Result<(), ReportError> {
    let api: Api<RoleBasedGroupAutoscaler> = Api::namespaced(client.clone(), &key.namespace);
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let operations: json_patch::Patch = serde_json::from_value(operations)
        .map_err(|error| ReportError::Failed(Box::new(kube::Error::SerdeError(error))))?;
    let patch = Patch::<()>::Json(operations);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = api.patch_status(&key.name, &params, &patch);
    match tokio::time::timeout(TIMEOUT, patched).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 422) && is_gone(&status) => {
            Err(ReportError::Gone)
        }
        Ok(Err(error)) => Err(ReportError::Failed(Box::new(error))),
        Err(_) => Err(ReportError::Timeout(TIMEOUT)),
    }
}

/// A failed test of the uid is a 422 without details; a status that the schema refuses has causes.
fn is_gone(status: &kube::core::Status) -> bool {
    status.code == 404 || status.details.as_ref().is_none_or(|details| details.causes.is_empty())
}
