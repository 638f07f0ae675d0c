//! [`Group`]: which replicas count, are not ready yet, lack a sample, or are ignored.
//!
//! First match wins: deleted or failed → ignored; pending → unready; no sample → missing; and for CPU alone, a replica
//! that is starting (its usage is that of loading, not of serving) → unready. All else counts, running or not.
//! Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details.

use std::time::Duration;

use jiff::Timestamp;

use crate::scaling::{Phase, ReadyStatus, ReplicaObservation, Sample, Settings};

/// What a replica is to one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// It counts.
    Ready,
    /// It is not ready yet; its sample is dropped.
    Unready,
    /// It has no sample.
    Missing,
    /// It is going away; its sample is dropped.
    Ignored,
}

/// Returns what one replica is to a metric; `cpu` says whether readiness of its usage is judged.
pub(crate) fn group(
    replica: &ReplicaObservation,
    sample: Option<&Sample>,
    cpu: bool,
    settings: &Settings,
    now: Timestamp,
) -> Group {
    if replica.is_ignored() {
        return Group::Ignored;
    }
    if replica.phase == Phase::Pending {
        return Group::Unready;
    }
    let Some(sample) = sample else { return Group::Missing };
    if cpu && is_starting(replica, sample, settings, now) { Group::Unready } else { Group::Ready }
}

/// Whether the CPU usage of a replica may still be that of its start.
fn is_starting(replica: &ReplicaObservation, sample: &Sample, settings: &Settings, now: Timestamp) -> bool {
    let (Some(ready), Some(started)) = (replica.ready, replica.started) else { return true };
    let since = ready.since.unwrap_or(Timestamp::MIN);
    if plus(started, settings.cpu_initialization_period) > now {
        // Ready for less than a window: the sample still holds time from before.
        return ready.status == ReadyStatus::False || sample.time < plus(since, sample.window);
    }
    // Not ready since about its start: it never was.
    ready.status == ReadyStatus::False && plus(started, settings.initial_readiness_delay) > since
}

fn plus(time: Timestamp, span: Duration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}
