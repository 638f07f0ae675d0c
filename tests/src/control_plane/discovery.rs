//! Pod discovery for a Prometheus that was built without it, as Debian's is.
//!
//! Writes what `kubernetes_sd_configs` with role pod would find, with the same `__meta_kubernetes_pod_*` labels, into a file for
//! `file_sd_configs`. So relabelling rules are the same for both.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, reflector::ObjectRef};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::client;

/// How long changes gather before the file is written.
const GATHER: Duration = Duration::from_millis(200);

/// Keeps a file of all pods up to date until it is dropped. Has a thread and a runtime of its own, since tests' runtimes end.
#[derive(Debug)]
pub(super) struct PodDiscovery {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PodDiscovery {
    /// Starts to write `file`.
    pub(super) fn start(kubeconfig: PathBuf, file: PathBuf) -> Result<Self> {
        write(&file, &BTreeMap::new())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("pod-discovery".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    outcome = follow(&kubeconfig, &file) => {
                        if let Err(error) = outcome { eprintln!("pod discovery ended: {error:#}"); }
                    }
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for PodDiscovery {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Targets = BTreeMap<(Option<String>, String), Value>;

async fn follow(kubeconfig: &Path, file: &Path) -> Result<()> {
    let client = client(kubeconfig).await?;
    let mut events = pin!(watcher(Api::<Pod>::all(client), watcher::Config::default()).default_backoff());
    let mut tick = interval(GATHER);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut targets, mut relisted, mut changed) = (Targets::new(), Targets::new(), false);
    let key = |pod: &Pod| {
        let reference = ObjectRef::from_obj(pod);
        (reference.namespace, reference.name)
    };
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return Ok(()),
                // The watcher goes on by itself, after a pause.
                Some(Err(_)) => {}
                Some(Ok(Event::Init)) => relisted.clear(),
                Some(Ok(Event::InitApply(pod))) => {
                    target(&pod).map(|target| relisted.insert(key(&pod), target));
                }
                Some(Ok(Event::InitDone)) => {
                    targets = std::mem::take(&mut relisted);
                    changed = true;
                }
                Some(Ok(Event::Apply(pod))) => {
                    match target(&pod) {
                        Some(target) => targets.insert(key(&pod), target),
                        None => targets.remove(&key(&pod)),
                    };
                    changed = true;
                }
                Some(Ok(Event::Delete(pod))) => changed |= targets.remove(&key(&pod)).is_some(),
            },
            _ = tick.tick(), if changed => {
                write(file, &targets)?;
                changed = false;
            }
        }
    }
}

fn write(file: &Path, targets: &Targets) -> Result<()> {
    let fresh = file.with_extension("new");
    let text = serde_json::to_string(&targets.values().collect::<Vec<_>>())?;
    fs::write(&fresh, text).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, file).with_context(|| format!("cannot write {}", file.display()))
}

/// Returns the target of a pod, or nothing while it has no address.
fn target(pod: &Pod) -> Option<Value> {
    let status = pod.status.as_ref()?;
    let ip = status.pod_ip.as_ref()?;
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    let mut labels: BTreeMap<String, String> = [
        ("__meta_kubernetes_namespace", pod.namespace().unwrap_or_default()),
        ("__meta_kubernetes_pod_name", pod.name_any()),
        ("__meta_kubernetes_pod_ip", ip.clone()),
        ("__meta_kubernetes_pod_phase", status.phase.clone().unwrap_or_default()),
        ("__meta_kubernetes_pod_ready", ready.to_string()),
        ("__meta_kubernetes_pod_node_name", node),
        ("__meta_kubernetes_pod_uid", pod.uid().unwrap_or_default()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    for (kind, map) in [("label", pod.labels()), ("annotation", pod.annotations())] {
        for (name, value) in map {
            let name = label_name(name);
            labels.insert(format!("__meta_kubernetes_pod_{kind}_{name}"), value.clone());
            labels.insert(format!("__meta_kubernetes_pod_{kind}present_{name}"), "true".to_owned());
        }
    }
    Some(json!({"targets": [ip], "labels": labels}))
}

/// Returns a name as it may stand in a label's name.
fn label_name(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_becomes_a_target_with_the_labels_of_kubernetes_sd() {
        let pod = |status: Value| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"namespace": "n", "name": "p", "labels": {"rbg.workloads.x-k8s.io/role-name": "decode"},
                    "annotations": {"prometheus.io/scrape": "true"}},
                "status": status,
            }))
            .unwrap()
        };
        assert_eq!(target(&pod(json!({"phase": "Pending"}))), None);
        let found = target(&pod(json!({"phase": "Running", "podIP": "127.20.0.1"}))).unwrap();
        assert_eq!(found["targets"], json!(["127.20.0.1"]));
        let labels = &found["labels"];
        assert_eq!(labels["__meta_kubernetes_pod_label_rbg_workloads_x_k8s_io_role_name"], "decode");
        assert_eq!(labels["__meta_kubernetes_pod_annotation_prometheus_io_scrape"], "true");
        assert_eq!(labels["__meta_kubernetes_pod_phase"], "Running");
        assert_eq!(labels["__meta_kubernetes_pod_ready"], "false");
    }
}
