//! [`Behavior`]: how fast a count may move, with the HPA's defaults filled in.

use std::time::Duration;

/// How fast a count may move.
///
/// Source: Kubernetes, autoscaling/v2 defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// Upwards.
    pub up: ScalingRules,
    /// Downwards.
    pub down: ScalingRules,
}

impl Default for Behavior {
    /// Returns what the API server fills into an empty behavior.
    fn default() -> Self {
        let percent =
            ScalingPolicy { kind: PolicyKind::Percent, value: 100, period: Duration::from_secs(15) };
        let four = ScalingPolicy { kind: PolicyKind::Replicas, value: 4, period: Duration::from_secs(15) };
        Self {
            up: ScalingRules {
                stabilization_window: Some(Duration::ZERO),
                select: SelectPolicy::Max,
                policies: vec![four, percent],
                tolerance: None,
            },
            down: ScalingRules {
                stabilization_window: None,
                select: SelectPolicy::Max,
                policies: vec![percent],
                tolerance: None,
            },
        }
    }
}

/// How fast a count may move in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingRules {
    /// How long recommendations count; `None` (down only) = the controller's setting.
    pub stabilization_window: Option<Duration>,
    /// Which policy counts.
    pub select: SelectPolicy,
    /// At least one.
    pub policies: Vec<ScalingPolicy>,
    /// How far a ratio may be from 1; `None` = the controller's setting.
    pub tolerance: Option<Tolerance>,
}

/// Which policy counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    #[default]
    Max,
    /// The one that allows the smallest change.
    Min,
    /// None: the direction is off.
    Disabled,
}

/// How much a count may move within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingPolicy {
    /// What `value` counts.
    pub kind: PolicyKind,
    /// Above zero.
    pub value: i32,
    /// Above zero.
    pub period: Duration,
}

/// What the value of a scaling policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Replicas ("Pods" in the API).
    Replicas,
    /// Percent of the count at the start of the period.
    Percent,
}

/// How far a ratio may be from 1 before it counts; not negative.
///
/// Kept as the double that the HPA makes of the quantity's text: digits × 10^exponent, so that "0.35" is
/// 0.35000000000000003.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Tolerance(f64);

impl Tolerance {
    /// Returns the tolerance, or `None` for a negative or non-finite one.
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value >= 0.0).then_some(Self(value))
    }

    /// Returns the plain number.
    pub const fn get(self) -> f64 {
        self.0
    }
}
