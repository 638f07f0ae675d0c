//! [`History`]: every count that roles or Deployments ever asked for, as a watch tells it.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, ensure};
use futures::StreamExt;
use kube::{
    Api,
    api::DynamicObject,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use tokio::task::JoinHandle;

use crate::harness::eventually;

/// Every count that a role, or several at once, asked for since the watch began, without repetitions.
#[derive(Debug)]
pub struct History<T = u64> {
    seen: Arc<Mutex<Vec<T>>>,
    watching: JoinHandle<()>,
}

impl<T: Clone + Debug + PartialEq + Send + 'static> History<T> {
    /// Begins to watch what `read` finds in an object, and returns once the present is known.
    pub(super) async fn start(
        api: Api<DynamicObject>,
        name: &str,
        read: impl Fn(&DynamicObject) -> Option<T> + Send + 'static,
    ) -> Result<Self> {
        let seen = Arc::<Mutex<Vec<T>>>::default();
        let note = Arc::clone(&seen);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let watching = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
            while let Some(event) = events.next().await {
                let Some(replicas) = event.ok().and_then(|object| read(&object)) else { continue };
                let mut seen = note.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.last() != Some(&replicas) {
                    seen.push(replicas);
                }
            }
        });
        let history = Self { seen, watching };
        eventually("the watch of a count begins", Duration::from_secs(20), async || {
            ensure!(!history.counts().is_empty(), "nothing yet");
            Ok(Some(()))
        })
        .await?;
        Ok(history)
    }

    /// Returns every count so far, in order.
    pub fn counts(&self) -> Vec<T> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the last count is that one, and returns all.
    pub async fn ends_with(&self, replicas: T) -> Result<Vec<T>> {
        eventually(&format!("a count of {replicas:?}"), Duration::from_secs(60), async || {
            let counts = self.counts();
            ensure!(counts.last() == Some(&replicas), "{counts:?}");
            Ok(Some(counts))
        })
        .await
    }
}

impl<T> Drop for History<T> {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Returns the count of a role of a group.
pub(super) fn replicas(group: &DynamicObject, role: &str) -> Option<u64> {
    let roles = group.data.pointer("/spec/roles")?.as_array()?;
    roles.iter().find(|found| found["name"] == role)?["replicas"].as_u64()
}
