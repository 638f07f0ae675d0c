//! A real control plane on loopback without containers: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok and, on
//! request, Prometheus. It starts in seconds and never outlives its process.
//!
//! Nodes are fake (kwok), but everything above them is real: admission, aggregation, HPA, scheduling, service discovery. Each control
//! plane has a loopback network 127.x.0.0/16 of its own: its programs listen there, and its pods get their addresses from it. So a
//! model server listening on 0.0.0.0 is the engine of every pod, and tells them apart by the local address of a connection.

mod component;
mod discovery;
mod failure;
mod kubeconfig;
mod network;
mod options;
mod pki;
pub mod programs;
mod prometheus;
mod shared;
mod state;
mod supervised;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::http::Request;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

pub use component::Component;
use discovery::PodDiscovery;
pub use failure::{keep_logs, keep_logs_of_a_panic, target_folder};
pub use kubeconfig::Credentials;
use network::Network;
pub use options::Options;
pub use pki::{CertificateFiles, Pki};
pub use shared::{SharedControlPlane, shared};
pub use state::StateFolder;
pub use supervised::{CommandLine, Supervised};

/// A component that does not answer by then never will.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a component may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A running control plane. Dropping it stops all and removes all files; the end of the process does the same.
///
/// It needs no runtime to live: tests with a runtime each can share one. Clients belong to the runtime that made them, so every
/// test makes its own.
#[derive(Debug)]
pub struct ControlPlane {
    // Fields drop in this order: programs before the folder that they write to, the network last.
    running: Mutex<BTreeMap<Component, Supervised>>,
    discovery: Mutex<Option<PodDiscovery>>,
    state: StateFolder,
    pki: Pki,
    options: Options,
    network: Network,
}

impl ControlPlane {
    /// Starts a control plane and waits until all of it answers.
    ///
    /// Errors: a program is missing, or did not come up; its log is kept and its last lines are in the error.
    pub async fn start(options: Options) -> Result<Self> {
        install_crypto_provider();
        let state = StateFolder::create("rbga-control-plane-")?;
        let pki = Pki::create(state.path().join("pki"))?;
        let plane = Self {
            running: Mutex::default(),
            discovery: Mutex::default(),
            state,
            pki,
            options,
            network: Network::claim()?,
        };
        if let Err(error) = plane.bring_up().await {
            keep_logs(&plane.logs(), "control-plane-start");
            return Err(error.context("the control plane did not start"));
        }
        Ok(plane)
    }

    async fn bring_up(&self) -> Result<()> {
        for component in Component::ALWAYS {
            let group = if component == Component::Scheduler { None } else { Some("system:masters") };
            let user = format!("system:{component}");
            self.write_kubeconfig(component.name(), &user, group)?;
        }
        self.write_kubeconfig("admin", "admin", Some("system:masters"))?;
        for component in Component::ALWAYS {
            self.launch(component).await?;
            // The rest needs the API server and nothing else, so it starts together.
            if matches!(component, Component::Etcd | Component::ApiServer) {
                self.answers(component).await?;
            }
        }
        if self.options.prometheus {
            self.launch(Component::Prometheus).await?;
            self.answers(Component::Prometheus).await?;
        }
        for component in [Component::ControllerManager, Component::Scheduler, Component::Kwok] {
            self.answers(component).await?;
        }
        Ok(())
    }

    /// Returns the kubeconfig file of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.path().join("admin.kubeconfig")
    }

    /// Returns a new client of an administrator for the current runtime.
    pub async fn client(&self) -> Result<Client> {
        client(&self.kubeconfig()).await
    }

    /// Makes a user, optionally in a group, and returns its kubeconfig file. Without a role binding it may do nothing.
    pub fn user(&self, name: &str, group: Option<&str>) -> Result<PathBuf> {
        let file = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        self.write_kubeconfig(&format!("user-{file}"), name, group)
    }

    /// Writes a kubeconfig file for a bearer token, for example of a service account.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> Result<PathBuf> {
        let file = self.state.path().join(format!("{name}.kubeconfig"));
        kubeconfig::write(
            &file,
            &self.api_server_url(),
            &self.pki.ca_file(),
            &Credentials::Token(token.to_owned()),
        )?;
        Ok(file)
    }

    fn write_kubeconfig(&self, name: &str, user: &str, group: Option<&str>) -> Result<PathBuf> {
        let file = self.state.path().join(format!("{name}.kubeconfig"));
        let certificate = self.pki.user(user, group)?;
        kubeconfig::write(
            &file,
            &self.api_server_url(),
            &self.pki.ca_file(),
            &Credentials::Certificate(certificate),
        )?;
        Ok(file)
    }

    /// Returns the certificates, for programs that need some from the cluster's authorities.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// Returns the folder of its files; it vanishes with the control plane.
    pub fn folder(&self) -> &Path {
        self.state.path()
    }

    /// Returns the folder of its log files.
    pub fn logs(&self) -> PathBuf {
        self.state.logs()
    }

    /// Returns where a component listens, running or not.
    pub fn address(&self, component: Component) -> SocketAddr {
        component.address(&self.network)
    }

    /// Has `kubectl port-forward`, for a pod on a node whose kubelet is [`Component::Kwok`], reach a port of loopback.
    pub fn forward_to(&self, port: u16) -> Result<()> {
        fs::write(component::forwarded_port(self.state.path()), port.to_string())
            .context("cannot write the forwarded port")
    }

    /// Returns the base URL of kube-apiserver.
    pub fn api_server_url(&self) -> String {
        format!("https://{}", Component::ApiServer.address(&self.network))
    }

    /// Returns the base URL of Prometheus, running or not.
    pub fn prometheus_url(&self) -> String {
        format!("http://{}", Component::Prometheus.address(&self.network))
    }

    /// Starts Prometheus unless it runs, and returns its base URL.
    pub async fn prometheus(&self) -> Result<String> {
        self.start_component(Component::Prometheus).await?;
        Ok(self.prometheus_url())
    }

    /// Tells whether a pod's address is one of this control plane's.
    pub fn is_pod_address(&self, address: IpAddr) -> bool {
        self.network.contains(address)
    }

    /// Returns the log of a component so far.
    pub fn log(&self, component: Component) -> String {
        let bytes = fs::read(self.log_file(component)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_file(&self, component: Component) -> PathBuf {
        self.logs().join(format!("{component}.log"))
    }

    /// Starts a component that was stopped (on the same port and data) and waits until it answers. Nothing happens if it runs.
    pub async fn start_component(&self, component: Component) -> Result<()> {
        self.launch(component).await?;
        self.answers(component).await
    }

    /// Asks a component to end, kills it if it takes long, and waits for its end.
    pub async fn stop_component(&self, component: Component) {
        let stopped = self.running.lock().await.remove(&component);
        if let Some(mut program) = stopped {
            program.stop(STOP_PATIENCE).await;
        }
    }

    /// Kills a component (SIGKILL) and waits for its end.
    pub async fn kill_component(&self, component: Component) {
        drop(self.running.lock().await.remove(&component));
    }

    async fn launch(&self, component: Component) -> Result<()> {
        let mut running = self.running.lock().await;
        if running.get_mut(&component).is_some_and(|program| program.exited().is_none()) {
            return Ok(());
        }
        let command_line =
            component.command_line(self.state.path(), &self.network, &self.pki, &self.options)?;
        if component == Component::Prometheus && !prometheus::discovers_pods()? {
            let mut discovery = self.discovery.lock().await;
            if discovery.is_none() {
                let file = prometheus::targets_file(self.state.path());
                *discovery = Some(PodDiscovery::start(self.kubeconfig(), file)?);
            }
        }
        let program = Supervised::start(component.name(), &command_line, &self.log_file(component))?;
        running.insert(component, program);
        Ok(())
    }

    /// Waits until a launched component answers.
    async fn answers(&self, component: Component) -> Result<()> {
        let polling = async {
            loop {
                if self.probe(component).await {
                    return Ok(());
                }
                if let Some(program) = self.running.lock().await.get_mut(&component)
                    && let Some(status) = program.exited()
                {
                    bail!("{component} ended with {status}; its log ends:\n{}", tail(&self.log(component)));
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let Ok(outcome) = timeout(START_TIMEOUT, polling).await else {
            bail!(
                "{component} did not answer within {START_TIMEOUT:?}; its log ends:\n{}",
                tail(&self.log(component))
            );
        };
        outcome
    }

    async fn probe(&self, component: Component) -> bool {
        let address = component.address(&self.network);
        if TcpStream::connect(address).await.is_err() {
            return false;
        }
        match component {
            Component::ApiServer => {
                let Ok(client) = self.client().await else { return false };
                let Ok(request) = Request::get("/readyz").body(Vec::new()) else { return false };
                timeout(Duration::from_secs(5), client.request_text(request))
                    .await
                    .is_ok_and(|answer| answer.is_ok())
            }
            Component::Prometheus => {
                let answer = reqwest::get(format!("{}/-/ready", self.prometheus_url())).await;
                answer.is_ok_and(|answer| answer.status().is_success())
            }
            _ => true,
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        keep_logs_of_a_panic(&self.logs());
        // All at once, then wait for each as it drops.
        for program in self.running.get_mut().values_mut() {
            program.signal("KILL");
        }
    }
}

/// Returns a new client for a kubeconfig file, for the current runtime.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    install_crypto_provider();
    let parsed =
        Kubeconfig::read_from(kubeconfig).with_context(|| format!("cannot read {}", kubeconfig.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
    // Loopback needs no proxy, whatever the environment says.
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

/// Makes ring the TLS implementation of this process. May be called any number of times.
pub fn install_crypto_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Returns the last lines of a log, indented.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let shown: Vec<&str> = lines.into_iter().rev().take(15).collect();
    shown.into_iter().rev().map(|line| ["    ", line].concat()).collect::<Vec<_>>().join("\n")
}
