//! From the policy as written to [`Policy`]: every rule, and for each breach the field, the value and the fix.
//!
//! The CRD's CEL rules say the same to `kubectl apply`; this is for documents, and for objects older than a rule.

mod behavior;
mod metric;
mod problem;
mod ratio;
mod role;
mod schedule;
mod verbatim;

pub use problem::{InputError, Problem};
use problem::{Problems, shown};

use super::{CapacityMode, CapacitySpec, Direction, Mode, RoleBasedGroupAutoscalerSpec};
use crate::policy::{self, Policy};

/// The most roles, ratios and schedules of a policy.
const MAX_ITEMS: usize = 16;

impl TryFrom<&RoleBasedGroupAutoscalerSpec> for Policy {
    type Error = InputError;

    /// Returns the validated policy, or every breach of its rules.
    fn try_from(spec: &RoleBasedGroupAutoscalerSpec) -> Result<Self, InputError> {
        let (policy, advice) = read(spec)?;
        if advice.is_empty() { Ok(policy) } else { Err(InputError { problems: advice }) }
    }
}

/// Returns the policy with what a cluster refuses but a replay can do without: a minimum of zero that no metric leaves.
///
/// The HPA lets stored objects keep such a minimum, so its own figures hold some.
pub(crate) fn read(spec: &RoleBasedGroupAutoscalerSpec) -> Result<(Policy, Vec<Problem>), InputError> {
    let mut problems = Problems::default();
    problems.name("spec.groupRef.name", &spec.group_ref.name);
    if spec.roles.is_empty() || spec.roles.len() > MAX_ITEMS {
        problems.add("spec.roles", spec.roles.len(), "roles", "name 1 to 16 of the group's roles");
    }
    let mut roles = Vec::with_capacity(spec.roles.len());
    for (index, role) in spec.roles.iter().enumerate() {
        let path = format!("spec.roles[{index}]");
        if spec.roles.iter().take(index).any(|other| other.name == role.name) {
            problems.add(
                format!("{path}.name"),
                shown(&role.name),
                "is there twice",
                "keep one entry per role",
            );
        }
        roles.push(role::validate(&mut problems, &path, role, spec));
    }
    let mut policy = Policy::of_roles(spec.group_ref.name.clone(), roles);
    policy.mode = match spec.mode.unwrap_or_default() {
        Mode::Enforce => policy::Mode::Enforce,
        Mode::Recommend => policy::Mode::Recommend,
        Mode::Disabled => policy::Mode::Disabled,
    };
    policy.hold_up = spec.hold.contains(&Direction::Up);
    policy.hold_down = spec.hold.contains(&Direction::Down);
    policy.ratios = ratio::validate(&mut problems, spec, &policy.roles);
    if let Some(capacity) = &spec.capacity {
        policy.capacity = validate_capacity(&mut problems, capacity);
    }
    policy.schedules = schedule::validate(&mut problems, spec, &policy.roles);
    problems.into_result(policy)
}

fn validate_capacity(problems: &mut Problems, spec: &CapacitySpec) -> policy::Capacity {
    let mode = match spec.mode.unwrap_or_default() {
        CapacityMode::Optimistic => policy::CapacityMode::Optimistic,
        CapacityMode::Fit => policy::CapacityMode::Fit,
    };
    let mut capacity = policy::Capacity { mode, ..policy::Capacity::default() };
    if let Some(timeout) = spec.pending_timeout {
        capacity.pending_timeout = problems.positive("spec.capacity.pendingTimeout", timeout);
    }
    let Some(backoff) = &spec.backoff else { return capacity };
    if let Some(initial) = backoff.initial {
        capacity.backoff_initial = problems.positive("spec.capacity.backoff.initial", initial);
        if backoff.max.is_none() {
            capacity.backoff_max = capacity.backoff_max.max(capacity.backoff_initial);
        }
    }
    if let Some(max) = backoff.max {
        capacity.backoff_max = problems.positive("spec.capacity.backoff.max", max);
        if backoff.initial.is_none() {
            capacity.backoff_initial = capacity.backoff_initial.min(capacity.backoff_max);
        } else if capacity.backoff_max < capacity.backoff_initial {
            problems.add(
                "spec.capacity.backoff.max",
                max,
                "is below backoff.initial",
                format_args!("write {} or more", backoff.initial.unwrap_or_default()),
            );
        }
    }
    capacity
}

#[cfg(test)]
mod tests;
