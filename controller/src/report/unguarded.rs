//! Whether a role may fall asleep while it still works: nothing that it is idle by shows requests that run.

use rbg_autoscaler::policy::{MetricSource, Policy, RolePolicy, ScaleToZero};

/// Signals that are zero while requests run, as long as none waits.
const QUEUES: [&str; 2] = ["queue_length", "pending_tokens"];

/// Returns what is wrong with the first role that sleeps by queues alone. Metrics that are not of the catalog may show anything.
pub fn unguarded_sleep(policy: &Policy) -> Option<String> {
    let role = policy.roles.iter().find(|role| {
        role.scale_to_zero.as_ref().is_some_and(|rule| !role.metrics.is_empty() && by_queues(role, rule))
    })?;
    let names: Vec<_> = role.metrics.iter().map(|metric| metric.name.as_str()).collect();
    Some(format!(
        "role {} sleeps once {} is 0, while requests may still run: add {{name: running_requests, target: …}} to its metrics",
        role.name,
        names.join(" and ")
    ))
}

fn by_queues(role: &RolePolicy, sleep: &ScaleToZero) -> bool {
    let own = role.metrics.iter().all(|metric| {
        let is_signal = matches!(metric.source, MetricSource::Signal { .. } | MetricSource::RoleTotal { .. });
        is_signal && QUEUES.contains(&metric.name.as_str())
    });
    own && sleep.wake_on.iter().all(|signal| signal.role.is_some() && QUEUES.contains(&signal.name.as_str()))
}

#[cfg(test)]
mod tests {
    use rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscalerSpec;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_role_that_sleeps_by_its_queue_alone_is_named() {
        for (name, metrics, wake, want) in [
            ("queue alone", vec!["queue_length"], "queue_length", true),
            ("two queues", vec!["queue_length", "pending_tokens"], "queue_length", true),
            ("running requests", vec!["queue_length", "running_requests"], "queue_length", false),
            ("woken by requests", vec!["queue_length"], "qps", false),
            ("a signal of the user's", vec!["my_work"], "queue_length", false),
        ] {
            let metrics: Vec<_> = metrics.iter().map(|name| json!({"name": name, "target": "10"})).collect();
            let spec: RoleBasedGroupAutoscalerSpec =
                serde_json::from_value(json!({"groupRef": {"name": "demo"}, "roles": [
                {"name": "decode", "maxReplicas": 8, "metrics": metrics,
                    "scaleToZero": {"idleAfter": "5m", "wakeOn": [{"name": wake, "role": "router"}]}}]}))
                .expect("a spec");
            let told = unguarded_sleep(&Policy::try_from(&spec).expect("a policy"));
            assert_eq!(told.is_some(), want, "{name}: {told:?}");
        }
    }
}
