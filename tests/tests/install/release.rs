//! The chart as a release of helm: installed, upgraded as the documentation says, removed.

use anyhow::{Result, bail, ensure};
use k8s_openapi::{
    ByteString,
    api::{apps::v1::Deployment, core::v1::Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, programs},
    harness::deploy_folder,
};
use serde_json::json;
use tokio::process::Command;

const NAMESPACE: &str = "by-helm";
const API: &str = "v1beta2.custom.metrics.k8s.io";

/// An upgrade keeps what users set and what the adapter wrote; a removal leaves the CRD, and with it everybody's policies.
pub async fn lives(plane: &ControlPlane) -> Result<()> {
    let chart = deploy_folder().join("chart").display().to_string();
    let here = ["--namespace", NAMESPACE];
    let direct = ["--create-namespace", "--set", "metricsFrom=direct"];
    helm(plane, &[&["install", "rbg-autoscaler", &chart], &here[..], &direct[..]].concat()).await?;

    // What the adapter does with its own rights.
    let client = plane.client().await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let registrations: Api<APIService> = Api::all(client.clone());
    let own = PatchParams { field_manager: Some("rbg-metrics-adapter".to_owned()), ..PatchParams::default() };
    let bytes = || ByteString(plane.pki().ca().into_bytes());
    let filled = Patch::Merge(json!({"data": {"tls.crt": bytes()}}));
    secrets.patch("rbg-autoscaler-adapter-certificate", &own, &filled).await?;
    let told = Patch::Merge(json!({"spec": {"caBundle": bytes(), "insecureSkipTLSVerify": null}}));
    registrations.patch(API, &own, &told).await?;

    let more = ["--reset-then-reuse-values", "--set", "controller.replicas=3"];
    helm(plane, &[&["upgrade", "rbg-autoscaler", &chart], &here[..], &more[..]].concat()).await?;
    let secret = secrets.get("rbg-autoscaler-adapter-certificate").await?;
    ensure!(secret.data.is_some_and(|data| data.contains_key("tls.crt")), "the certificate is lost");
    let spec = registrations.get(API).await?.spec.unwrap_or_default();
    ensure!(spec.ca_bundle == Some(bytes()), "the authority is lost");
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let spec = deployments.get("rbg-autoscaler-controller").await?.spec.unwrap_or_default();
    ensure!(spec.replicas == Some(3));
    let args = serde_json::to_string(&spec.template)?;
    ensure!(args.contains("--metrics-from=direct"), "what was set before is lost: {args}");

    helm(plane, &[&["uninstall", "rbg-autoscaler", "--wait"], &here[..]].concat()).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.get("rolebasedgroupautoscalers.rbg-autoscaler.dev").await?;
    ensure!(registrations.get_opt(API).await?.is_none(), "an API without a server stays");
    ensure!(deployments.list(&ListParams::default()).await?.items.is_empty());
    Ok(())
}

async fn helm(plane: &ControlPlane, args: &[&str]) -> Result<()> {
    let mut command = Command::new(programs::find("helm")?);
    let output = command.args(args).arg("--kubeconfig").arg(plane.kubeconfig()).output().await?;
    if !output.status.success() {
        bail!("helm {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
