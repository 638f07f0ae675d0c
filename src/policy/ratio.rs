//! [`Ratio`]: a bound on the proportion of two roles' replicas.

use std::fmt;

/// A bound on replicas of the first role : replicas of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// The first role, by its place in the policy.
    pub first: usize,
    /// The second role, by its place in the policy; not the first.
    pub second: usize,
    /// The least proportion.
    pub min: Option<RatioBound>,
    /// The most; not below `min`.
    pub max: Option<RatioBound>,
}

/// A proportion `first:second`; both parts 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RatioBound {
    /// Replicas of the first role …
    pub first: u32,
    /// … per replicas of the second.
    pub second: u32,
}

impl fmt::Display for RatioBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.first, self.second)
    }
}
