//! Writes decided replicas: compare and set, lower before raise, nothing when nothing changed.
//!
//! Knows nothing of metrics or policies. A refused write means that the world moved: the caller observes and decides
//! again; nothing here retries a number.

mod error;
mod patch;

use std::time::Duration;

use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use rbg_autoscaler::{
    api::rbg::{RoleBasedGroup, RoleBasedGroupScalingAdapter},
    units::Replicas,
};

pub use self::error::ApplyError;
use self::patch::{RoleChange, group_patch, scale_body};

/// Under this name the API server records what we write.
pub const FIELD_MANAGER: &str = "rbg-autoscaler";

/// A write that takes longer has failed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the count of a role is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The scale subresource of the role's scaling adapter, as it was observed.
    ScalingAdapter {
        /// The adapter's name.
        name: String,
        /// The version that was observed.
        resource_version: String,
    },
    /// The group itself, at this place of `spec.roles`.
    Group {
        /// The role's place.
        place: usize,
    },
}

/// A decided change of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleWrite {
    /// The role's name.
    pub role: String,
    /// Where its count is written.
    pub target: Target,
    /// The count that the decision was made from.
    pub from: Replicas,
    /// The count that was decided.
    pub to: Replicas,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub struct Written {
    /// The write.
    pub write: RoleWrite,
    /// The version after it, or why it failed.
    pub outcome: Result<Version, ApplyError>,
}

/// How to tell whether an observed object already shows a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// A group shows it from this generation on.
    Generation(i64),
    /// An adapter shows it once it is no longer at the version that was observed.
    After(String),
}

/// Writes the changes of one group: first all that lower, then, if every one was acknowledged, all that raise.
///
/// Changes that are none are left out. The roles without a scaling adapter go into one patch per direction, so that
/// upstream sees one step.
pub async fn apply(client: &Client, namespace: &str, group: &str, writes: Vec<RoleWrite>) -> Vec<Written> {
    let (lower, raise): (Vec<_>, Vec<_>) =
        writes.into_iter().filter(|write| write.from != write.to).partition(|write| write.to < write.from);
    let mut written = apply_together(client, namespace, group, lower).await;
    if written.iter().any(|written| written.outcome.is_err()) {
        written.extend(raise.into_iter().map(|write| Written { write, outcome: Err(ApplyError::Postponed) }));
    } else {
        written.extend(apply_together(client, namespace, group, raise).await);
    }
    written
}

async fn apply_together(
    client: &Client,
    namespace: &str,
    group: &str,
    writes: Vec<RoleWrite>,
) -> Vec<Written> {
    let mut changes = Vec::new();
    for write in &writes {
        if let Target::Group { place } = write.target {
            changes.push(RoleChange { place, role: &write.role, from: write.from, to: write.to });
        }
    }
    let patched =
        if changes.is_empty() { None } else { Some(patch_group(client, namespace, group, &changes).await) };
    let mut written = Vec::with_capacity(writes.len());
    for write in writes {
        let outcome = match (&write.target, &patched) {
            (Target::ScalingAdapter { name, resource_version }, _) => {
                put_scale(client, namespace, name, resource_version, write.to).await
            }
            (Target::Group { .. }, Some(outcome)) => outcome.clone(),
            (Target::Group { .. }, None) => continue,
        };
        written.push(Written { write, outcome });
    }
    written
}

async fn patch_group(
    client: &Client,
    namespace: &str,
    group: &str,
    changes: &[RoleChange<'_>],
) -> Result<Version, ApplyError> {
    let api: Api<RoleBasedGroup> = Api::namespaced(client.clone(), namespace);
    let operations = serde_json::Value::Array(group_patch(changes));
    let patch: json_patch::Patch = serde_json::from_value(operations)
        .map_err(|error| ApplyError::from_kube(kube::Error::SerdeError(error)))?;
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = within(api.patch(group, &params, &Patch::<()>::Json(patch))).await;
    let patched = patched.map_err(ApplyError::of_group_patch)?;
    Ok(Version::Generation(patched.metadata.generation.unwrap_or_default()))
}

async fn put_scale(
    client: &Client,
    namespace: &str,
    adapter: &str,
    resource_version: &str,
    to: Replicas,
) -> Result<Version, ApplyError> {
    let api: Api<RoleBasedGroupScalingAdapter> = Api::namespaced(client.clone(), namespace);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let body = scale_body(namespace, adapter, resource_version, to);
    within(api.replace_scale(adapter, &params, &body)).await?;
    Ok(Version::After(resource_version.to_owned()))
}

async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ApplyError> {
    match tokio::time::timeout(WRITE_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(ApplyError::from_kube),
        Err(_) => Err(ApplyError::Timeout(WRITE_TIMEOUT)),
    }
}

#[cfg(test)]
mod tests;
