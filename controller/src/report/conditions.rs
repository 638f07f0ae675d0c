//! Conditions of a group, and how conditions are carried from one status to the next.

use std::borrow::Cow;

use jiff::Timestamp;
use rbg_autoscaler::{
    api::autoscaler::RoleBasedGroupAutoscaler,
    policy::Mode,
    scaling::{Condition, RoleDecision, RoleObservation, Stage, Step},
};

/// The longest string in a status.
const MAX_TEXT: usize = 256;
/// The condition of a policy that stays because the group's text is refused.
const INLINE_REFUSED: &str = "InlineRefused";

/// What is known of a group besides what was decided, from bad to good; the first that applies is told.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// What is wrong with the policy.
    pub invalid: Option<String>,
    /// The policy or the foreign writer that this one gives way to.
    pub conflict: Option<String>,
    /// Why there is no group to scale.
    pub missing_group: Option<String>,
    /// Roles of the policy that the group lacks.
    pub missing_roles: Vec<String>,
    /// Why roles cannot be written without a scaling adapter.
    pub adapter_required: Option<String>,
    /// Why the last write failed.
    pub write_failed: Option<String>,
    /// How to delete an adopted object whose text is gone.
    pub inline_gone: Option<String>,
    /// Why the API server refuses the text that the group carries now; the policy is that of the text before.
    pub inline_refused: Option<String>,
    /// Why the gang scheduling that the group asks for does not reach its pods.
    pub gangless: Option<String>,
    /// Why a role may fall asleep while it still works.
    pub unguarded: Option<String>,
    /// What limits the count of the first role whose metrics ask for more, or fewer, than it may have now.
    pub limit: Option<Cow<'static, str>>,
    /// What else a person would ask of roles whose count is not what their metrics ask for, or whose replicas do not serve.
    pub notes: Vec<String>,
}

/// Returns the condition `Ready`.
fn ready(group: &Group, mode: Mode, decided: &[Condition]) -> Condition {
    let no = |reason, message: &str| Condition::new("Ready", false, reason, message.to_owned());
    if let Some(problem) = &group.invalid {
        return no("InvalidPolicy", problem);
    }
    if let Some(other) = &group.conflict {
        return no("Conflict", other);
    }
    if let Some(why) = &group.missing_group {
        return no("GroupNotFound", why);
    }
    if !group.missing_roles.is_empty() {
        let names = group.missing_roles.join(", ");
        return no(
            "RoleNotFound",
            &format!("the group has no role {names}; correct the name or add the role"),
        );
    }
    if let Some(why) = &group.adapter_required {
        return no("ScalingAdapterRequired", why);
    }
    if let Some(why) = &group.write_failed {
        return no("WriteFailed", why);
    }
    match mode {
        Mode::Enforce if group.inline_refused.is_some() => {
            let why = group.inline_refused.as_deref().unwrap_or_default();
            let message =
                format!("replicas follow the policy before, for the group's new one is refused: {why}");
            Condition::new("Ready", true, "InlinePolicyInvalid", message)
        }
        Mode::Enforce => match decided.iter().find_map(trouble) {
            Some((reason @ ("MetricsFailing" | "MetricsPartial"), condition)) => {
                let message = format!("nothing is lowered until every metric answers: {}", condition.message);
                Condition::new("Ready", true, reason, message)
            }
            Some((reason, condition)) => {
                let message = format!("replicas follow the policy, but {}", condition.message);
                Condition::new("Ready", true, reason, message)
            }
            None => {
                let notes = group.notes.iter().map(String::as_str);
                let told: Vec<_> = std::iter::once("replicas follow the policy").chain(notes).collect();
                let reason = group.limit.clone().unwrap_or(Cow::Borrowed("Scaling"));
                Condition { reason, ..Condition::new("Ready", true, "Scaling", told.join("; ")) }
            }
        },
        Mode::Recommend => {
            Condition::new("Ready", true, "Recommending", "decisions are reported and not written")
        }
        Mode::Disabled => Condition::new("Ready", true, "Disabled", "the policy is disabled"),
    }
}

/// Returns what a list of policies shows as the reason when a condition of the decision needs a look.
fn trouble(condition: &Condition) -> Option<(&'static str, &Condition)> {
    let reason = match (condition.type_.as_ref(), condition.status.as_ref(), condition.reason.as_ref()) {
        ("MetricsHealthy", "False", "PartialMetric") => "MetricsPartial",
        ("MetricsHealthy", "False", _) => "MetricsFailing",
        ("CapacityLimited", "True", _) => "CapacityLimited",
        ("RatioSatisfied", "False", _) => "RatioUnsatisfied",
        ("Paused", "True", _) => "Paused",
        _ => return None,
    };
    Some((reason, condition))
}

/// Returns the group's conditions: those of the decision, and what is known besides.
pub fn readiness(group: &Group, mode: Mode, decided: Vec<Condition>) -> Vec<Condition> {
    let mut conditions = vec![ready(group, mode, &decided)];
    if let Some(other) = &group.conflict {
        conditions.push(Condition::new("Conflict", true, "Conflict", other.clone()));
    }
    if let Some(how) = &group.inline_gone {
        conditions.push(Condition::new("InlineGone", true, "InlineGone", how.clone()));
    }
    if let Some(why) = &group.inline_refused {
        conditions.push(Condition::new(INLINE_REFUSED, true, "InlinePolicyInvalid", why.clone()));
    }
    if let Some(why) = &group.gangless {
        let reason = "PodsInNoPodGroup";
        conditions.push(Condition::new("GangSchedulingIneffective", true, reason, why.clone()));
    }
    if let Some(why) = &group.unguarded {
        conditions.push(Condition::new("SleepUnguarded", true, "QueueAlone", why.clone()));
    }
    for condition in decided {
        if conditions.iter().all(|known| known.type_ != condition.type_) {
            conditions.push(condition);
        }
    }
    conditions
}

/// Returns why a policy's status says that the group's text is refused.
pub fn inline_refusal(autoscaler: &RoleBasedGroupAutoscaler) -> Option<String> {
    let conditions = &autoscaler.status.as_ref()?.conditions;
    let told = conditions.iter().find(|known| known.type_ == INLINE_REFUSED && known.status == "True")?;
    Some(told.message.to_string())
}

/// Returns what a person would ask of a role: whether its replicas serve, and what holds its count back.
pub fn notes(role: &str, seen: &RoleObservation, decided: &RoleDecision) -> Vec<String> {
    let mut notes = Vec::new();
    let (wanted, ready) = (decided.desired_replicas.get(), seen.ready_replicas());
    if usize::try_from(wanted).is_ok_and(|wanted| ready < wanted) {
        notes.push(format!("{role}: {ready} of {wanted} replicas are ready"));
    }
    if let Some(limit) = limiting(decided) {
        notes.push(format!("{role}: {}", limit.message));
    }
    notes
}

/// Returns what keeps a role from the count that its metrics ask for; a least count that is more than they ask for
/// needs nobody's look.
pub fn limit(decided: &RoleDecision) -> Option<&Cow<'static, str>> {
    limiting(decided).map(|step| &step.reason).filter(|reason| *reason != "TooFewReplicas")
}

fn limiting(decided: &RoleDecision) -> Option<&Step> {
    decided.steps.iter().rev().find(|step| step.stage == Stage::Limit)
}

/// Gives conditions the time of their last transition, and texts their limit.
pub(super) fn since(conditions: Vec<Condition>, before: &[Condition], now: Timestamp) -> Vec<Condition> {
    let mut dated = Vec::with_capacity(conditions.len());
    for mut condition in conditions {
        let known =
            before.iter().find(|known| known.type_ == condition.type_ && known.status == condition.status);
        let same_since = known.and_then(|known| known.last_transition_time);
        condition.last_transition_time = Some(same_since.unwrap_or(now));
        if condition.message.len() > MAX_TEXT {
            condition.message = bounded(condition.message.into_owned()).into();
        }
        dated.push(condition);
    }
    dated
}

/// Returns a text that a status may hold.
pub(super) fn bounded(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let mut end = MAX_TEXT - '…'.len_utf8();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use rbg_autoscaler::units::Replicas;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    #[test]
    fn the_worst_news_is_told_first() {
        let mut group = Group {
            invalid: Some("bad".to_owned()),
            conflict: Some("other".to_owned()),
            missing_group: Some("demo".to_owned()),
            missing_roles: vec!["decode".to_owned()],
            adapter_required: Some("set".to_owned()),
            write_failed: Some("503".to_owned()),
            inline_gone: None,
            inline_refused: None,
            gangless: None,
            unguarded: None,
            limit: None,
            notes: Vec::new(),
        };
        let mut told = Vec::new();
        for step in 0..7 {
            told.push(ready(&group, Mode::Recommend, &[]).reason);
            match step {
                0 => group.invalid = None,
                1 => group.conflict = None,
                2 => group.missing_group = None,
                3 => group.missing_roles.clear(),
                4 => group.adapter_required = None,
                _ => group.write_failed = None,
            }
        }
        let want = [
            "InvalidPolicy",
            "Conflict",
            "GroupNotFound",
            "RoleNotFound",
            "ScalingAdapterRequired",
            "WriteFailed",
            "Recommending",
        ];
        assert_eq!(told, want);
    }

    #[test]
    fn a_list_of_policies_shows_which_needs_a_look() {
        let condition = |type_, status, reason| Condition::new(type_, status, reason, "why");
        for (decided, want) in [
            (condition("MetricsHealthy", true, "AllAnswered"), ("Scaling", "replicas follow the policy")),
            (
                condition("MetricsHealthy", false, "FailedGetPodsMetric"),
                ("MetricsFailing", "nothing is lowered until every metric answers: why"),
            ),
            (
                condition("CapacityLimited", true, "RolledBack"),
                ("CapacityLimited", "replicas follow the policy, but why"),
            ),
        ] {
            let told = readiness(&Group::default(), Mode::Enforce, vec![decided]);
            assert_eq!(
                (told[0].reason.as_ref(), told[0].message.as_ref(), told[0].status.as_ref()),
                (want.0, want.1, "True")
            );
        }
    }

    #[test]
    fn a_list_of_policies_shows_what_limits_a_count() {
        for (reason, want) in [
            ("ScaleUpLimit", "ScaleUpLimit"),
            ("ScaleDownLimit", "ScaleDownLimit"),
            ("TooManyReplicas", "TooManyReplicas"),
            ("TooFewReplicas", "Scaling"),
        ] {
            let step = |stage, reason: &'static str| Step {
                stage,
                from: Replicas::new(8),
                to: Replicas::new(4),
                reason: reason.into(),
                message: "8 → 4".to_owned(),
            };
            let steps = vec![step(Stage::Metrics, "MetricsProposal"), step(Stage::Limit, reason)];
            let decided = RoleDecision { steps, ..RoleDecision::default() };
            let group = Group {
                limit: limit(&decided).cloned(),
                notes: notes("decode", &RoleObservation::default(), &decided),
                ..Group::default()
            };
            let told = ready(&group, Mode::Enforce, &[]);
            assert_eq!(
                (told.reason.as_ref(), told.message.as_ref()),
                (want, "replicas follow the policy; decode: 8 → 4")
            );
        }
    }

    #[test]
    fn a_transition_is_dated_and_the_rest_keeps_its_date() {
        let yes = |message: &'static str| Condition::new("Ready", true, "Scaling", message);
        let first = since(vec![yes("a")], &[], at(1));
        let second = since(vec![yes("b")], &first, at(2));
        assert_eq!((second[0].last_transition_time, second[0].message.as_ref()), (Some(at(1)), "b"));
        let third = since(vec![Condition::new("Ready", false, "WriteFailed", "c")], &second, at(3));
        assert_eq!(third[0].last_transition_time, Some(at(3)));
    }

    #[test]
    fn long_texts_are_cut() {
        let text = bounded("→".repeat(200));
        assert!(text.len() <= MAX_TEXT && text.ends_with('…'), "{}", text.len());
    }
}
