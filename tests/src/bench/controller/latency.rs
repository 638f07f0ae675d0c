//! How long it takes from a metric that Prometheus shows to replicas that are written.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::{
    ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    audit::Audit,
    engines::{Engines, QUEUE},
    fleet::{Fleet, ROLES},
};
use crate::{control_plane::ControlPlane, harness::Program};

/// Roles whose queue doubles at the same time.
const TOGETHER: usize = 10;
/// How often Prometheus is asked what it shows.
const POLL: Duration = Duration::from_millis(20);
/// A role that was not raised by then never will be.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of roles whose queue doubled.
#[derive(Debug)]
pub(super) struct Latencies {
    /// From Prometheus to replicas, as a watch shows them.
    pub(super) whole: Times,
    /// The parts of that, in their order.
    parts: [(&'static str, Times); 4],
}

/// Times in ascending order.
#[derive(Debug)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    fn new(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }

    /// Returns the time that so many percent do not exceed.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(rank).copied().unwrap_or(Duration::MAX)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, all] = [50, 95, 100].map(|percent| self.percentile(percent).as_secs_f64());
        write!(f, "p50 {half:.2} s, p95 {most:.2} s, longest {all:.2} s of {}", self.0.len())
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.whole)?;
        for (name, times) in &self.parts {
            writeln!(f, "            {name}: {times}")?;
        }
        Ok(())
    }
}

/// One role: when Prometheus showed its queue, and when a watch showed its replicas.
struct Raised {
    group: String,
    shown: Timestamp,
    seen: Timestamp,
}

/// Doubles the queues of some roles at a time and notes when Prometheus shows it and when each role asks for two replicas.
pub(super) async fn measure(
    plane: &ControlPlane,
    fleet: &Fleet,
    engines: &Engines,
    audit: &Audit,
    controller: &mut Program,
    rounds: usize,
) -> Result<Latencies> {
    let raised = Arc::<Mutex<BTreeMap<String, Timestamp>>>::default();
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
                raised.entry(group.name_any()).or_insert_with(now);
            }
        }
    });
    let role = ROLES.first().context("no roles")?;
    let log_end = audit.end()?;
    let mut done = Vec::new();
    for round in 0..rounds {
        let groups: Vec<_> =
            (0..TOGETHER).map(|at| Fleet::group((round * TOGETHER + at) % fleet.groups)).collect();
        for group in &groups {
            engines.set(&format!("{group}-{role}-0"), 2 * QUEUE);
        }
        let (began, mut shown) = (Instant::now(), BTreeMap::new());
        loop {
            for pod in shown_by_prometheus(plane).await? {
                shown.entry(pod).or_insert_with(now);
            }
            let raised = raised.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if groups.iter().all(|group| raised.contains_key(group)) {
                for group in groups {
                    let shown =
                        *shown.get(&format!("{group}-{role}-0")).context("raised before it was shown")?;
                    let seen = *raised.get(&group).context("just seen")?;
                    done.push(Raised { group, shown, seen });
                }
                break;
            }
            still_runs(controller)?;
            let missing: Vec<_> = groups.iter().filter(|group| !raised.contains_key(*group)).collect();
            let in_prometheus =
                groups.iter().filter(|group| shown.contains_key(&format!("{group}-{role}-0")));
            ensure!(
                began.elapsed() < PATIENCE,
                "not raised within {PATIENCE:?}: {missing:?}; Prometheus shows {} of {TOGETHER}; the controller says:\n{}",
                in_prometheus.count(),
                last_words(controller)
            );
            sleep(POLL).await;
        }
        // Not in step with the collection.
        sleep(Duration::from_millis(137 * u64::try_from(round % 7)?)).await;
    }
    watching.abort();
    let (decided, patched) = (fleet.scaled_at().await?, audit.groups_patched_since(log_end)?);
    let part = |ends: &dyn Fn(&Raised) -> Option<(Timestamp, Timestamp)>| {
        Times::new(done.iter().filter_map(ends).map(|(from, to)| between(from, to)))
    };
    let decided_at = |raised: &Raised| decided.get(&raised.group).copied();
    let write_of = |raised: &Raised| patched.get(&raised.group).copied();
    let parts = [
        ("until it was collected and decided on", part(&|raised| Some((raised.shown, decided_at(raised)?)))),
        ("until the write was sent", part(&|raised| Some((decided_at(raised)?, write_of(raised)?.received)))),
        ("in the API server", part(&|raised| write_of(raised).map(|write| (write.received, write.answered)))),
        ("until a watch told it", part(&|raised| Some((write_of(raised)?.answered, raised.seen)))),
    ];
    Ok(Latencies { whole: Times::new(done.iter().map(|raised| between(raised.shown, raised.seen))), parts })
}

/// Errors with its last words when the controller has ended.
pub(super) fn still_runs(controller: &mut Program) -> Result<()> {
    if let Some(status) = controller.exited() {
        bail!("the controller ended with {status}; it said:\n{}", last_words(controller));
    }
    Ok(())
}

fn last_words(controller: &Program) -> String {
    let log = controller.log();
    let worth =
        log.lines().filter(|line| [" WARN ", " ERROR ", "panicked"].iter().any(|mark| line.contains(mark)));
    let mut last: Vec<_> = worth.rev().take(10).collect();
    last.reverse();
    last.join("\n")
}

#[expect(clippy::disallowed_methods, reason = "compared with what the API server and the controller noted")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
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
        let times = Times::new((1..=20).map(Duration::from_secs));
        let [half, most, all] = [50, 95, 100].map(|percent| times.percentile(percent).as_secs());
        assert_eq!((half, most, all), (10, 19, 20));
    }
}
