//! Feeds the caches: one watch per kind, each started anew with growing pauses when it breaks.

use std::fmt::Debug;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
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

use super::WorldEvent;

/// Events that may wait; a watch that runs ahead of the loop waits itself.
const QUEUE: usize = 4096;

/// Starts the watches of one namespace, or of all, and returns what they tell.
///
/// They end when the receiver is dropped.
pub fn start(client: &Client, namespace: Option<&str>) -> mpsc::Receiver<WorldEvent> {
    let (events, told) = mpsc::channel(QUEUE);
    let all = watcher::Config::default;
    forward(
        api::<DeserializeGuard<RoleBasedGroup>>(client, namespace),
        all(),
        events.clone(),
        WorldEvent::Group,
    );
    forward(
        api::<DeserializeGuard<RoleBasedGroupScalingAdapter>>(client, namespace),
        all(),
        events.clone(),
        WorldEvent::ScalingAdapter,
    );
    forward(
        api::<DeserializeGuard<RoleBasedGroupAutoscaler>>(client, namespace),
        all(),
        events.clone(),
        WorldEvent::Autoscaler,
    );
    forward(api::<Pod>(client, namespace), all().labels(GROUP_NAME), events, |event| {
        WorldEvent::Pod(Box::new(event))
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
    api: Api<K>,
    config: watcher::Config,
    events: mpsc::Sender<WorldEvent>,
    wrap: impl Fn(Event<K>) -> WorldEvent + Send + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    tokio::spawn(async move {
        let kind = K::kind(&()).into_owned();
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
                    if events.send(WorldEvent::WatchBroke(kind.clone())).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
}
