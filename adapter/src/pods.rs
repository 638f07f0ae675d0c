//! [`PodCache`]: what must be known of the cluster's pods to answer for those that a selector matches.
//!
//! A watch keeps it; of each pod only the labels, the start and whether it has ended stay in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use futures::{TryStreamExt, pin_mut};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::ApiResource,
    core::{NotUsed, Object},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::selector::Selector;

/// What is known of one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    labels: BTreeMap<String, String>,
    /// When the kubelet took it on; a pod of the same name before it is another pod.
    pub started: Option<Timestamp>,
}

/// The pods of one namespace that have not ended, by name.
pub type Pods = BTreeMap<String, Arc<Pod>>;

/// The pods of the cluster that have not ended.
#[derive(Default)]
pub struct PodCache {
    namespaces: RwLock<HashMap<String, Pods>>,
    synced: watch::Sender<bool>,
}

/// A pod as it comes over the wire, less what nobody reads.
type WirePod = Object<NotUsed, WireStatus>;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireStatus {
    phase: Option<String>,
    start_time: Option<Timestamp>,
}

impl Pod {
    /// Returns a pod with these labels.
    pub fn new(labels: BTreeMap<String, String>, started: Option<Timestamp>) -> Self {
        Self { labels, started }
    }

    /// Says whether a selector selects the pod.
    pub fn matches(&self, selector: &Selector) -> bool {
        selector.matches(|label| self.labels.get(label).map(String::as_str))
    }

    /// Returns the value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

impl PodCache {
    /// Returns the pods of a namespace that a selector selects, by name.
    pub fn select(&self, namespace: &str, selector: &Selector) -> Vec<(String, Arc<Pod>)> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        let pods = namespaces.get(namespace).into_iter().flatten();
        pods.filter(|(_, pod)| pod.matches(selector)).map(|(name, pod)| (name.clone(), pod.clone())).collect()
    }

    /// Returns one pod, unless it has ended.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.get(namespace)?.get(name).cloned()
    }

    /// Returns the number of pods.
    pub fn len(&self) -> usize {
        self.namespaces.read().unwrap_or_else(PoisonError::into_inner).values().map(BTreeMap::len).sum()
    }

    /// Says whether no pod is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether all pods have been listed once.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until all pods have been listed once.
    pub async fn synced(&self) {
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Replaces everything, for tests and after a list.
    pub fn replace(&self, pods: HashMap<String, Pods>) {
        *self.namespaces.write().unwrap_or_else(PoisonError::into_inner) = pods;
        self.synced.send_replace(true);
    }

    /// Watches until dropped; failures are logged and tried again, what is known stays meanwhile.
    pub async fn run(&self, client: Client) {
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
        let pods: Api<WirePod> = Api::all_with(client, &resource);
        let events = watcher(pods, watcher::Config::default().any_semantic()).default_backoff();
        pin_mut!(events);
        let mut listed: HashMap<String, Pods> = HashMap::new();
        let mut is_failing = false;
        loop {
            let event = events.try_next().await;
            // A watch that keeps failing is told once.
            let failed_before = std::mem::replace(&mut is_failing, event.is_err());
            match event {
                Ok(Some(Event::Init)) => listed.clear(),
                Ok(Some(Event::InitApply(pod))) => put(&mut listed, pod),
                Ok(Some(Event::InitDone)) => {
                    self.replace(std::mem::take(&mut listed));
                    tracing::info!(pods = self.len(), "pods listed");
                }
                Ok(Some(Event::Apply(pod))) => {
                    put(&mut self.namespaces.write().unwrap_or_else(PoisonError::into_inner), pod);
                }
                Ok(Some(Event::Delete(pod))) => {
                    let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
                    let (namespace, name) = key(&pod);
                    remove(&mut namespaces, namespace, name);
                }
                Ok(None) => return,
                Err(error) if failed_before => tracing::debug!(%error, "pods cannot be watched"),
                Err(error) => {
                    tracing::warn!(%error, "pods cannot be watched: does the role allow list and watch?");
                }
            }
        }
    }
}

fn key(pod: &WirePod) -> (&str, &str) {
    (pod.metadata.namespace.as_deref().unwrap_or_default(), pod.metadata.name.as_deref().unwrap_or_default())
}

/// Takes a pod in, or out if it has ended.
fn put(namespaces: &mut HashMap<String, Pods>, mut pod: WirePod) {
    let labels = pod.metadata.labels.take().unwrap_or_default();
    let (namespace, name) = key(&pod);
    let status = pod.status.as_ref();
    if matches!(status.and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed")) {
        remove(namespaces, namespace, name);
        return;
    }
    let known = Arc::new(Pod::new(labels, status.and_then(|status| status.start_time)));
    match namespaces.get_mut(namespace) {
        Some(pods) => pods.insert(name.to_owned(), known),
        None => namespaces.entry(namespace.to_owned()).or_default().insert(name.to_owned(), known),
    };
}

fn remove(namespaces: &mut HashMap<String, Pods>, namespace: &str, name: &str) {
    let Some(pods) = namespaces.get_mut(namespace) else { return };
    pods.remove(name);
    if pods.is_empty() {
        namespaces.remove(namespace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(name: &str, phase: &str) -> WirePod {
        let json = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"a","labels":{{"app":"web"}}}},
                "spec":{{"containers":[{{"name":"x"}}]}},
                "status":{{"phase":"{phase}","startTime":"2026-11-20T10:00:00Z","podIP":"10.0.0.1"}}}}"#
        );
        serde_json::from_str(&json).expect("a pod")
    }

    #[test]
    fn ended_pods_are_left_out() {
        let mut pods = HashMap::new();
        put(&mut pods, wire("p1", "Running"));
        put(&mut pods, wire("p2", "Succeeded"));
        put(&mut pods, wire("p3", "Pending"));
        put(&mut pods, wire("p3", "Failed"));
        let cache = PodCache::default();
        assert!(!cache.is_synced());
        cache.replace(pods);
        assert!(cache.is_synced());
        let selected = cache.select("a", &Selector::parse("app in (web)").expect("parses"));
        assert_eq!(selected.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["p1"]);
        assert_eq!(selected[0].1.started.map(|at| at.to_string()).as_deref(), Some("2026-11-20T10:00:00Z"));
        assert_eq!(cache.select("a", &Selector::parse("app!=web").expect("parses")), []);
        assert_eq!(cache.select("b", &Selector::default()), []);
        assert_eq!(cache.get("a", "p2"), None);
    }

    #[test]
    fn a_namespace_without_pods_is_forgotten() {
        let mut pods = HashMap::new();
        put(&mut pods, wire("p1", "Running"));
        remove(&mut pods, "a", "p1");
        remove(&mut pods, "a", "p1");
        assert!(pods.is_empty());
    }
}
