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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        scaling::Readiness,
        units::MilliValue,
        vectors::{age, int, list, name, now, of_scope, seconds},
    };

    fn observed(pod: &Value) -> ReplicaObservation {
        ReplicaObservation {
            name: pod["name"].as_str().expect("a name").to_owned(),
            deleted: pod["deleted"] == true,
            phase: match pod["phase"].as_str() {
                Some("Pending") => Phase::Pending,
                Some("Running") => Phase::Running,
                Some("Failed") => Phase::Failed,
                _ => Phase::Other,
            },
            started: pod["startAgeSeconds"].is_i64().then(|| age(&pod["startAgeSeconds"])),
            ready: pod["ready"].as_str().map(|status| Readiness {
                status: match status {
                    "True" => ReadyStatus::True,
                    "False" => ReadyStatus::False,
                    _ => ReadyStatus::Unknown,
                },
                since: pod["readyTransitionAgeSeconds"]
                    .is_i64()
                    .then(|| age(&pod["readyTransitionAgeSeconds"])),
            }),
            ..ReplicaObservation::default()
        }
    }

    #[test]
    fn pods_are_sorted_as_the_hpa_sorts_them() {
        for vector in of_scope("grouping") {
            let input = &vector["input"];
            let settings = Settings {
                cpu_initialization_period: seconds(&input["cpuInitializationPeriodSeconds"]),
                initial_readiness_delay: seconds(&input["initialReadinessDelaySeconds"]),
                ..Settings::default()
            };
            let cpu = input["resource"] == "cpu";
            let mut groups: Vec<(Group, String)> = Vec::new();
            for pod in list(&input["pods"]) {
                let replica = observed(pod);
                let sample =
                    list(&input["podSamples"]).iter().find(|sample| sample["pod"] == replica.name.as_str());
                let sample = sample.map(|sample| Sample {
                    value: MilliValue::from_milli(int(&sample["valueMilli"])),
                    time: age(&sample["ageSeconds"]),
                    window: seconds(&sample["windowSeconds"]),
                });
                groups.push((group(&replica, sample.as_ref(), cpu, &settings, now()), replica.name));
            }
            let named = |wanted: Group| {
                let mut names: Vec<&str> = groups
                    .iter()
                    .filter(|(group, _)| *group == wanted)
                    .map(|(_, name)| name.as_str())
                    .collect();
                names.sort_unstable();
                names
            };
            let expect = &vector["expect"];
            for (key, group) in
                [("unready", Group::Unready), ("missing", Group::Missing), ("ignored", Group::Ignored)]
            {
                let mut want: Vec<&str> = list(&expect[key]).iter().filter_map(Value::as_str).collect();
                want.sort_unstable();
                assert_eq!(named(group), want, "{key} of {}", name(&vector));
            }
            let ready = i64::try_from(named(Group::Ready).len()).expect("a count");
            assert_eq!(ready, int(&expect["readyPodCount"]), "{}", name(&vector));
        }
    }
}
