//! Events: what is worth telling about the step from one status to the next, once.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use rbg_autoscaler::{
    api::autoscaler::{RoleBasedGroupAutoscalerStatus, RoleStatus},
    cause::chain,
    scaling::Condition,
};

use crate::{
    apply::{ApplyError, Written},
    events::{Happening, Severity},
};

/// Group conditions whose `False` is bad news, and what an event about it is called when it ends.
const HEALTHY_WHEN_TRUE: [(&str, &str); 3] =
    [("Ready", "Ready"), ("MetricsHealthy", "MetricsHealthy"), ("RatioSatisfied", "RatioSatisfied")];
/// Group conditions whose `True` is bad news.
const HEALTHY_WHEN_FALSE: [(&str, &str); 7] = [
    ("CapacityLimited", "CapacityAvailable"),
    ("Conflict", "ConflictResolved"),
    ("InlineGone", "InlineReturned"),
    ("InlineRefused", "InlineAccepted"),
    ("Paused", "Resumed"),
    ("GangSchedulingIneffective", "GangSchedulingEffective"),
    ("SleepUnguarded", "SleepGuarded"),
];

/// Returns what is worth telling.
pub fn transitions(
    regarding: &ObjectReference,
    before: &RoleBasedGroupAutoscalerStatus,
    after: &RoleBasedGroupAutoscalerStatus,
    written: &[Written],
    now: Timestamp,
) -> Vec<Happening> {
    let happening = |severity, reason: String, action, note| Happening {
        regarding: regarding.clone(),
        severity,
        reason,
        action,
        note,
        time: now,
    };
    let mut told = Vec::new();
    for written in written {
        let role = after.roles.iter().find(|role| role.name == written.write.role);
        match &written.outcome {
            Ok(_) => {
                let note = rescaled(written, role);
                told.push(happening(Severity::Normal, "SuccessfulRescale".to_owned(), "Rescale", note));
            }
            Err(ApplyError::Moved(_) | ApplyError::Postponed) => {}
            Err(error) => {
                let note = format!(
                    "{}: replicas could not be set from {} to {}: {}",
                    written.write.role,
                    written.write.from,
                    written.write.to,
                    chain(error)
                );
                told.push(happening(Severity::Warning, "FailedRescale".to_owned(), "Rescale", note));
            }
        }
    }
    let find =
        |conditions: &[Condition], type_: &str| conditions.iter().find(|known| known.type_ == type_).cloned();
    for (list, bad) in [(&HEALTHY_WHEN_TRUE[..], "False"), (&HEALTHY_WHEN_FALSE[..], "True")] {
        for (type_, recovered) in list {
            let (was, is) = (find(&before.conditions, type_), find(&after.conditions, type_));
            let is_well =
                |condition: &Option<Condition>| condition.as_ref().is_none_or(|known| known.status != bad);
            match (is_well(&was), is_well(&is), is) {
                (_, false, Some(is))
                    if was.is_none_or(|was| was.status != is.status || was.reason != is.reason) =>
                {
                    let reason = is.reason.clone().into_owned();
                    let bad = happening(Severity::Warning, reason, "Judge", is.message.into_owned());
                    // Two conditions may tell of one thing, such as a conflict.
                    if !told.contains(&bad) {
                        told.push(bad);
                    }
                }
                (false, true, is) => {
                    let note =
                        is.map_or_else(|| "all is well again".to_owned(), |is| is.message.into_owned());
                    told.push(happening(Severity::Normal, (*recovered).to_owned(), "Judge", note));
                }
                _ => {}
            }
        }
    }
    told
}

/// `decode: 4 → 8 (queue_length: 37 per replica …; gang of 4: 7 → 8)`.
fn rescaled(written: &Written, role: Option<&RoleStatus>) -> String {
    let write = &written.write;
    let mut note = format!("{}: {} → {} replicas", write.role, write.from, write.to);
    let Some(role) = role else { return note };
    if role.pods_per_replica > 1 {
        let pods = u64::from(write.to.get()) * u64::try_from(role.pods_per_replica).unwrap_or(1);
        note = format!("{note} × {} pods = {pods} pods", role.pods_per_replica);
    }
    let why: Vec<_> = role.decision.iter().map(|step| step.message.as_str()).collect();
    if why.is_empty() { note } else { format!("{note} ({})", why.join("; ")) }
}

#[cfg(test)]
mod tests {
    use rbg_autoscaler::units::Replicas;
    use serde_json::{Value, json};

    use super::*;
    use crate::apply::{RoleWrite, Target, Version};

    fn status(conditions: impl Into<Value>) -> RoleBasedGroupAutoscalerStatus {
        let steps = json!([{"stage": "gang", "from": 7, "to": 8, "reason": "WholeGangs", "message": "gang of 4: 7 → 8"}]);
        serde_json::from_value(json!({
            "roles": [{"name": "decode", "podsPerReplica": 4, "decision": steps}], "conditions": conditions.into()
        }))
        .expect("a status")
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({"type": type_, "status": status, "reason": reason, "message": format!("{reason} it is")})
    }

    fn told(before: Value, after: Value, written: &[Written]) -> Vec<String> {
        let now = Timestamp::UNIX_EPOCH;
        transitions(&ObjectReference::default(), &status(before), &status(after), written, now)
            .into_iter()
            .map(|told| format!("{:?} {}: {}", told.severity, told.reason, told.note))
            .collect()
    }

    #[test]
    fn only_transitions_are_told() {
        let down = || json!([condition("MetricsHealthy", "False", "MetricFailed")]);
        let up = || json!([condition("MetricsHealthy", "True", "AllMetrics")]);
        assert_eq!(told(json!([]), up(), &[]), [""; 0]);
        assert_eq!(told(up(), down(), &[]), ["Warning MetricFailed: MetricFailed it is"]);
        assert_eq!(told(down(), down(), &[]), [""; 0]);
        assert_eq!(told(down(), up(), &[]), ["Normal MetricsHealthy: AllMetrics it is"]);
        let full = json!([condition("CapacityLimited", "True", "NoFit")]);
        assert_eq!(told(json!([]), full.clone(), &[]), ["Warning NoFit: NoFit it is"]);
        assert_eq!(told(full, json!([]), &[]), ["Normal CapacityAvailable: all is well again"]);
    }

    #[test]
    fn a_write_is_told_with_its_reasons_and_a_conflict_is_not() {
        let write = |outcome| Written {
            write: RoleWrite {
                role: "decode".to_owned(),
                target: Target::Group { place: 0 },
                from: Replicas::new(4),
                to: Replicas::new(8),
            },
            outcome,
        };
        let written = [write(Ok(Version::Generation(2)))];
        let want = ["Normal SuccessfulRescale: decode: 4 → 8 replicas × 4 pods = 32 pods (gang of 4: 7 → 8)"];
        assert_eq!(told(json!([]), json!([]), &written), want);
        assert_eq!(told(json!([]), json!([]), &[write(Err(ApplyError::Postponed))]), [""; 0]);
        let failed = [write(Err(ApplyError::Timeout(std::time::Duration::from_secs(10))))];
        let want = "Warning FailedRescale: decode: replicas could not be set from 4 to 8: the API server did not answer within 10s";
        assert_eq!(told(json!([]), json!([]), &failed), [want]);
    }
}
