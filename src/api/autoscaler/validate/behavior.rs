//! The behavior of a role: autoscaling/v2's rules and defaults.

use std::time::Duration;

use k8s_openapi::{
    api::autoscaling::v2::{HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{Problems, shown};
use crate::policy::{Behavior, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy, Tolerance};

/// The longest stabilization window and the longest period, in seconds.
const MAX_WINDOW: i32 = 3600;
const MAX_PERIOD: i32 = 1800;

pub(super) fn validate(
    problems: &mut Problems,
    path: &str,
    wire: &HorizontalPodAutoscalerBehavior,
) -> Behavior {
    let mut behavior = Behavior::default();
    if let Some(rules) = &wire.scale_up {
        fill(problems, &format!("{path}.scaleUp"), rules, &mut behavior.up);
    }
    if let Some(rules) = &wire.scale_down {
        fill(problems, &format!("{path}.scaleDown"), rules, &mut behavior.down);
    }
    behavior
}

/// Writes what the user set over the defaults, field by field; a list of policies replaces the default's whole.
fn fill(problems: &mut Problems, path: &str, wire: &HPAScalingRules, rules: &mut ScalingRules) {
    if let Some(seconds) = wire.stabilization_window_seconds {
        if !(0..=MAX_WINDOW).contains(&seconds) {
            problems.add(
                format!("{path}.stabilizationWindowSeconds"),
                seconds,
                "is out of range",
                format_args!("write 0 to {MAX_WINDOW}"),
            );
        }
        rules.stabilization_window = Some(seconds_of(seconds));
    }
    match wire.select_policy.as_deref() {
        None => {}
        Some("Max") => rules.select = SelectPolicy::Max,
        Some("Min") => rules.select = SelectPolicy::Min,
        Some("Disabled") => rules.select = SelectPolicy::Disabled,
        Some(other) => problems.add(
            format!("{path}.selectPolicy"),
            shown(other),
            "is not a way to select a policy",
            "write Max, Min or Disabled",
        ),
    }
    if let Some(policies) = &wire.policies {
        if policies.is_empty() {
            problems.add(
                format!("{path}.policies"),
                "[]",
                "leaves no policy",
                "write at least one, or leave policies out for the HPA's defaults",
            );
        }
        rules.policies = policies
            .iter()
            .enumerate()
            .map(|(index, policy)| scaling_policy(problems, &format!("{path}.policies[{index}]"), policy))
            .collect();
    }
    if let Some(tolerance) = &wire.tolerance {
        rules.tolerance = Some(read_tolerance(problems, format!("{path}.tolerance"), tolerance));
    }
}

fn scaling_policy(problems: &mut Problems, path: &str, wire: &HPAScalingPolicy) -> ScalingPolicy {
    let kind = match wire.type_.as_str() {
        "Pods" => PolicyKind::Replicas,
        "Percent" => PolicyKind::Percent,
        other => {
            problems.add(
                format!("{path}.type"),
                shown(other),
                "is not a policy type",
                "write Pods (which counts replicas) or Percent",
            );
            PolicyKind::Replicas
        }
    };
    if wire.value <= 0 {
        problems.add(format!("{path}.value"), wire.value, "is not above zero", "write 1 or more");
    }
    if !(1..=MAX_PERIOD).contains(&wire.period_seconds) {
        problems.add(
            format!("{path}.periodSeconds"),
            wire.period_seconds,
            "is out of range",
            format_args!("write 1 to {MAX_PERIOD}"),
        );
    }
    ScalingPolicy { kind, value: wire.value, period: seconds_of(wire.period_seconds) }
}

fn seconds_of(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn read_tolerance(problems: &mut Problems, path: String, quantity: &Quantity) -> Tolerance {
    if let Some(tolerance) = crate::units::approximate_float(&quantity.0).and_then(Tolerance::new) {
        return tolerance;
    }
    problems.add(
        path,
        shown(&quantity.0),
        "is not a tolerance",
        "write a quantity of zero or more, such as \"0.1\"",
    );
    Tolerance::default()
}
