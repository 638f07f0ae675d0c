//! API servers behind kube-apiserver's aggregation layer.

use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::ByteString;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService as Registration;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::json;

use super::apply::apply;
use super::eventually::eventually;

/// Where the Service of an aggregated API server lies.
const NAMESPACE: &str = "kube-system";

/// One version of an API group that a server on this machine serves through kube-apiserver.
#[derive(Debug, Clone)]
pub struct ApiService {
    name: String,
}

impl ApiService {
    /// Returns the host name that kube-apiserver checks in the server's certificate.
    pub fn host(group: &str) -> String {
        format!("{}.{NAMESPACE}.svc", service_name(group))
    }

    /// Tells kube-apiserver that `https://localhost:<port>` serves a version of a group; `ca` is the PEM text of the authority that
    /// signed its certificate, which must be for [`ApiService::host`].
    ///
    /// Endpoints may not hold loopback addresses, so the Service is an `ExternalName`. All versions of a group share it, hence the
    /// port.
    pub async fn register(client: &Client, group: &str, version: &str, port: u16, ca: &str) -> Result<Self> {
        let service = service_name(group);
        let object = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": service},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        });
        apply(client, NAMESPACE, object).await?;
        let name = format!("{version}.{group}");
        let object = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": name},
            "spec": {
                "group": group, "version": version,
                "groupPriorityMinimum": 100, "versionPriority": if version.contains("beta1") { 100 } else { 200 },
                "service": {"namespace": NAMESPACE, "name": service, "port": port},
                "caBundle": ByteString(ca.as_bytes().to_vec()),
            },
        });
        apply(client, NAMESPACE, object).await?;
        Ok(Self { name })
    }

    /// Registers several versions, each a group and its version, and waits until all are available.
    pub async fn serve(
        client: &Client,
        versions: &[(&str, &str)],
        port: u16,
        ca: &str,
        patience: Duration,
    ) -> Result<()> {
        for (group, version) in versions {
            Self::register(client, group, version, port, ca).await?.available(client, patience).await?;
        }
        Ok(())
    }

    /// Waits until kube-apiserver says that it is available.
    pub async fn available(&self, client: &Client, patience: Duration) -> Result<()> {
        let registrations: Api<Registration> = Api::all(client.clone());
        eventually(&format!("APIService {} is available", self.name), patience, async || {
            let status = registrations.get(&self.name).await?.status.unwrap_or_default();
            let condition =
                status.conditions.into_iter().flatten().find(|condition| condition.type_ == "Available");
            match condition {
                Some(condition) if condition.status == "True" => Ok(Some(())),
                Some(condition) => bail!("{}", condition.message.unwrap_or_default()),
                None => Ok(None),
            }
        })
        .await
    }

    /// Takes the version away again.
    pub async fn remove(&self, client: &Client) -> Result<()> {
        let registrations: Api<Registration> = Api::all(client.clone());
        registrations.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }
}

fn service_name(group: &str) -> String {
    group.replace('.', "-")
}
