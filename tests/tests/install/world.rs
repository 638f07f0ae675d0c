//! A control plane on which the chart is installed, and our programs started as its Deployments say.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{Api, Client};
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, Options},
    harness::{
        Program, Rendered, apply, apply_yaml, deploy_folder, eventually, free_port, program_file,
        service_account_kubeconfig,
    },
    scene::Scene,
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::audit;

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
        let plane =
            ControlPlane::start(Options { audit: true, api_server_flags: flags, ..Options::default() })
                .await?;
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
            "controller": {"syncPeriod": "1s", "collectionInterval": "1s", "scrapeInterval": "1s", "listenPort": listen},
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
        for object in &rendered.objects {
            let mut object = object.clone();
            if object["kind"] == "Service" {
                let ports = json!([{"port": self.port}]);
                object["spec"] = json!({"type": "ExternalName", "externalName": "localhost", "ports": ports});
            }
            apply(&self.client, NAMESPACE, object).await?;
        }
        Ok(())
    }

    /// Starts a program as the container of a Deployment: with its arguments, its files and the token of its account.
    pub async fn run(&self, rendered: &Rendered, deployment: &str, program: &str) -> Result<Program> {
        let pod = rendered.object("Deployment", deployment)?["spec"]["template"]["spec"].clone();
        let account = pod["serviceAccountName"].as_str().context("no service account")?;
        let kubeconfig = service_account_kubeconfig(&self.plane, NAMESPACE, account).await?;
        let mut args = rendered.args(deployment)?;
        for mount in pod["containers"][0]["volumeMounts"].as_array().into_iter().flatten() {
            let volumes = pod["volumes"].as_array().into_iter().flatten();
            let volume =
                volumes.into_iter().find(|volume| volume["name"] == mount["name"]).context("no volume")?;
            let path = mount["mountPath"].as_str().context("no path")?;
            let folder = self.mount(volume).await?.display().to_string();
            for arg in &mut args {
                *arg = arg.replace(path, &folder);
            }
        }
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let kubeconfig = kubeconfig.display().to_string();
        Program::start(program, &args, &environment(&kubeconfig))
    }

    /// The same out of the image's file tree: read-only, as its user, with nothing else in sight. Needs root.
    pub async fn run_image(&self, rendered: &Rendered, deployment: &str, program: &str) -> Result<Program> {
        let tree = self.plane.folder().join(format!("image-{program}"));
        let scripts = deploy_folder().join("image");
        let made = Command::new(scripts.join("tree")).arg(program_file(program)?).arg(&tree).status().await?;
        ensure!(made.success(), "the image's tree cannot be made");
        let account =
            rendered.object("Deployment", deployment)?["spec"]["template"]["spec"]["serviceAccountName"]
                .as_str()
                .context("no service account")?;
        let kubeconfig = service_account_kubeconfig(&self.plane, NAMESPACE, account).await?;
        let mut parsed: Value = serde_json::from_str(&fs::read_to_string(kubeconfig)?)?;
        let cluster = &mut parsed["clusters"][0]["cluster"];
        *cluster = json!({"server": cluster["server"], "certificate-authority-data": ByteString(self.plane.pki().ca().into_bytes())});
        fs::write(tree.join("kubeconfig"), parsed.to_string())?;
        let args = rendered.args(deployment)?;
        let tree = tree.display().to_string();
        let mut all = vec![tree.as_str(), program];
        all.extend(args.iter().map(String::as_str));
        Program::start_file(program, scripts.join("run"), &all, &environment("/kubeconfig"))
    }

    /// Writes what a volume holds into a folder.
    async fn mount(&self, volume: &Value) -> Result<PathBuf> {
        let folder = self.plane.folder().join(format!("volume-{}", free_port()?));
        fs::create_dir_all(&folder)?;
        if let Some(name) = volume["configMap"]["name"].as_str() {
            let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
            for (key, text) in api.get(name).await?.data.unwrap_or_default() {
                fs::write(folder.join(key), text)?;
            }
        } else if let Some(name) = volume["secret"]["secretName"].as_str() {
            let api: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
            for (key, bytes) in api.get(name).await?.data.unwrap_or_default() {
                fs::write(folder.join(key), bytes.0)?;
            }
        } else {
            bail!("what is the volume {volume}?");
        }
        Ok(folder)
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

/// How both programs find the API server.
fn environment(kubeconfig: &str) -> [(&str, &str); 2] {
    [("KUBECONFIG", kubeconfig), ("RBG_AUTOSCALER_KUBECONFIG", kubeconfig)]
}

/// Rules that lead from vLLM's queue to every kind of object that the default role may list.
fn rules() -> Value {
    let of = |resource: &str| json!({"resource": resource});
    let series = "vllm:num_requests_waiting{namespace!=\"\",pod!=\"\"}";
    let overrides = json!({
        "namespace": of("namespace"), "pod": of("pod"), "instance": of("node"), "rbg_role": of("service"),
    });
    json!({
        "custom": [{
            "seriesQuery": series,
            "resources": {"overrides": overrides},
            "name": {"matches": "^vllm:(.*)$", "as": "${1}_by_rule"},
            "metricsQuery": "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
        }],
        "external": [{
            "seriesQuery": series,
            "resources": {"overrides": {"namespace": of("namespace")}},
            "name": {"as": "waiting_in_all"},
            "metricsQuery": "sum(<<.Series>>{<<.LabelMatchers>>})",
        }],
    })
}
