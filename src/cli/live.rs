//! Asking the controller for the decision on a live group.
//!
//! The controller serves snapshots on its loopback only, so the leader is found by its Lease and its port is forwarded by kubectl,
//! whose credentials and rights then count; or it is asked at the address that is given.

mod forward;

use std::time::Duration;

use clap::Args;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, Config, ResourceExt,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use rbg_autoscaler::{api::snapshot::LiveDecision, cause::chain};

use self::forward::Forward;

/// How long the controller may take: it answers with its next decision.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the cluster and the controller are.
#[derive(Clone, Debug, Args)]
pub(super) struct Cluster {
    /// The namespace of the policy; that of the kubeconfig's context without it
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// A kubeconfig file; without it $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<std::path::PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Where the controller serves snapshots, such as `http://127.0.0.1:8081` of a port-forward of your own; without it the leader is
    /// found by its Lease and kubectl forwards its port
    #[arg(long, value_name = "URL")]
    controller: Option<String>,
    /// The namespace of the controller and its Lease; all are searched without it
    #[arg(long, value_name = "NAME")]
    controller_namespace: Option<String>,
    /// The name of the controller's Lease
    #[arg(long, value_name = "NAME", default_value = "rbg-autoscaler")]
    lease: String,
    /// The port of the controller's --snapshots-listen
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    controller_port: u16,
}

/// Why the controller has not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum LiveError {
    #[error(
        "the cluster cannot be reached: {0}; name a kubeconfig with --kubeconfig, or the controller with --controller URL"
    )]
    Config(String),
    #[error("the runtime cannot be started: {0}")]
    Runtime(std::io::Error),
    #[error(
        "the Lease {name} cannot be read: {why}; you need to get (with --controller-namespace) or list Leases, or name the controller with --controller URL"
    )]
    Lease { name: String, why: String },
    #[error(
        "no Lease {0} was found: name it with --lease (the chart calls it after the release), or is the controller running without --leader-elect? Then forward its port and name it: kubectl port-forward deploy/… 8081, then --controller http://127.0.0.1:8081"
    )]
    NoLease(String),
    #[error("several Leases are named {name}, in {namespaces}; choose one with --controller-namespace")]
    SeveralLeases { name: String, namespaces: String },
    #[error("nobody holds the Lease {0}; the controller is starting or down, try again or look at its pods")]
    NoLeader(String),
    #[error(
        "the leader {pod} cannot be asked: you need to get pods and create pods/portforward in the namespace {namespace} (kubectl auth can-i create pods/portforward -n {namespace})"
    )]
    Forbidden { pod: String, namespace: String },
    #[error(
        "the leader {holder} is no pod of the namespace {namespace}; after a restart another one leads within 15 s: try again; if the controller runs outside the cluster name it: --controller http://127.0.0.1:8081"
    )]
    NoPod { holder: String, namespace: String },
    #[error("the controller at {at} cannot be asked: {why}")]
    Unreachable { at: String, why: String },
    #[error(
        "kubectl, which forwards the port of the leader, cannot be run: {0}; put it on your PATH, or name the controller with --controller URL"
    )]
    NoKubectl(std::io::Error),
    #[error("{0}")]
    Refused(String),
    #[error(
        "the controller's answer is not understood: {0}; are the controller and this program of the same version?"
    )]
    Answer(String),
}

impl Cluster {
    /// Asks for the next decision on a policy, or on the group of that name.
    pub(super) fn ask(&self, name: &str) -> Result<LiveDecision, LiveError> {
        // Fails when it was done already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let asking = async {
            tokio::time::timeout(PATIENCE, self.asked(name)).await.unwrap_or_else(|_| {
                Err(LiveError::Refused(format!("no answer within {} s; try again", PATIENCE.as_secs())))
            })
        };
        runtime.map_err(LiveError::Runtime)?.block_on(asking)
    }

    async fn asked(&self, name: &str) -> Result<LiveDecision, LiveError> {
        let text = match &self.controller {
            Some(url) => self.by_address(url, name).await?,
            None => self.by_lease(name).await?,
        };
        serde_json::from_str(&text).map_err(|error| LiveError::Answer(error.to_string()))
    }

    async fn by_address(&self, url: &str, name: &str) -> Result<String, LiveError> {
        let namespace = match (&self.namespace, self.config().await) {
            (Some(namespace), _) => namespace.clone(),
            (None, Ok(config)) => config.default_namespace,
            (None, Err(_)) => "default".to_owned(),
        };
        self.asked_at(url, &namespace, name).await
    }

    async fn asked_at(&self, url: &str, namespace: &str, name: &str) -> Result<String, LiveError> {
        let at = || url.to_owned();
        let unreachable = |error: reqwest::Error| LiveError::Unreachable {
            at: at(),
            why: format!("{}; is its port of snapshots (8081) forwarded there?", chain(&error)),
        };
        let client = reqwest::Client::builder().no_proxy().build().map_err(unreachable)?;
        // `127.0.0.1:8081` is meant as kubectl's --server would take it.
        let scheme = if url.contains("://") { "" } else { "http://" };
        let asked = format!("{scheme}{}/snapshots/{namespace}/{name}", url.trim_end_matches('/'));
        let answer = client.get(asked).send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(text);
        }
        // Others say that they know no such page; the controller names what it does not know.
        if text.is_empty() || (status == reqwest::StatusCode::NOT_FOUND && !text.contains(name)) {
            let why = format!(
                "it answers {status} and serves no snapshots there: they have a port of their own, 8081"
            );
            return Err(LiveError::Unreachable { at: at(), why });
        }
        Err(LiveError::Refused(text))
    }

    async fn by_lease(&self, name: &str) -> Result<String, LiveError> {
        let config = self.config().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| LiveError::Config(chain(&error)))?;
        let lease = self.find_lease(&client).await?;
        let home = lease.namespace().unwrap_or_default();
        let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        if holder.is_empty() {
            return Err(LiveError::NoLeader(format!("{home}/{}", self.lease)));
        }
        let mut forward = Forward::start(self, &home, pod_of(&holder))?;
        let port = forward.port().await.map_err(|why| refusal(&why, &holder, home.clone()))?;
        match self.asked_at(&format!("http://127.0.0.1:{port}"), &namespace, name).await {
            Err(LiveError::Unreachable { .. }) => Err(LiveError::Unreachable {
                at: format!("{home}/{}", pod_of(&holder)),
                why: format!(
                    "its port {} does not answer: it is starting, or its --snapshots-listen is another (name it with --controller-port)",
                    self.controller_port
                ),
            }),
            answer => answer,
        }
    }

    async fn find_lease(&self, client: &Client) -> Result<Lease, LiveError> {
        let cannot = |error: kube::Error| LiveError::Lease { name: self.lease.clone(), why: chain(&error) };
        if let Some(namespace) = &self.controller_namespace {
            let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
            let found = leases.get_opt(&self.lease).await.map_err(cannot)?;
            return found.ok_or_else(|| LiveError::NoLease(format!("{namespace}/{}", self.lease)));
        }
        let named = ListParams::default().fields(&format!("metadata.name={}", self.lease));
        let mut found = Api::<Lease>::all(client.clone()).list(&named).await.map_err(cannot)?.items;
        match (found.pop(), found.is_empty()) {
            (Some(lease), true) => Ok(lease),
            (Some(lease), false) => {
                found.push(lease);
                let namespaces: Vec<_> = found.iter().filter_map(ResourceExt::namespace).collect();
                Err(LiveError::SeveralLeases { name: self.lease.clone(), namespaces: namespaces.join(", ") })
            }
            (None, _) => Err(LiveError::NoLease(self.lease.clone())),
        }
    }

    async fn config(&self) -> Result<Config, LiveError> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let kubeconfig = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let config = match kubeconfig {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
            Err(error) => Err(error),
        };
        config.map_err(|error| LiveError::Config(chain(&error)))
    }
}

/// The pod of an identity, which is the host's name, the process and the time of its start.
fn pod_of(holder: &str) -> &str {
    let mut rest = holder;
    for _ in 0..2 {
        match rest.rsplit_once('-') {
            Some((front, number)) if number.bytes().all(|digit| digit.is_ascii_digit()) => rest = front,
            _ => return holder,
        }
    }
    rest
}

/// What kubectl says when it cannot forward.
fn refusal(why: &str, holder: &str, namespace: String) -> LiveError {
    let pod = pod_of(holder).to_owned();
    if why.contains("is forbidden") {
        LiveError::Forbidden { pod, namespace }
    } else if why.contains("(NotFound)") {
        LiveError::NoPod { holder: holder.to_owned(), namespace }
    } else {
        LiveError::Unreachable { at: format!("{namespace}/{pod}"), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_says_becomes_a_way_out() {
        for (said, told) in [
            (
                "Error from server (NotFound): pods \"c-0\" not found",
                "after a restart another one leads within 15 s",
            ),
            (
                "Error from server (Forbidden): pods \"c-0\" is forbidden: User \"a\" cannot create resource \"pods/portforward\"",
                "kubectl auth can-i create pods/portforward -n home",
            ),
            (
                "error: unable to forward port because pod is not running",
                "home/c-0 cannot be asked: error: unable",
            ),
        ] {
            let error = refusal(said, "c-0-1-17", "home".to_owned()).to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn an_identity_tells_its_pod() {
        for (holder, pod) in [
            ("rbg-autoscaler-7d9f-x2x4v-1-1795255200000000000", "rbg-autoscaler-7d9f-x2x4v"),
            ("rbg-autoscaler-0-1-17", "rbg-autoscaler-0"),
            ("somebody", "somebody"),
            ("some-body", "some-body"),
        ] {
            assert_eq!(pod_of(holder), pod);
        }
    }
}
