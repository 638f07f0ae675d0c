//! The names of our fields, to guess what a misspelt one was meant to be.

/// Every field of a snapshot document and of the policy in it.
const FIELDS: &[&str] = &[
    "absent",
    "after",
    "allocatable",
    "answeredAt",
    "apiVersion",
    "at",
    "attempts",
    "autoscaler",
    "averageUtilization",
    "averageValue",
    "backoff",
    "behavior",
    "capacity",
    "container",
    "containerResource",
    "containers",
    "count",
    "cpuInitializationPeriod",
    "days",
    "describedObject",
    "downscaleStabilization",
    "error",
    "expected",
    "external",
    "factor",
    "fallback",
    "fold",
    "from",
    "gang",
    "generationTokensPerSecond",
    "groupRef",
    "history",
    "hold",
    "idleAfter",
    "idleSince",
    "initial",
    "initialReadinessDelay",
    "kind",
    "long",
    "lookahead",
    "matchExpressions",
    "matchLabels",
    "max",
    "maxReplicas",
    "metadata",
    "metric",
    "metrics",
    "min",
    "minReplicas",
    "minimum",
    "mode",
    "name",
    "node",
    "nodes",
    "now",
    "object",
    "pendingTimeout",
    "pendingTokens",
    "periodSeconds",
    "pod",
    "podLevelResources",
    "pods",
    "podsPerReplica",
    "ports",
    "policies",
    "promptTokensPerSecond",
    "ratios",
    "readings",
    "recommendations",
    "refusedSince",
    "replicas",
    "reported",
    "requests",
    "reserved",
    "resource",
    "role",
    "roles",
    "rollback",
    "rollingOut",
    "rolloutSince",
    "samples",
    "scaleDown",
    "scaleEvents",
    "scaleToZero",
    "scaleUp",
    "scaleUpLimit",
    "schedules",
    "selectPolicy",
    "selector",
    "settings",
    "short",
    "silent",
    "slopePerSecond",
    "spec",
    "specReplicas",
    "stabilizationWindowSeconds",
    "status",
    "statusReplicas",
    "taken",
    "target",
    "templates",
    "throughput",
    "time",
    "timestamp",
    "timezone",
    "to",
    "tolerance",
    "type",
    "unknown",
    "until",
    "value",
    "values",
    "wake",
    "wakeOn",
    "wakeTo",
    "window",
];

/// Returns the field whose name is about a quarter of its letters away at most, or one letter.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let best = FIELDS.iter().min_by_key(|field| distance(key, field))?;
    (distance(key, best) <= ((best.len() + 1) / 4).max(1) && *best != key).then_some(best)
}

/// Returns how many letters must be added, removed or changed, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let change = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_what_was_meant() {
        for (key, want) in [
            ("specReplica", Some("specReplicas")),
            ("minreplicas", Some("minReplicas")),
            ("scaleupEvents", Some("scaleEvents")),
            ("queueLenght", None),
            ("sampels", Some("samples")),
            ("mettrics", Some("metrics")),
            ("size", None),
            ("unit", None),
            ("xyzzy", None),
            ("roles", None),
        ] {
            assert_eq!(nearest(key), want, "{key}");
        }
    }
}
