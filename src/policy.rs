//! [`Policy`]: how the roles of one group are scaled, validated, so that no stage meets an invalid one.
//!
//! Knows nothing of Kubernetes objects on the wire (`api` turns them into this) nor of how it is used.

mod behavior;
mod metric;
mod ratio;
mod role;
pub mod schedule;

use std::time::Duration;

pub use behavior::{Behavior, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy, Tolerance};
pub use metric::{Fold, Metric, MetricSource, ObjectReference, Target, WakeSignal};
pub use ratio::{Ratio, RatioBound};
pub use role::{Bounds, Fallback, RolePolicy, ScaleToZero, Throughput};
pub use schedule::{Schedule, ScheduledBounds};

/// How the roles of one group are scaled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// The group.
    pub group: String,
    /// What is done with a decision.
    pub mode: Mode,
    /// Whether raising is frozen.
    pub hold_up: bool,
    /// Whether lowering is frozen.
    pub hold_down: bool,
    /// The roles, in the order of the object.
    pub roles: Vec<RolePolicy>,
    /// Bounds on the proportion of two roles.
    pub ratios: Vec<Ratio>,
    /// What happens when the cluster has no room.
    pub capacity: Capacity,
    /// Other bounds at certain times; the first match wins per role.
    pub schedules: Vec<Schedule>,
}

impl Policy {
    /// Returns the policy of a group in that namespace, which the HPA names in its errors.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        for role in &mut self.roles {
            namespace.clone_into(&mut role.namespace);
        }
        self
    }

    /// Returns a policy of these roles, with everything else at its default.
    pub(crate) fn of_roles(group: String, roles: Vec<RolePolicy>) -> Self {
        Self {
            group,
            mode: Mode::Enforce,
            hold_up: false,
            hold_down: false,
            roles,
            ratios: Vec::new(),
            capacity: Capacity::default(),
            schedules: Vec::new(),
        }
    }
}

/// What is done with a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Decide and write.
    #[default]
    Enforce,
    /// Decide and report, write nothing.
    Recommend,
    /// Do nothing.
    Disabled,
}

/// What happens when the cluster has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// Whether room is looked for before gangs are created.
    pub mode: CapacityMode,
    /// How long a gang may stay unschedulable before it is taken back.
    pub pending_timeout: Duration,
    /// The first wait after gangs were taken back.
    pub backoff_initial: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            mode: CapacityMode::Optimistic,
            pending_timeout: Duration::from_secs(600),
            backoff_initial: Duration::from_secs(60),
            backoff_max: Duration::from_secs(1800),
        }
    }
}

/// Whether room is looked for before gangs are created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CapacityMode {
    /// Create, and roll back what stays unschedulable.
    #[default]
    Optimistic,
    /// Create only whole gangs that fit now.
    Fit,
}
