//! [`PodCache`]: what must be known of the cluster's pods to answer for those that a selector matches.
//!
//! A watch keeps it; of each pod only the labels, the start, readiness and whether it has ended stay in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
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
use rbg_autoscaler::cause::chain;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::selector::Selector;

/// The annotation that says whether a pod's metrics are read.
const SCRAPE: &str = "prometheus.io/scrape";

/// What is known of one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    labels: BTreeMap<String, String>,
    /// When the kubelet took it on; a pod of the same name before it is another pod.
    pub started: Option<Timestamp>,
    /// Since when it is Ready; none while it is not, or is being deleted.
    pub ready_since: Option<Timestamp>,
    /// Whether its annotation `prometheus.io/scrape: "false"` says that there is nothing to read.
    pub is_unscraped: bool,
}

/// The pods of one namespace that have not ended, by name.
pub type Pods = BTreeMap<String, Arc<Pod>>;

/// The pods of the cluster that have not ended.
#[derive(Default)]
pub struct PodCache {
    known: RwLock<Known>,
    synced: watch::Sender<bool>,
}

/// Pods by namespace, each namespace with the number of the change that it last saw.
#[derive(Default)]
struct Known {
    namespaces: HashMap<String, (u64, Pods)>,
    changes: u64,
}

/// A pod as it comes over the wire, less what nobody reads.
type WirePod = Object<NotUsed, WireStatus>;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireStatus {
    phase: Option<String>,
    start_time: Option<Timestamp>,
    conditions: Option<Vec<WireCondition>>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireCondition {
    r#type: String,
    status: String,
    last_transition_time: Option<Timestamp>,
}

impl Pod {
    /// Returns a pod with these labels that is not Ready.
    pub fn new(labels: BTreeMap<String, String>, started: Option<Timestamp>) -> Self {
        Self { labels, started, ready_since: None, is_unscraped: false }
    }

    /// The same, Ready since then.
    #[must_use]
    pub fn ready(self, since: Timestamp) -> Self {
        Self { ready_since: Some(since), ..self }
    }

    /// Returns the pod's labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
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
        self.filter(namespace, |pod| pod.matches(selector))
    }

    /// Returns the pods of a namespace that are wanted, by name.
    pub fn filter(&self, namespace: &str, is_wanted: impl Fn(&Pod) -> bool) -> Vec<(String, Arc<Pod>)> {
        let known = self.known();
        let pods = known.namespaces.get(namespace).into_iter().flat_map(|(_, pods)| pods);
        pods.filter(|(_, pod)| is_wanted(pod)).map(|(name, pod)| (name.clone(), pod.clone())).collect()
    }

    /// Returns the namespaces that have pods, sorted.
    pub fn namespaces(&self) -> Vec<String> {
        let mut names: Vec<String> = self.known().namespaces.keys().cloned().collect();
        names.sort();
        names
    }

    /// Returns one pod, unless it has ended.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.known().namespaces.get(namespace)?.1.get(name).cloned()
    }

    /// Returns a number that is another one whenever something has changed in a namespace; `None` while it has no pods.
    pub fn generation(&self, namespace: &str) -> Option<u64> {
        self.known().namespaces.get(namespace).map(|(changed, _)| *changed)
    }

    /// Returns the number of pods.
    pub fn len(&self) -> usize {
        self.known().namespaces.values().map(|(_, pods)| pods.len()).sum()
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
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.changes += 1;
        let changes = known.changes;
        known.namespaces = pods.into_iter().map(|(namespace, pods)| (namespace, (changes, pods))).collect();
        drop(known);
        self.synced.send_replace(true);
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
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
                Ok(Some(Event::InitApply(pod))) => {
                    if let (namespace, name, Some(pod)) = read(pod) {
                        listed.entry(namespace).or_default().insert(name, pod);
                    }
                }
                Ok(Some(Event::InitDone)) => {
                    self.replace(std::mem::take(&mut listed));
                    tracing::info!(pods = self.len(), "pods listed");
                }
                Ok(Some(Event::Apply(pod))) => {
                    self.known.write().unwrap_or_else(PoisonError::into_inner).put(pod);
                }
                Ok(Some(Event::Delete(pod))) => {
                    let (namespace, name, _) = read(pod);
                    self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&namespace, &name);
                }
                Ok(None) => return,
                Err(error) if failed_before => tracing::debug!(%error, "pods cannot be watched"),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "pods cannot be watched");
                }
            }
        }
    }
}

/// Returns a pod's namespace, its name and what is kept of it: nothing if it has ended.
fn read(pod: WirePod) -> (String, String, Option<Arc<Pod>>) {
    let metadata = pod.metadata;
    let (namespace, name) = (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
    let status = pod.status.unwrap_or_default();
    let has_ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let mut pod = Pod::new(metadata.labels.unwrap_or_default(), status.start_time);
    let is_ready = |condition: &&WireCondition| condition.r#type == "Ready" && condition.status == "True";
    let ready =
        status.conditions.iter().flatten().find(is_ready).filter(|_| metadata.deletion_timestamp.is_none());
    pod.ready_since = ready.map(|ready| ready.last_transition_time.unwrap_or(Timestamp::MIN));
    let annotations = metadata.annotations.unwrap_or_default();
    pod.is_unscraped = annotations.get(SCRAPE).is_some_and(|value| value.trim() == "false");
    (namespace, name, (!has_ended).then(|| Arc::new(pod)))
}

impl Known {
    /// Takes a pod in, or out if it has ended. Most events change nothing that is kept.
    fn put(&mut self, pod: WirePod) {
        let (namespace, name, pod) = read(pod);
        let Some(pod) = pod else { return self.remove(&namespace, &name) };
        let (changed, pods) = self.namespaces.entry(namespace).or_default();
        if pods.get(&name) == Some(&pod) {
            return;
        }
        pods.insert(name, pod);
        self.changes += 1;
        *changed = self.changes;
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        let Some((changed, pods)) = self.namespaces.get_mut(namespace) else { return };
        if pods.remove(name).is_none() {
            return;
        }
        self.changes += 1;
        *changed = self.changes;
        if pods.is_empty() {
            self.namespaces.remove(namespace);
        }
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
        let cache = PodCache::default();
        assert!(!cache.is_synced());
        cache.replace(HashMap::new());
        assert!(cache.is_synced());
        for (name, phase) in [("p1", "Running"), ("p2", "Succeeded"), ("p3", "Pending"), ("p3", "Failed")] {
            cache.known.write().expect("not poisoned").put(wire(name, phase));
        }
        let selected = cache.select("a", &Selector::parse("app in (web)").expect("parses"));
        assert_eq!(selected.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["p1"]);
        assert_eq!(selected[0].1.started.map(|at| at.to_string()).as_deref(), Some("2026-11-20T10:00:00Z"));
        assert_eq!(cache.select("a", &Selector::parse("app!=web").expect("parses")), []);
        assert_eq!(cache.select("b", &Selector::default()), []);
        assert_eq!(cache.get("a", "p2"), None);
    }

    #[test]
    fn readiness_ends_with_the_pod_s_deletion() {
        let wire = |metadata: &str, status: &str| -> WirePod {
            let json = format!(
                r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p","namespace":"a"{metadata}}},"spec":{{"containers":[]}},"status":{{"conditions":[
                    {{"type":"Initialized","status":"True","lastTransitionTime":"2026-11-20T10:00:00Z"}},
                    {{"type":"Ready","status":"{status}","lastTransitionTime":"2026-11-20T10:01:00Z"}}]}}}}"#
            );
            serde_json::from_str(&json).expect("a pod")
        };
        for (metadata, status, want) in [
            ("", "True", (Some("2026-11-20T10:01:00Z"), false)),
            ("", "False", (None, false)),
            (r#","deletionTimestamp":"2026-11-20T10:02:00Z""#, "True", (None, false)),
            (
                r#","annotations":{"prometheus.io/scrape":"false"}"#,
                "True",
                (Some("2026-11-20T10:01:00Z"), true),
            ),
        ] {
            let pod = read(wire(metadata, status)).2.expect("it has not ended");
            let since = pod.ready_since.map(|since| since.to_string());
            assert_eq!((since.as_deref(), pod.is_unscraped), want, "{metadata} {status}");
        }
    }

    #[test]
    fn generations_tell_of_changes_and_of_nothing_else() {
        let mut known = Known::default();
        known.put(wire("p1", "Pending"));
        let first = known.namespaces["a"].0;
        known.put(wire("p1", "Running"));
        known.remove("a", "p2");
        assert_eq!(known.namespaces["a"].0, first, "nothing that is kept has changed");
        known.put(wire("p2", "Running"));
        let second = known.namespaces["a"].0;
        assert_ne!(second, first);
        known.remove("a", "p1");
        assert_ne!(known.namespaces["a"].0, second);
        known.put(wire("p2", "Failed"));
        assert!(known.namespaces.is_empty(), "a namespace without pods is forgotten");
        known.put(wire("p1", "Running"));
        assert!(known.namespaces["a"].0 > second, "no number comes twice");
    }
}
