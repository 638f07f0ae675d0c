//! [`Schedule`]: other bounds at certain times of the week, in a time zone.

use jiff::{Timestamp, civil::Weekday};

use crate::units::Replicas;

/// Other bounds at certain times of the week.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The schedule's name.
    pub name: String,
    /// When it holds.
    pub window: Window,
    /// The bounds that hold meanwhile.
    pub roles: Vec<ScheduledBounds>,
}

/// Bounds of one role while a schedule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledBounds {
    /// The role, by its place in the policy.
    pub role: usize,
    /// The least replicas; `None` keeps the policy's.
    pub min: Option<Replicas>,
    /// The most replicas; `None` keeps the policy's.
    pub max: Option<Replicas>,
}

/// A span of the week in a time zone.
#[derive(Clone, Debug)]
pub struct Window {}

/// Why a window cannot be understood; says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct WindowError {
    /// `from`, `to` or `timezone`.
    pub field: &'static str,
    /// What is wrong with it, and the fix.
    pub message: String,
}

impl Window {
    /// Returns the window of these days (every day when empty), wall times such as `08:30` and IANA zone (UTC when
    /// absent).
    pub fn parse(
        _days: &[Weekday],
        _from: &str,
        _to: &str,
        _timezone: Option<&str>,
    ) -> Result<Self, WindowError> {
        Ok(Self {})
    }

    /// Returns whether the window holds at that time.
    pub fn contains(&self, _now: Timestamp) -> bool {
        false
    }

    /// Returns the next time after `now` at which it begins or ends.
    pub fn next_edge(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }
}
