//! Whether a status is worth writing: at once when something changed, rarely when figures only moved.

use k8s_openapi::{api::autoscaling::v2::MetricValueStatus, apimachinery::pkg::api::resource::Quantity};
use rbg_autoscaler::{
    api::autoscaler::{RoleBasedGroupAutoscalerStatus, RoleStatus},
    scaling::{Condition, MetricStatus, Stage, Step},
    units::MilliValue,
};

/// Returns whether something changed that people or programs act on: a count, a condition, a stage, an error.
pub fn changed(before: &RoleBasedGroupAutoscalerStatus, after: &RoleBasedGroupAutoscalerStatus) -> bool {
    before.observed_generation != after.observed_generation
        || before.summary != after.summary
        || differ(&before.conditions, &after.conditions, same_condition)
        || differ(&before.roles, &after.roles, same_role)
}

fn differ<T>(before: &[T], after: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    before.len() != after.len() || !before.iter().zip(after).all(|(before, after)| same(before, after))
}

/// Texts hold figures that move all the time, so they do not count.
fn same_condition(before: &Condition, after: &Condition) -> bool {
    before.type_ == after.type_ && before.status == after.status && before.reason == after.reason
}

fn same_role(before: &RoleStatus, after: &RoleStatus) -> bool {
    let counts = |role: &RoleStatus| {
        [
            role.replicas,
            role.ready_replicas,
            role.pending_replicas,
            role.desired_replicas,
            role.recommended_replicas,
            role.gang_replicas,
            role.pods_per_replica,
        ]
    };
    let same_step = |before: &Step, after: &Step| {
        (before.stage, before.from, before.to, &before.reason)
            == (after.stage, after.from, after.to, &after.reason)
    };
    let same_metric = |before: &MetricStatus, after: &MetricStatus| {
        before.name == after.name
            && before.target == after.target
            && before.error == after.error
            && before.proposed_replicas == after.proposed_replicas
            && before.missing_replicas == after.missing_replicas
            && before.current.is_some() == after.current.is_some()
    };
    before.name == after.name
        && counts(before) == counts(after)
        && before.last_scale_time == after.last_scale_time
        && before.active_schedule == after.active_schedule
        && !differ(&before.conditions, &after.conditions, same_condition)
        && !differ(&before.decision, &after.decision, same_step)
        && !differ(&before.metrics, &after.metrics, same_metric)
}

/// Returns whether a shown value moved by more than a tenth, or a restart now would forget what a decision waits for.
pub fn moved(before: &RoleBasedGroupAutoscalerStatus, after: &RoleBasedGroupAutoscalerStatus) -> bool {
    before.roles.iter().zip(&after.roles).any(|(before, after)| {
        let metrics = before.metrics.iter().zip(&after.metrics);
        waits(before, after)
            || metrics.into_iter().any(|(before, after)| match (&before.current, &after.current) {
                (Some(before), Some(after)) => value_moved(before, after),
                _ => false,
            })
    })
}

/// While a window holds the count back, recommendations are what a restart would lose; otherwise the count itself
/// stands for them.
fn waits(before: &RoleStatus, after: &RoleStatus) -> bool {
    let (Some(before), Some(now)) = (&before.history, &after.history) else { return after.history.is_some() };
    let held_back = after.decision.iter().any(|step| step.stage == Stage::Stabilize);
    held_back && before.recommendations != now.recommendations
        || before.idle_since != now.idle_since
        || before.rollback != now.rollback
        || before.rollout_since != now.rollout_since
        || before.refused_since != now.refused_since
}

fn value_moved(before: &MetricValueStatus, after: &MetricValueStatus) -> bool {
    figures(before).into_iter().zip(figures(after)).any(|(before, after)| match (before, after) {
        (Some(before), Some(after)) => far(before, after),
        (before, after) => before != after,
    })
}

/// The figures of a metric in thousandths: percent, average and total.
pub(super) fn figures(value: &MetricValueStatus) -> [Option<i64>; 3] {
    let quantity =
        |quantity: &Option<Quantity>| Some(quantity.as_ref()?.0.parse::<MilliValue>().ok()?.milli());
    let percent = value.average_utilization.map(|percent| i64::from(percent) * 1000);
    [percent, quantity(&value.average_value), quantity(&value.value)]
}

/// Whether a figure moved by more than a tenth.
pub(super) fn far(before: i64, after: i64) -> bool {
    after.abs_diff(before) > before.unsigned_abs() / 10
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status() -> Value {
        json!({
            "observedGeneration": 1, "summary": "decode=4/4",
            "conditions": [{"type": "Ready", "status": "True", "reason": "Scaling", "message": "m"}],
            "roles": [{"name": "decode", "replicas": 4, "desiredReplicas": 4,
                "metrics": [{"name": "qps", "current": {"averageValue": "10"}, "target": {"type": "AverageValue", "averageValue": "10"}}],
                "history": {"recommendations": [{"replicas": 4, "time": "2026-11-21T10:00:00Z"}], "answeredAt": "2026-11-21T10:00:00Z"}}],
        })
    }

    #[test]
    fn what_is_written_at_once_rarely_and_never() {
        struct Case {
            name: &'static str,
            edit: fn(&mut Value),
            want: (bool, bool),
        }
        let cases = [
            Case { name: "nothing", edit: |_| (), want: (false, false) },
            Case {
                name: "time went by",
                edit: |status| {
                    status["roles"][0]["history"]["answeredAt"] = json!("2026-11-21T11:00:00Z");
                    status["roles"][0]["history"]["recommendations"][0]["time"] =
                        json!("2026-11-21T11:00:00Z");
                },
                want: (false, false),
            },
            Case {
                name: "a text with other figures",
                edit: |status| status["conditions"][0]["message"] = json!("n"),
                want: (false, false),
            },
            Case {
                name: "a value moved a little",
                edit: |status| status["roles"][0]["metrics"][0]["current"]["averageValue"] = json!("11"),
                want: (false, false),
            },
            Case {
                name: "a value moved much",
                edit: |status| status["roles"][0]["metrics"][0]["current"]["averageValue"] = json!("11100m"),
                want: (false, true),
            },
            Case {
                name: "a window holds the count back",
                edit: |status| {
                    status["roles"][0]["decision"] = json!([
                        {"stage": "stabilize", "from": 2, "to": 4, "reason": "ScaleDownStabilized", "message": "m"}
                    ]);
                    status["roles"][0]["history"]["recommendations"][0]["time"] =
                        json!("2026-11-21T11:00:00Z");
                },
                want: (true, true),
            },
            Case {
                name: "idle began",
                edit: |status| status["roles"][0]["history"]["idleSince"] = json!("2026-11-21T11:00:00Z"),
                want: (false, true),
            },
            Case {
                name: "a count",
                edit: |status| status["roles"][0]["readyReplicas"] = json!(3),
                want: (true, false),
            },
            Case {
                name: "a condition",
                edit: |status| status["conditions"][0]["reason"] = json!("Recommending"),
                want: (true, false),
            },
            Case {
                name: "an error",
                edit: |status| status["roles"][0]["metrics"][0]["error"] = json!("gone"),
                want: (true, false),
            },
            Case {
                name: "an edit was seen",
                edit: |status| status["observedGeneration"] = json!(2),
                want: (true, false),
            },
        ];
        let read =
            |value: Value| serde_json::from_value::<RoleBasedGroupAutoscalerStatus>(value).expect("a status");
        for Case { name, edit, want } in cases {
            let mut after = status();
            edit(&mut after);
            let (before, after) = (read(status()), read(after));
            assert_eq!((changed(&before, &after), moved(&before, &after)), want, "{name}");
        }
    }
}
