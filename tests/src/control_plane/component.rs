//! The programs that make up a control plane, and the command line of each.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::network::Network;
use super::pki::Pki;
use super::supervised::CommandLine;
use super::{Options, programs, prometheus};

/// One program of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// Holds all objects; does not sync to disk.
    Etcd,
    /// With aggregation layer, RBAC and all default admission.
    ApiServer,
    /// With the HPA controller; no cloud, no node addresses.
    ControllerManager,
    /// The default scheduler.
    Scheduler,
    /// The scheduler of scheduler-plugins with coscheduling, to be started in place of the default one.
    Coscheduler,
    /// The controller of scheduler-plugins, which keeps the status of PodGroups: a changed one makes the scheduler look again.
    PodGroupController,
    /// Plays the kubelet of fake nodes: their pods start without containers.
    Kwok,
    /// Scrapes annotated pods.
    Prometheus,
}

impl Component {
    /// The components that every control plane has, in the order in which they start.
    pub const ALWAYS: [Self; 5] =
        [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Kwok];

    /// Returns the program's name, which is also that of its log file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Coscheduler => "coscheduler",
            Self::PodGroupController => "podgroup-controller",
            Self::Kwok => "kwok",
            Self::Prometheus => "prometheus",
        }
    }

    /// Returns where it listens.
    ///
    /// The ports lie below those that the kernel gives to outgoing connections, so nobody gets one by chance.
    pub fn address(self, network: &Network) -> SocketAddr {
        let port = match self {
            Self::Etcd => 12_379,
            Self::ApiServer => 16_443,
            Self::ControllerManager => 20_257,
            Self::Scheduler => 20_259,
            Self::Coscheduler => 20_261,
            Self::PodGroupController => 20_263,
            Self::Kwok => 20_247,
            Self::Prometheus => 19_090,
        };
        SocketAddr::new(network.components(), port)
    }

    /// Returns its command line; writes the files that it reads into `state`.
    pub(super) fn command_line(
        self,
        state: &Path,
        network: &Network,
        pki: &Pki,
        options: &Options,
    ) -> Result<CommandLine> {
        let program = match self {
            Self::Prometheus => programs::find_prometheus("prometheus")?,
            _ => programs::find(self.name())?,
        };
        let address = self.address(network);
        let args = match self {
            Self::Etcd => etcd(state, network),
            Self::ApiServer => api_server(state, network, pki, options)?,
            Self::ControllerManager => controller_manager(state, address, pki, options),
            Self::Scheduler => scheduler(state, address),
            Self::Coscheduler => coscheduler(state, address)?,
            Self::PodGroupController => pod_group_controller(state, address),
            Self::Kwok => kwok(state, address, network)?,
            Self::Prometheus => prometheus::args(state, network, pki, options)?,
        };
        Ok(CommandLine::new(program).args(args))
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Returns `--name=value`.
pub(super) fn flag(name: &str, value: impl fmt::Display) -> String {
    format!("--{name}={value}")
}

/// Returns `--name=file`.
pub(super) fn file_flag(name: &str, file: &Path) -> String {
    flag(name, file.display())
}

/// Returns a duration as Go programs read it.
pub(super) fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Returns the name of the kubeconfig file of a component.
fn kubeconfig(state: &Path, component: Component) -> PathBuf {
    state.join(format!("{component}.kubeconfig"))
}

fn etcd(state: &Path, network: &Network) -> Vec<String> {
    let client = format!("http://{}", Component::Etcd.address(network));
    let peer = format!("http://{}:12380", network.components());
    vec![
        file_flag("data-dir", &state.join("etcd")),
        flag("listen-client-urls", &client),
        flag("advertise-client-urls", &client),
        flag("listen-peer-urls", &peer),
        flag("initial-advertise-peer-urls", &peer),
        flag("initial-cluster", format!("default={peer}")),
        "--unsafe-no-fsync".to_owned(),
    ]
}

fn api_server(state: &Path, network: &Network, pki: &Pki, options: &Options) -> Result<Vec<String>> {
    let address = Component::ApiServer.address(network);
    let ip = address.ip().to_string();
    let serving =
        pki.server("kube-apiserver", &["localhost", "kubernetes.default.svc", "10.0.0.1", ip.as_str()])?;
    let front_proxy = pki.front_proxy_client();
    let mut args = vec![
        flag("etcd-servers", format!("http://{}", Component::Etcd.address(network))),
        flag("bind-address", &ip),
        flag("advertise-address", &ip),
        flag("secure-port", address.port()),
        file_flag("tls-cert-file", &serving.certificate),
        file_flag("tls-private-key-file", &serving.key),
        file_flag("client-ca-file", &pki.ca_file()),
        file_flag("service-account-key-file", &pki.token_public_key_file()),
        file_flag("service-account-signing-key-file", &pki.token_key_file()),
        flag("service-account-issuer", "https://kubernetes.default.svc"),
        flag("service-cluster-ip-range", "10.0.0.0/24"),
        flag("authorization-mode", "Node,RBAC"),
        flag("allow-privileged", true),
        file_flag("requestheader-client-ca-file", &pki.front_proxy_ca_file()),
        flag("requestheader-allowed-names", "front-proxy-client"),
        flag("requestheader-username-headers", "X-Remote-User"),
        flag("requestheader-group-headers", "X-Remote-Group"),
        flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        file_flag("proxy-client-cert-file", &front_proxy.certificate),
        file_flag("proxy-client-key-file", &front_proxy.key),
        // Endpoints may not hold loopback addresses.
        flag("endpoint-reconciler-type", "none"),
    ];
    if options.audit {
        let policy = state.join("audit-policy.yaml");
        fs::write(&policy, include_str!("../../control-plane/audit-policy.yaml"))
            .context("cannot write the audit policy")?;
        args.push(file_flag("audit-policy-file", &policy));
        args.push(file_flag("audit-log-path", &state.join("logs").join("audit.log")));
    }
    args.extend(options.api_server_flags.iter().cloned());
    Ok(args)
}

/// Flags that kube-controller-manager and kube-scheduler share.
fn kubernetes(state: &Path, component: Component, address: SocketAddr) -> Vec<String> {
    let kubeconfig = kubeconfig(state, component);
    vec![
        file_flag("kubeconfig", &kubeconfig),
        file_flag("authentication-kubeconfig", &kubeconfig),
        file_flag("authorization-kubeconfig", &kubeconfig),
        flag("bind-address", address.ip()),
        flag("secure-port", address.port()),
        file_flag("cert-dir", &state.join("pki")),
        flag("leader-elect", false),
        flag("kube-api-qps", 500),
        flag("kube-api-burst", 1000),
    ]
}

fn controller_manager(state: &Path, address: SocketAddr, pki: &Pki, options: &Options) -> Vec<String> {
    let mut args = kubernetes(state, Component::ControllerManager, address);
    args.extend([
        file_flag("service-account-private-key-file", &pki.token_key_file()),
        file_flag("root-ca-file", &pki.ca_file()),
        flag("use-service-account-credentials", true),
        flag("horizontal-pod-autoscaler-sync-period", go_duration(options.hpa_sync_period)),
    ]);
    args.extend(options.controller_manager_flags.iter().cloned());
    args
}

fn scheduler(state: &Path, address: SocketAddr) -> Vec<String> {
    kubernetes(state, Component::Scheduler, address)
}

/// As an administrator: the default scheduler's role knows no PodGroups.
fn coscheduler(state: &Path, address: SocketAddr) -> Result<Vec<String>> {
    let kubeconfig = state.join("admin.kubeconfig");
    let config = state.join("coscheduler.yaml");
    let text = include_str!("../../control-plane/coscheduler.yaml")
        .replace("KUBECONFIG", &kubeconfig.display().to_string());
    fs::write(&config, text).context("cannot write the configuration of the coscheduler")?;
    Ok(vec![
        file_flag("config", &config),
        file_flag("authentication-kubeconfig", &kubeconfig),
        file_flag("authorization-kubeconfig", &kubeconfig),
        flag("bind-address", address.ip()),
        flag("secure-port", address.port()),
        file_flag("cert-dir", &state.join("pki")),
    ])
}

fn pod_group_controller(state: &Path, address: SocketAddr) -> Vec<String> {
    vec![
        file_flag("kubeconfig", &state.join("admin.kubeconfig")),
        flag("probeAddr", address),
        flag("metricsAddr", 0),
    ]
}

/// Returns the file that holds the port which `kubectl port-forward` reaches.
pub(super) fn forwarded_port(state: &Path) -> PathBuf {
    state.join("forwarded-port")
}

fn kwok(state: &Path, address: SocketAddr, network: &Network) -> Result<Vec<String>> {
    let stages = state.join("kwok-stages.yaml");
    // What `kubectl port-forward` reaches; bash, since kwok's own targets have fixed ports.
    let reach = format!(
        "exec 3<>/dev/tcp/127.0.0.1/$(cat {}); cat <&3 & cat >&3; kill $!",
        forwarded_port(state).display()
    );
    let forward = json!({"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "ClusterPortForward",
        "metadata": {"name": "loopback"}, "spec": {"forwards": [{"command": ["bash", "-c", reach]}]}});
    let played = include_str!("../../control-plane/kwok-stages.yaml");
    fs::write(&stages, format!("{played}---\n{forward}\n")).context("cannot write kwok's stages")?;
    Ok(vec![
        file_flag("kubeconfig", &kubeconfig(state, Component::Kwok)),
        file_flag("config", &stages),
        flag("manage-all-nodes", false),
        flag("manage-nodes-with-annotation-selector", "kwok.x-k8s.io/node=fake"),
        flag("cidr", network.pods()),
        flag("node-ip", "127.0.0.1"),
        flag("server-address", address),
        // Without leases the nodes are NotReady after 40 s.
        flag("node-lease-duration-seconds", 40),
    ])
}
