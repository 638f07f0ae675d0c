//! A control plane with Prometheus, simulated engines and the adapter, registered and available.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use rbg_autoscaler_tests::{
    control_plane::{CertificateFiles, ControlPlane, Options},
    fleet::{self, Fleet},
    harness::{
        ApiService, MetricsAdapter, Namespace, NodePool, Program, Rendered, apply, apply_yaml, eventually,
        free_port, service_account_kubeconfig,
    },
};
use serde_json::Value;
use tokio::sync::Mutex;

/// Long enough for a slow machine; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const GROUP: &str = "custom.metrics.k8s.io";
pub const EXTERNAL: &str = "external.metrics.k8s.io";
pub const USAGE: &str = "metrics.k8s.io";
/// The adapter's own namespace and account.
pub const NAMESPACE: &str = "rbg-autoscaler";
pub const ACCOUNT: &str = "rbg-autoscaler-adapter";

pub struct World {
    pub plane: ControlPlane,
    pub namespace: Namespace,
    pub fleet: Fleet,
    pub port: u16,
    pub certificate: CertificateFiles,
    pub rules: PathBuf,
    adapter: Mutex<Program>,
}

impl World {
    pub async fn start() -> Self {
        Self::try_start().await.unwrap()
    }

    async fn try_start() -> Result<Self> {
        let plane = ControlPlane::start(Options { prometheus: true, ..Options::default() }).await?;
        let client = plane.client().await?;
        let namespace = Namespace::create(&plane, "engines").await?;
        NodePool::new("node", 2, 8).create(&client).await?;
        let mut fleet = Fleet::start(fleet::Options { port: free_port()?, speed: 1.0 }).await?;
        fleet.follow(client.clone());

        account(&client).await?;
        let kubeconfig = service_account_kubeconfig(&plane, NAMESPACE, ACCOUNT).await?;
        let port = free_port()?;
        let certificate = plane.pki().server("adapter", &Self::hosts().each_ref().map(String::as_str))?;
        let rules = plane.folder().join("adapter-rules.yaml");
        std::fs::write(&rules, format!("{}{}", crate::rules::CONFIG, crate::usage::CONFIG))?;
        let mut adapter = adapter(&kubeconfig, &plane.prometheus_url(), port, &certificate, &rules)?;
        adapter.printed("pods listed", PATIENCE).await?;
        let versions = [(GROUP, "v1beta1"), (GROUP, "v1beta2"), (EXTERNAL, "v1beta1")];
        ApiService::serve(&client, &versions, port, &plane.pki().ca(), PATIENCE).await?;
        Ok(Self { plane, namespace, fleet, port, certificate, rules, adapter: Mutex::new(adapter) })
    }

    /// The host names that the adapter's certificate is for.
    pub fn hosts() -> [String; 3] {
        [GROUP, EXTERNAL, USAGE].map(ApiService::host)
    }

    /// What the adapter has printed.
    pub async fn log(&self) -> String {
        self.adapter.lock().await.log()
    }

    /// Ends the adapter as Kubernetes does.
    pub async fn stop(self) {
        self.adapter.lock().await.stop().await.unwrap();
    }

    /// Makes an HPA that scales the Deployment of that name by one metric, between so many replicas, and lowers at once.
    pub async fn hpa(&self, name: &str, (least, most): (usize, usize), metric: &str) {
        let yaml = format!(
            "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {name}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}
  minReplicas: {least}
  maxReplicas: {most}
  behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
  metrics: [{metric}]
"
        );
        self.namespace.apply_yaml(&yaml).await.unwrap();
    }

    /// A Deployment of vLLM engines, waited for until its pods are Ready. Returns their names.
    pub async fn deployment(&self, name: &str, replicas: usize) -> Vec<String> {
        self.deployment_of("vllm", name, replicas).await
    }

    /// The same of another engine.
    pub async fn deployment_of(&self, engine: &str, name: &str, replicas: usize) -> Vec<String> {
        self.deployment_labelled(engine, name, replicas, "tier: engine").await
    }

    /// The same whose pods have these labels besides `app`.
    pub async fn deployment_labelled(
        &self,
        engine: &str,
        name: &str,
        replicas: usize,
        labels: &str,
    ) -> Vec<String> {
        let yaml = format!(
            r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}, {labels}}}
      annotations:
        fleet.rbg-autoscaler.dev/engine: {engine}
        prometheus.io/scrape: "true"
        prometheus.io/port: "{port}"
        prometheus.io/path: /metrics
    spec: {{containers: [{{name: engine, image: engine}}]}}
"#,
            port = self.fleet.port()
        );
        self.namespace.apply_yaml(&yaml).await.unwrap();
        self.ready_pods(name, replicas).await.unwrap()
    }

    /// Waits until that many pods of a Deployment are Ready; returns their names.
    pub async fn ready_pods(&self, name: &str, replicas: usize) -> Result<Vec<String>> {
        let pods: Api<Pod> = self.namespace.api();
        eventually(&format!("{replicas} ready pods of {name}"), PATIENCE, async || {
            let listed = pods.list(&ListParams::default().labels(&format!("app={name}"))).await?.items;
            let is_ready = |pod: &&Pod| {
                let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
                conditions.unwrap_or_default().iter().any(|it| it.type_ == "Ready" && it.status == "True")
            };
            let ready = listed.iter().filter(is_ready).count();
            if ready != replicas {
                bail!("{ready} of {} pods are ready", listed.len());
            }
            let mut names: Vec<_> = listed.iter().map(ResourceExt::name_any).collect();
            names.sort();
            Ok(Some(names))
        })
        .await
    }

    /// What kube-apiserver answers to an administrator's GET, as text; failures as `code: message`.
    ///
    /// Not by kube's client, which asks again after a 503 for minutes.
    pub async fn raw(&self, path: &str) -> Result<String> {
        let admin = self.plane.pki().user("admin", Some("system:masters"))?;
        let response =
            https(Some(admin))?.get(format!("{}{path}", self.plane.api_server_url())).send().await?;
        let (code, text) = (response.status(), response.text().await?);
        if code.is_success() {
            return Ok(text);
        }
        let status: Value = serde_json::from_str(&text)?;
        bail!("{}: {}", code.as_u16(), status["message"].as_str().unwrap_or_default());
    }

    /// The items of a list of values.
    pub async fn items(&self, path: &str) -> Result<Vec<Value>> {
        let list: Value = serde_json::from_str(&self.raw(path).await?)?;
        list["items"].as_array().cloned().context("no items")
    }

    /// The items that an adapter at a port of this machine answers to an administrator, past kube-apiserver.
    pub async fn items_at(&self, port: u16, path: &str) -> Result<Vec<Value>> {
        let admin = self.plane.pki().user("admin", Some("system:masters"))?;
        let response = https(Some(admin))?.get(format!("https://127.0.0.1:{port}{path}")).send().await?;
        let list: Value = serde_json::from_str(&response.text().await?)?;
        list["items"].as_array().cloned().with_context(|| list.to_string())
    }

    /// Asks the adapter itself, past kube-apiserver. Returns the status code and the text.
    pub async fn direct(
        &self,
        path: &str,
        certificate: Option<CertificateFiles>,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        ask(self.port, path, certificate, headers).await.unwrap()
    }

    /// A path below the namespace of the test.
    pub fn path(&self, version: &str, rest: &str) -> String {
        format!("/apis/{GROUP}/{version}/namespaces/{}/{rest}", self.namespace.name())
    }
}

/// Makes the account that the chart gives an adapter with rules, and its rights.
async fn account(client: &Client) -> Result<()> {
    apply_yaml(client, "", "{apiVersion: v1, kind: Namespace, metadata: {name: rbg-autoscaler}}").await?;
    let args = ["--set", "controller.enabled=false,rules.default=true"];
    let rendered = Rendered::chart("rbg-autoscaler", NAMESPACE, &args).await?;
    for kind in ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"] {
        for object in rendered.of_kind(kind) {
            apply(client, NAMESPACE, object.clone()).await?;
        }
    }
    Ok(())
}

/// Starts an adapter as the service account of `kubeconfig`.
pub fn adapter(
    kubeconfig: &Path,
    source: &str,
    port: u16,
    certificate: &CertificateFiles,
    rules: &Path,
) -> Result<Program> {
    let adapter = MetricsAdapter { kubeconfig, port, certificate };
    adapter.start(&[
        "rbg-metrics-adapter",
        &format!("--prometheus-url={source}"),
        &format!("--config={}", rules.display()),
        "--metrics-relist-interval=5s",
        "-v=4",
    ])
}

/// Asks an adapter itself, past kube-apiserver. Returns the status code and the text.
pub async fn ask(
    port: u16,
    path: &str,
    certificate: Option<CertificateFiles>,
    headers: &[(&str, &str)],
) -> Result<(u16, String)> {
    let mut request = https(certificate)?.get(format!("https://127.0.0.1:{port}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

/// A client that presents a certificate and takes any of the server's.
fn https(certificate: Option<CertificateFiles>) -> Result<reqwest::Client> {
    let mut client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy();
    if let Some(files) = certificate {
        let mut pem = std::fs::read(&files.key)?;
        pem.extend(std::fs::read(&files.certificate)?);
        client = client.identity(reqwest::Identity::from_pem(&pem)?);
    }
    Ok(client.build()?)
}
