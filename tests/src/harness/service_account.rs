//! Our programs as the service accounts that their deployment gives them.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;

use crate::control_plane::ControlPlane;

/// Returns a kubeconfig file with a token of a service account, valid for an hour. The account must exist.
pub async fn service_account_kubeconfig(
    plane: &ControlPlane,
    namespace: &str,
    name: &str,
) -> Result<PathBuf> {
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client().await?, namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(name, &PostParams::default(), &request).await;
    let answer = answer.with_context(|| format!("no token for service account {namespace}/{name}"))?;
    let token = answer.status.context("an answer without a token")?.token;
    plane.kubeconfig_with_token(&format!("service-account-{namespace}-{name}"), &token)
}
