//! Learns from the API server which pods are model servers.

use std::sync::Arc;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use tracing::warn;

use super::{Shared, endpoint::Endpoint};

/// Keeps the pool's pods those of the cluster, for ever.
pub(super) async fn follow(client: Client, shared: Arc<Shared>) {
    let events = watcher::watcher(Api::<Pod>::all(client), watcher::Config::default()).default_backoff();
    pin_mut!(events);
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => listed.extend(Endpoint::from_pod(&pod)),
            Ok(Event::InitDone) => {
                let now = shared.now();
                shared.lock().pool.replace(std::mem::take(&mut listed), now);
            }
            Ok(Event::Apply(pod)) => {
                if let Some(endpoint) = Endpoint::from_pod(&pod) {
                    let now = shared.now();
                    shared.lock().pool.put(endpoint, now);
                }
            }
            Ok(Event::Delete(pod)) => {
                if let Some(gone) = Endpoint::from_pod(&pod) {
                    let now = shared.now();
                    shared.lock().pool.remove(&gone.namespace, &gone.name, &gone.uid, now);
                }
            }
            Err(error) => warn!(%error, "could not watch pods"),
        }
    }
}
