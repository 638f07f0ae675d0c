//! [`Stack`]: everything the demo starts, from etcd to the controller, and what a person needs to look at it.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use kube::Client;

use crate::{
    control_plane::{ControlPlane, Options, programs},
    fleet::{self, Fleet},
    harness::{ApiService, NodePool, Program, apply_yaml, eventually, free_port, program_file},
    rbg::{StandIn, install_crds},
};

use super::scenario::{NAMESPACE, STREAMS};
use super::view;

/// The port in the demo's pod annotations.
const ENGINE_PORT: u16 = 8000;
/// How long anything may take to come up.
const PATIENCE: Duration = Duration::from_secs(90);
const CRD: &str = include_str!("../../../deploy/crds/rolebasedgroupautoscalers.yaml");
const CHAT: &str = include_str!("../../demo/chat.yaml");
const PLAIN: &str = include_str!("../../demo/plain.yaml");

/// All that runs; dropping it ends all of it.
pub struct Stack {
    /// The simulated model servers.
    pub fleet: Fleet,
    /// A client of an administrator.
    pub client: Client,
    programs: [Program; 2],
    /// Where the controller tells of its decisions.
    snapshots: String,
    _stand_in: StandIn,
    plane: ControlPlane,
}

impl Stack {
    /// Starts everything, saying what it does, and waits until the first replicas serve.
    pub async fn start(speed: f64) -> Result<Self> {
        let stack = Self::bare(speed).await?;
        say(
            "24 nodes with 8 GPUs each; RoleBasedGroup chat (roles engine and batch), Deployment plain with an HPA",
        );
        NodePool::new("gpu", 24, 8).create(&stack.client).await?;
        namespace(&stack.client).await?;
        apply_yaml(&stack.client, NAMESPACE, CHAT).await.context("tests/demo/chat.yaml")?;
        apply_yaml(&stack.client, NAMESPACE, PLAIN).await.context("tests/demo/plain.yaml")?;
        stack.first_replicas().await?;
        Ok(stack)
    }

    /// Starts everything but nodes and workloads.
    pub async fn bare(speed: f64) -> Result<Self> {
        say("control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok, Prometheus");
        let plane = ControlPlane::start(Options { prometheus: true, ..Options::default() }).await?;
        let client = plane.client().await?;

        say("RoleBasedGroup CRDs and a stand-in for their controller");
        install_crds(&client).await?;
        apply_yaml(&client, "", CRD).await.context("deploy/crds/rolebasedgroupautoscalers.yaml")?;
        let stand_in = StandIn::start(client.clone());

        say("model servers: one process answers on every pod's address");
        let mut fleet =
            Fleet::start(fleet::Options { port: ENGINE_PORT, speed }).await.with_context(|| {
                format!("port {ENGINE_PORT} of every loopback address must be free for the model servers")
            })?;
        fleet.follow(client.clone());

        say("rbg-metrics-adapter behind the aggregation layer, rbg-autoscaler beside it");
        let snapshots = format!("127.0.0.1:{}", free_port()?);
        let programs = [adapter(&plane, &client).await?, controller(&plane, &snapshots)?];

        Ok(Self { fleet, client, programs, snapshots, _stand_in: stand_in, plane })
    }

    async fn first_replicas(&self) -> Result<()> {
        say("waiting for the first replicas to load their model and to be measured");
        eventually("the first replicas of every workload to serve and to be measured", PATIENCE, async || {
            let views = view::look(&self.client).await?;
            for (stream, view) in STREAMS.iter().zip(&views) {
                if view.ready == 0 || view.ready < view.replicas {
                    bail!("{}: {} of {} replicas are ready", stream.name, view.ready, view.replicas);
                }
                if let Some(trouble) = &view.trouble {
                    bail!("{}: {trouble}", stream.name);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// Returns the lines that tell a person how to look at what runs, and why a group does what it does.
    pub fn how_to_look(&self, group: &str) -> String {
        let kubectl = programs::find("kubectl").unwrap_or_else(|_| PathBuf::from("kubectl"));
        let plugin = program_file("kubectl-rbga").unwrap_or_else(|_| PathBuf::from("kubectl-rbga"));
        let logs = self.programs.each_ref().map(|program| program.log_file().display().to_string());
        format!(
            "export KUBECONFIG={}\nalias kubectl={}\n\
             kubectl get rbga -A\n\
             {} explain {group} -n {NAMESPACE} --controller http://{}\n\
             kubectl -n {NAMESPACE} describe rbga\n\
             kubectl -n {NAMESPACE} get pods -o wide\n\
             kubectl -n {NAMESPACE} get hpa plain\n\
             kubectl get --raw '/apis/custom.metrics.k8s.io/v1beta2/namespaces/{NAMESPACE}/pods/*/queue_length'\n\
             Prometheus: {}\n\
             Logs:       {} and {}\n",
            self.plane.kubeconfig().display(),
            kubectl.display(),
            plugin.display(),
            self.snapshots,
            self.plane.prometheus_url(),
            self.plane.logs().display(),
            logs.join(" and "),
        )
    }
}

/// Creates the namespace of the workloads.
pub async fn namespace(client: &Client) -> Result<()> {
    let yaml = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n");
    apply_yaml(client, "", &yaml).await?;
    Ok(())
}

/// Starts the adapter and registers it behind kube-apiserver.
async fn adapter(plane: &ControlPlane, client: &Client) -> Result<Program> {
    let (group, port) = ("custom.metrics.k8s.io", free_port()?);
    let certificate = plane.pki().server("metrics-adapter", &[&ApiService::host(group)])?;
    let program = Program::start(
        "rbg-metrics-adapter",
        &[
            &format!("--kubeconfig={}", plane.kubeconfig().display()),
            &format!("--prometheus-url={}", plane.prometheus_url()),
            &format!("--tls-cert-file={}", certificate.certificate.display()),
            &format!("--tls-private-key-file={}", certificate.key.display()),
            &format!("--secure-port={port}"),
            "--bind-address=127.0.0.1",
            "--interval=1s",
        ],
        &[],
    )?;
    for version in ["v1beta1", "v1beta2"] {
        let service = ApiService::register(client, group, version, port, &plane.pki().ca()).await?;
        service.available(client, PATIENCE).await.with_context(|| program.log())?;
    }
    Ok(program)
}

/// Starts the controller.
fn controller(plane: &ControlPlane, snapshots: &str) -> Result<Program> {
    Program::start(
        "rbg-autoscaler",
        &[
            &format!("--kubeconfig={}", plane.kubeconfig().display()),
            &format!("--prometheus-url={}", plane.prometheus_url()),
            &format!("--listen=127.0.0.1:{}", free_port()?),
            &format!("--snapshots-listen={snapshots}"),
            "--collection-interval=1s",
            "--sync-period=1s",
        ],
        &[],
    )
}

/// Says what is being done, on one line.
pub fn say(what: &str) {
    println!("  {what}");
}
