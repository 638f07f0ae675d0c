//! A control plane on which the chart is installed, and our programs started as its Deployments say.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::{Api, Client};
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, Options},
    harness::{Program, Rendered, apply, apply_yaml, eventually, free_port},
    scene::Scene,
};
use serde_json::{Value, json};

use crate::{audit, containers::Containers, others::RECORDED};

/// Long enough for a slow machine; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Where the chart is installed, and as what.
pub const NAMESPACE: &str = "rbg-system";
pub const ADAPTER: &str = "rbg-autoscaler-adapter";
pub const CONTROLLER: &str = "rbg-autoscaler-controller";

pub struct World {
    pub plane: ControlPlane,
    pub client: Client,
    pub scene: Scene,
    port: u16,
    values: PathBuf,
}

impl World {
    /// Starts everything but our programs.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let policy = folder.path().join("audit.yaml");
        fs::write(&policy, audit::policy(NAMESPACE, &[ADAPTER, CONTROLLER]).to_string())?;
        let flags = vec![format!("--audit-policy-file={}", policy.display())];
        let recorded = folder.path().join("recorded.yaml");
        fs::write(&recorded, RECORDED)?;
        let options = Options {
            audit: true,
            api_server_flags: flags,
            rule_files: vec![recorded],
            prometheus: true,
            ..Options::default()
        };
        let plane = ControlPlane::start(options).await?;
        let client = plane.client().await?;
        // The strictest Pod Security Standard must let both programs in.
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata":
            {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        apply(&client, "", namespace).await?;
        let scene = Scene::without_controller(&plane, "serving").await?;
        let port = free_port()?;
        let (url, listen) = (plane.prometheus_url(), free_port()?);
        let values = plane.folder().join("values.yaml");
        let text = json!({
            "prometheus": {"url": url, "port": 0},
            "adapter": {"interval": "1s", "rateWindow": "5s"},
            "listenPort": port, "service": {"port": port},
            "metricsRelistInterval": "5s",
            "logLevel": 4,
            "controller": {"syncPeriod": "1s", "collectionInterval": "1s", "scrapeInterval": "1s", "listenPort": listen,
                "extraArguments": ["--snapshots-listen=off"]},
            "rules": rules(),
        });
        fs::write(&values, text.to_string())?;
        Ok(Self { plane, client, scene, port, values })
    }

    /// Renders the chart for this world, with more arguments of helm.
    pub async fn render(&self, more: &[&str]) -> Result<Rendered> {
        let values = self.values.display().to_string();
        let mut args = vec!["--values", values.as_str()];
        args.extend(more);
        Rendered::chart("rbg-autoscaler", NAMESPACE, &args).await
    }

    /// Applies a rendered chart.
    ///
    /// Endpoints may not hold loopback addresses, so the Service leads to this machine by name instead; all else is as rendered.
    pub async fn install(&self, rendered: &Rendered) -> Result<()> {
        self.install_in(NAMESPACE, rendered).await
    }

    /// Applies something rendered in another namespace.
    pub async fn install_in(&self, namespace: &str, rendered: &Rendered) -> Result<()> {
        for object in &rendered.objects {
            let mut object = object.clone();
            if object["kind"] == "Service" {
                let ports = json!([{"port": self.port}]);
                object["spec"] = json!({"type": "ExternalName", "externalName": "localhost", "ports": ports});
            }
            apply(&self.client, namespace, object).await?;
        }
        Ok(())
    }

    /// Returns the port on which the adapter is reached.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the containers of the chart's namespace.
    pub fn containers(&self) -> Containers<'_> {
        Containers { plane: &self.plane, client: self.client.clone(), namespace: NAMESPACE }
    }

    /// Starts a program as the container of a Deployment.
    pub async fn run(&self, rendered: &Rendered, deployment: &str, program: &str) -> Result<Program> {
        self.containers().run(rendered, deployment, program).await
    }

    /// Waits until kube-apiserver believes the adapter's certificate and every API of the chart is available.
    pub async fn available(&self, rendered: &Rendered) -> Result<()> {
        let registrations: Api<APIService> = Api::all(self.client.clone());
        for service in rendered.of_kind("APIService") {
            let name = service["metadata"]["name"].as_str().context("no name")?;
            eventually(&format!("APIService {name} is available"), PATIENCE, async || {
                let status = registrations.get(name).await?.status.unwrap_or_default();
                let mut conditions = status.conditions.into_iter().flatten();
                match conditions.find(|condition| condition.type_ == "Available") {
                    Some(condition) if condition.status == "True" => Ok(Some(())),
                    Some(condition) => bail!("{}", condition.message.unwrap_or_default()),
                    None => Ok(None),
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until the metrics API gives values for the engines of the serving namespace.
    pub async fn answers(&self, path: &str) -> Result<Vec<Value>> {
        eventually(&format!("{path} is answered"), PATIENCE, async || {
            let request = axum::http::Request::get(path).body(Vec::new())?;
            let list: Value = self.client.request(request).await?;
            let items = list["items"].as_array().cloned().unwrap_or_default();
            ensure!(!items.is_empty(), "no items");
            Ok(Some(items))
        })
        .await
    }

    /// Returns the audit log's file.
    pub fn audit_log(&self) -> PathBuf {
        self.plane.logs().join("audit.log")
    }

    /// Applies YAML in the serving namespace.
    pub async fn apply(&self, text: &str) -> Result<()> {
        apply_yaml(&self.client, self.scene.namespace().name(), text).await?;
        Ok(())
    }
}

/// Rules that lead from vLLM's queue to every kind of object that the default role may list.
fn rules() -> Value {
    let of = |resource: &str| json!({"resource": resource});
    let series = "vllm:num_requests_waiting{namespace!=\"\",pod!=\"\"}";
    let overrides = json!({
        "namespace": of("namespace"), "pod": of("pod"), "instance": of("node"), "rbg_role": of("service"),
    });
    json!({
        "custom": [
            {
                "seriesQuery": series,
                "resources": {"overrides": overrides},
                "name": {"matches": "^vllm:(.*)$", "as": "${1}_by_rule"},
                "metricsQuery": "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
            },
            {"name": "waiting_by_query", "query": "sum by (namespace, pod) (vllm:num_requests_waiting)", "per": "pod"},
        ],
        "external": [{
            "seriesQuery": series,
            "resources": {"overrides": {"namespace": of("namespace")}},
            "name": {"as": "waiting_in_all"},
            "metricsQuery": "sum(<<.Series>>{<<.LabelMatchers>>})",
        }],
    })
}
