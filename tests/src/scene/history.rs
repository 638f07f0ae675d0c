//! [`History`]: every count that a role ever asked for, as a watch tells it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use futures::StreamExt;
use kube::{
    api::DynamicObject,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use tokio::task::JoinHandle;

use crate::{
    harness::{Namespace, eventually},
    rbg::manifest,
};

/// Every count that a role asked for since the watch began, without repetitions.
#[derive(Debug)]
pub struct History {
    seen: Arc<Mutex<Vec<u64>>>,
    watching: JoinHandle<()>,
}

impl History {
    /// Begins to watch, and returns once the present count is known.
    pub(super) async fn start(namespace: &Namespace, group: &str, role: &str) -> Result<Self> {
        let seen = Arc::<Mutex<Vec<u64>>>::default();
        let note = Arc::clone(&seen);
        let api = manifest::groups(&namespace.client(), namespace.name());
        let config = watcher::Config::default().fields(&format!("metadata.name={group}"));
        let role = role.to_owned();
        let watching = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
            while let Some(event) = events.next().await {
                let Some(replicas) = event.ok().and_then(|group| replicas(&group, &role)) else { continue };
                let mut seen = note.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.last() != Some(&replicas) {
                    seen.push(replicas);
                }
            }
        });
        let history = Self { seen, watching };
        eventually("the watch of a role begins", Duration::from_secs(20), async || {
            ensure!(!history.counts().is_empty(), "nothing yet");
            Ok(Some(()))
        })
        .await?;
        Ok(history)
    }

    /// Returns every count so far, in order.
    pub fn counts(&self) -> Vec<u64> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the last count is that one, and returns all.
    pub async fn ends_with(&self, replicas: u64) -> Result<Vec<u64>> {
        eventually(&format!("a count of {replicas}"), Duration::from_secs(60), async || {
            let counts = self.counts();
            ensure!(counts.last() == Some(&replicas), "{counts:?}");
            Ok(Some(counts))
        })
        .await
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn replicas(group: &DynamicObject, role: &str) -> Option<u64> {
    let roles = group.data.pointer("/spec/roles")?.as_array()?;
    roles.iter().find(|found| found["name"] == role)?["replicas"].as_u64()
}
