//! The stand-in controller: watches groups and what they own, and brings them together.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::Pod,
    },
    serde::de::DeserializeOwned,
};
use kube::{
    Api, Client, Resource,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt, applier,
        controller::{self, Action},
        reflector::{self, ObjectRef},
        watcher,
    },
};
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::{
    labels,
    reconcile::{Reconciler, StandInError},
    types::{RoleBasedGroup, RoleBasedGroupScalingAdapter},
};

/// A running stand-in; it ends when this is dropped.
///
/// What it does as upstream does: pods with upstream's names and labels, highest ordinals removed first, lost pods made anew,
/// rollouts, status, pod groups, Deployments and stateful sets for roles that ask for them, and scaling adapters whose count wins over the
/// group's, at the price of every field of the group that RBG does not know.
///
/// What it leaves out: role instance sets (its pods belong to the group itself), leader-worker sets (their pods are made the
/// same way, with that project's names and labels), Services, environment variables and config maps for discovery, updates in
/// place, surge, kept revisions, and start order between roles.
#[derive(Debug)]
pub struct StandIn(JoinHandle<()>);

impl StandIn {
    /// Starts a stand-in for all namespaces. The CRDs must be installed.
    pub fn start(client: Client) -> Self {
        Self(tokio::spawn(run(client, None)))
    }

    /// Starts a stand-in for one namespace, so that tests side by side each have their own.
    pub fn start_in(client: Client, namespace: &str) -> Self {
        Self(tokio::spawn(run(client, Some(namespace.to_owned()))))
    }

    /// Ends it and waits until it did.
    pub async fn stop(mut self) {
        self.0.abort();
        // Being cancelled is what was asked for.
        drop((&mut self.0).await);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(client: Client, namespace: Option<String>) {
    let scope = Scope { client: client.clone(), namespace };
    let reconciler = Arc::new(Reconciler::new(client));
    let owned = watcher::Config::default().labels(labels::GROUP_NAME);
    let (groups, writer) = reflector::store::<RoleBasedGroup>();
    let touched = reflector::reflector(writer, watcher(scope.api(), watcher::Config::default()))
        .default_backoff()
        .touched_objects()
        .map_ok(|group| ObjectRef::from_obj(&group));
    let queue = stream::select_all([
        touched.boxed(),
        Arc::clone(&reconciler.pods).follow(scope.api::<Pod>(), owned.clone()).boxed(),
        Arc::clone(&reconciler.deployments).follow(scope.api::<Deployment>(), owned.clone()).boxed(),
        Arc::clone(&reconciler.stateful_sets).follow(scope.api::<StatefulSet>(), owned.clone()).boxed(),
        Arc::clone(&reconciler.adapters).follow(scope.api::<RoleBasedGroupScalingAdapter>(), owned).boxed(),
    ]);
    let config = controller::Config::default().debounce(Duration::from_millis(10)).concurrency(8);
    applier(
        |group, reconciler: Arc<Reconciler>| reconcile(group, reconciler).boxed(),
        |_, error, _| Action::requeue(again(error)),
        Arc::clone(&reconciler),
        groups,
        queue,
        config,
    )
    .for_each_concurrent(8, |result| {
        let reconciler = Arc::clone(&reconciler);
        async move {
            match result {
                Ok((group, _)) => debug!(%group, "reconciled group"),
                Err(controller::Error::ObjectNotFound(group)) => {
                    let namespace = group.namespace.as_deref().unwrap_or_default();
                    if let Err(error) = reconciler.forget(namespace, &group.name).await {
                        warn!(%group, %error, "could not remove what a group left behind");
                    }
                }
                Err(controller::Error::ReconcilerFailed(error @ StandInError::NameTaken(_), group)) => {
                    debug!(%group, %error, "will look again");
                }
                Err(error) => warn!(%error, "will try again"),
            }
        }
    })
    .await;
}

/// How long to wait after an error. What holds a name is mostly a pod about to go, whose end no watch here sees.
fn again(error: &StandInError) -> Duration {
    if matches!(error, StandInError::NameTaken(_)) {
        Duration::from_millis(200)
    } else {
        Duration::from_secs(1)
    }
}

async fn reconcile(group: Arc<RoleBasedGroup>, reconciler: Arc<Reconciler>) -> Result<Action, StandInError> {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, reconciler.reconcile(&group)).await.map_err(|_| StandInError::TimedOut)??;
    Ok(Action::await_change())
}

/// One namespace, or all.
struct Scope {
    client: Client,
    namespace: Option<String>,
}

impl Scope {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}
