//! [`RolePolicy`]: how one role is scaled.

use std::time::Duration;

use super::{Behavior, Metric, WakeSignal};
use crate::units::{GangSize, MilliValue, Replicas};

/// How one role is scaled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RolePolicy {
    /// The role of the group.
    pub name: String,
    /// The namespace of the group, for messages; empty when it is not told.
    pub namespace: String,
    /// The bounds outside of schedules; whole gangs.
    pub bounds: Bounds,
    /// The step in which the count moves.
    pub gang: GangSize,
    /// What the count is computed from, in the order of the object.
    pub metrics: Vec<Metric>,
    /// What one replica sustains.
    pub throughput: Throughput,
    /// How fast the count may move; `None` = the HPA's path without behavior.
    pub behavior: Option<Behavior>,
    /// What holds when no metric answers; `None` = the current count.
    pub fallback: Option<Fallback>,
    /// When the role sleeps; `None` = never by our own doing.
    pub scale_to_zero: Option<ScaleToZero>,
}

impl RolePolicy {
    /// Returns a policy with these bounds and everything else at its default.
    pub(crate) fn bounded(name: String, min: Replicas, max: Replicas) -> Self {
        Self {
            name,
            namespace: String::new(),
            bounds: Bounds { min, max },
            gang: GangSize::ONE,
            metrics: Vec::new(),
            throughput: Throughput::default(),
            behavior: None,
            fallback: None,
            scale_to_zero: None,
        }
    }
}

/// The least and the most replicas; min ≤ max.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: Replicas,
    /// The most.
    pub max: Replicas,
}

/// What one replica sustains, per second; each above zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throughput {
    /// Prompt tokens.
    pub prompt: Option<MilliValue>,
    /// Generated tokens.
    pub generation: Option<MilliValue>,
}

/// What holds when no metric answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// How long no metric has answered.
    pub after: Duration,
    /// The count that the role then has at least; whole gangs.
    pub replicas: Replicas,
}

/// When the role sleeps, and what wakes it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScaleToZero {
    /// How long everything has been zero before the role sleeps.
    pub idle_after: Duration,
    /// Any of these above its target wakes the role.
    pub wake_on: Vec<WakeSignal>,
    /// The count that it wakes to; `None` = the least replicas of the time.
    pub wake_to: Option<Replicas>,
}

impl ScaleToZero {
    /// Returns the rule without a count to wake to.
    pub(crate) const fn new(idle_after: Duration, wake_on: Vec<WakeSignal>) -> Self {
        Self { idle_after, wake_on, wake_to: None }
    }
}
