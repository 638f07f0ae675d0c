//! Feeds the caches: one watch per kind, each started anew with growing pauses when it breaks.

use std::fmt::Debug;

use futures::StreamExt;
use k8s_openapi::api::{autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod};
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use rbg_autoscaler::api::{
    autoscaler::RoleBasedGroupAutoscaler,
    rbg::{GROUP_NAME, RoleBasedGroup, RoleBasedGroupScalingAdapter},
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::warn;

use super::{RIVAL, WorldEvent};

/// Events that may wait; a watch that runs ahead of the loop waits itself.
const QUEUE: usize = 4096;

/// Starts the watches of one namespace, or of all, and returns what they tell.
///
/// They end when the receiver is dropped.
pub fn start(client: &Client, namespace: Option<&str>) -> mpsc::Receiver<WorldEvent> {
    let (events, told) = mpsc::channel(QUEUE);
    let all = watcher::Config::default;
    forward(
        "RoleBasedGroup",
        api::<DeserializeGuard<RoleBasedGroup>>(client, namespace),
        all(),
        events.clone(),
        WorldEvent::Group,
    );
    forward(
        "RoleBasedGroupScalingAdapter",
        api::<DeserializeGuard<RoleBasedGroupScalingAdapter>>(client, namespace),
        all(),
        events.clone(),
        WorldEvent::ScalingAdapter,
    );
    forward(
        "RoleBasedGroupAutoscaler",
        api::<DeserializeGuard<RoleBasedGroupAutoscaler>>(client, namespace),
        all(),
        events.clone(),
        WorldEvent::Autoscaler,
    );
    forward("Pod", api::<Pod>(client, namespace), all().labels(GROUP_NAME), events.clone(), |event| {
        WorldEvent::Pod(Box::new(event))
    });
    forward(RIVAL, api::<HorizontalPodAutoscaler>(client, namespace), all(), events, |event| {
        WorldEvent::Rival(Box::new(event))
    });
    told
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn forward<K>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    events: mpsc::Sender<WorldEvent>,
    wrap: impl Fn(Event<K>) -> WorldEvent + Send + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(watcher(api, config).default_backoff());
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    if events.send(wrap(event)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    warn!(kind, %error, "watch broke, starting it again");
                    let forbidden = is_forbidden(&error);
                    if events.send(WorldEvent::WatchBroke { kind, forbidden }).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
}

fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            matches!(error, kube::Error::Api(status) if status.code == 403)
        }
        _ => false,
    }
}
