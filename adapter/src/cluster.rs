//! The cluster that the adapter belongs to: clients, and the trust that its ConfigMap tells.

use std::{path::Path, sync::Arc, time::Duration};

use futures::{TryStreamExt, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use rbg_autoscaler::cause::chain;
use tokio::sync::watch;

use crate::authentication::trust::Trust;

/// Where the aggregation layer says whom to trust.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// Why there is no client of the API server.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: kube::config::KubeconfigError,
    },
    /// There is neither a kubeconfig nor a service account.
    #[error("neither a kubeconfig nor a service account of a pod: give --kubeconfig")]
    Infer(#[source] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("no client for the API server")]
    Client(#[source] kube::Error),
}

/// Returns a client by a kubeconfig file, else by the usual places (`KUBECONFIG`, the pod's service account).
pub async fn client(kubeconfig: Option<&Path>) -> Result<Client, ClientError> {
    let mut config = match kubeconfig {
        Some(path) => {
            let refuse = |source| ClientError::Kubeconfig { path: path.display().to_string(), source };
            let kubeconfig = Kubeconfig::read_from(path).map_err(refuse)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(refuse)?
        }
        None => Config::infer().await.map_err(ClientError::Infer)?,
    };
    config.connect_timeout = Some(Duration::from_secs(10));
    Client::try_from(config).map_err(ClientError::Client)
}

/// What a command line says about trust, which counts before what the cluster says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Parts that are given.
    pub given: Trust,
    /// Whether the cluster is not asked.
    pub skip_lookup: bool,
    /// Whether to serve although the cluster does not say.
    pub tolerate_failure: bool,
}

impl Overrides {
    fn over(&self, mut trust: Trust) -> Arc<Trust> {
        trust.front_proxy = self.given.front_proxy.clone().or(trust.front_proxy);
        trust.client_ca = self.given.client_ca.clone().or(trust.client_ca);
        Arc::new(trust)
    }
}

/// Keeps `trust` as the ConfigMap says, until dropped; what was last usable stays when it is not.
///
/// Needs the role `extension-apiserver-authentication-reader` in `kube-system`.
pub async fn follow_trust(client: Client, overrides: Overrides, trust: watch::Sender<Option<Arc<Trust>>>) {
    if overrides.skip_lookup || overrides.tolerate_failure {
        trust.send_replace(Some(overrides.over(Trust::default())));
    }
    if overrides.skip_lookup {
        return trust.closed().await;
    }
    let config_maps: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
    let only = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let events = watcher(config_maps, only).default_backoff();
    pin_mut!(events);
    let mut is_failing = false;
    loop {
        let config_map = match events.try_next().await {
            Ok(Some(Event::Apply(config_map) | Event::InitApply(config_map))) => config_map,
            Ok(Some(Event::InitDone)) => {
                if trust.borrow().is_none() {
                    tracing::warn!(
                        namespace = NAMESPACE,
                        name = NAME,
                        "the ConfigMap is missing: is the aggregation layer configured?"
                    );
                }
                continue;
            }
            Ok(Some(Event::Init | Event::Delete(_))) => continue,
            Ok(None) => return,
            Err(error) => {
                if !is_failing {
                    tracing::error!(
                        error = chain(&error),
                        "the authorities of client certificates cannot be read: \
                         bind the role extension-apiserver-authentication-reader in kube-system to the service account"
                    );
                }
                is_failing = true;
                continue;
            }
        };
        is_failing = false;
        match Trust::from_config_map(&config_map.data.unwrap_or_default()) {
            Ok(read) => {
                let read = overrides.over(read);
                tracing::info!(trust = ?read, "authorities of client certificates read");
                trust.send_replace(Some(read));
            }
            Err(error) => tracing::error!(%error, "authorities of client certificates kept as they were"),
        }
    }
}
