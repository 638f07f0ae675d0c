//! How long it takes from a metric that Prometheus shows to replicas that are written.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use kube::{
    ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    engines::{Engines, QUEUE},
    fleet::{Fleet, ROLES},
};
use crate::control_plane::ControlPlane;

/// Roles whose queue doubles at the same time.
const TOGETHER: usize = 10;
/// How often Prometheus is asked what it shows.
const POLL: Duration = Duration::from_millis(20);
/// A role that was not raised by then never will be.
const PATIENCE: Duration = Duration::from_secs(20);

/// Times in ascending order.
#[derive(Debug)]
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Returns the time that so many percent do not exceed.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(rank).copied().unwrap_or(Duration::MAX)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, all] = [50, 95, 100].map(|percent| self.percentile(percent).as_secs_f64());
        write!(f, "p50 {half:.2} s, p95 {most:.2} s, longest {all:.2} s of {}", self.0.len())
    }
}

/// Doubles the queues of some roles at a time and notes when Prometheus shows it and when each role asks for two replicas.
pub(super) async fn measure(
    plane: &ControlPlane,
    fleet: &Fleet,
    engines: &Engines,
    rounds: usize,
) -> Result<Latencies> {
    let raised = Arc::<Mutex<BTreeMap<String, Instant>>>::default();
    let note = Arc::clone(&raised);
    let api = fleet.api();
    let watching = tokio::spawn(async move {
        let mut events =
            std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
        while let Some(event) = events.next().await {
            let Ok(group) = event else { continue };
            let is_raised = group.data.pointer("/spec/roles/0/replicas").and_then(Value::as_u64) == Some(2);
            if is_raised {
                let mut raised = note.lock().unwrap_or_else(PoisonError::into_inner);
                raised.entry(group.name_any()).or_insert_with(Instant::now);
            }
        }
    });
    let role = ROLES.first().context("no roles")?;
    let mut latencies = Vec::new();
    for round in 0..rounds {
        let groups: Vec<_> =
            (0..TOGETHER).map(|at| Fleet::group((round * TOGETHER + at) % fleet.groups)).collect();
        for group in &groups {
            engines.set(&format!("{group}-{role}-0"), 2 * QUEUE);
        }
        let (began, mut shown) = (Instant::now(), BTreeMap::new());
        loop {
            for pod in shown_by_prometheus(plane).await? {
                shown.entry(pod).or_insert_with(Instant::now);
            }
            let raised = raised.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if groups.iter().all(|group| raised.contains_key(group)) {
                for group in &groups {
                    let shown =
                        shown.get(&format!("{group}-{role}-0")).context("raised before it was shown")?;
                    let raised = raised.get(group).context("just seen")?;
                    latencies.push(raised.saturating_duration_since(*shown));
                }
                break;
            }
            ensure!(began.elapsed() < PATIENCE, "not raised within {PATIENCE:?}: {groups:?}");
            sleep(POLL).await;
        }
        // Not in step with the collection.
        sleep(Duration::from_millis(137 * u64::try_from(round % 7)?)).await;
    }
    watching.abort();
    latencies.sort_unstable();
    Ok(Latencies(latencies))
}

/// Returns the pods whose doubled queue Prometheus shows.
async fn shown_by_prometheus(plane: &ControlPlane) -> Result<Vec<String>> {
    let mut url = reqwest::Url::parse(&plane.prometheus_url())?.join("api/v1/query")?;
    url.query_pairs_mut().append_pair("query", &format!("vllm:num_requests_waiting > {QUEUE}"));
    let answer: Value = serde_json::from_str(&reqwest::get(url).await?.text().await?)?;
    let series = answer["data"]["result"].as_array().context("no answer of Prometheus")?;
    Ok(series.iter().filter_map(|series| series["metric"]["pod"].as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let latencies = Latencies((1..=20).map(Duration::from_secs).collect());
        let [half, most, all] = [50, 95, 100].map(|percent| latencies.percentile(percent).as_secs());
        assert_eq!((half, most, all), (10, 19, 20));
    }
}
