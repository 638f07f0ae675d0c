//! [`Replicas`] and [`GangSize`]: counts, and the step in which they move.

use std::{fmt, num::NonZeroU32};

use serde::{Deserialize, Serialize};

/// A number of replicas of a role: scaling units, never pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Replicas(u32);

impl Replicas {
    /// No replicas.
    pub const ZERO: Self = Self(0);

    /// Returns that many replicas.
    pub const fn new(count: u32) -> Self {
        Self(count)
    }

    /// Returns the plain count.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many replicas are added or removed together; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GangSize(NonZeroU32);

impl GangSize {
    /// One replica at a time: no gangs.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// Returns the size, or `None` for zero.
    pub const fn new(size: u32) -> Option<Self> {
        match NonZeroU32::new(size) {
            Some(size) => Some(Self(size)),
            None => None,
        }
    }

    /// Returns the number of replicas in one gang.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Returns the smallest whole number of gangs that holds `count`, saturating at the last whole gang below `u32::MAX`.
    #[must_use]
    pub const fn ceil_to_gang(self, count: Replicas) -> Replicas {
        match count.0.checked_next_multiple_of(self.0.get()) {
            Some(whole) => Replicas(whole),
            None => self.floor_to_gang(Replicas(u32::MAX)),
        }
    }

    /// Returns the largest whole number of gangs within `count`.
    #[must_use]
    pub const fn floor_to_gang(self, count: Replicas) -> Replicas {
        Replicas(count.0 - count.0 % self.0.get())
    }
}

impl Default for GangSize {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for GangSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_whole_gangs() {
        let gang = GangSize::new(4).expect("not zero");
        for (count, floor, ceil) in
            [(0, 0, 0), (1, 0, 4), (4, 4, 4), (5, 4, 8), (u32::MAX, u32::MAX - 3, u32::MAX - 3)]
        {
            assert_eq!(gang.floor_to_gang(Replicas::new(count)).get(), floor, "floor of {count}");
            assert_eq!(gang.ceil_to_gang(Replicas::new(count)).get(), ceil, "ceil of {count}");
        }
        assert_eq!(GangSize::new(0), None);
    }
}
