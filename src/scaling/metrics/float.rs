//! The doubles of the HPA's formula: the only place where counts and milli-values meet floats.
//!
//! Expressions keep the HPA's order of operations, since every rounding shows. Where a float does not fit its integer
//! the HPA's answer depends on the machine; here it saturates, and NaN becomes 0.

#![expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the HPA computes in doubles; float casts saturate, as the module says"
)]

use crate::units::Replicas;

/// How far a ratio may be from 1 in each direction; both edges are inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tolerances {
    /// Above 1.
    pub up: f64,
    /// Below 1.
    pub down: f64,
}

impl Tolerances {
    /// Whether a ratio counts as 1; NaN never does.
    pub fn contain(self, ratio: f64) -> bool {
        (1.0 - self.down) <= ratio && ratio <= (1.0 + self.up)
    }
}

/// `usage ÷ target`.
pub(crate) fn ratio(usage: i64, target: i64) -> f64 {
    usage as f64 / target as f64
}

/// `usage ÷ (target × replicas)`; infinite or NaN for no replicas.
pub(crate) fn ratio_per_replica(usage: i64, target: i64, replicas: Replicas) -> f64 {
    usage as f64 / (target as f64 * f64::from(replicas.get()))
}

/// `⌈ratio × count⌉`.
pub(crate) fn ceil_times(ratio: f64, count: usize) -> i32 {
    (ratio * count as f64).ceil() as i32
}

/// `⌈ratio⌉`.
pub(crate) fn ceil(ratio: f64) -> i32 {
    ratio.ceil() as i32
}

/// Whether a usage is 2^63 as a double, that is: not below what an `i64` can hold.
pub(crate) fn is_saturated(usage: i64) -> bool {
    usage as f64 >= 9_223_372_036_854_775_808.0
}

/// `⌈usage ÷ replicas⌉` in thousandths, as shown; the largest value for some usage over no replicas.
pub(crate) fn ceil_share(usage: i64, replicas: Replicas) -> i64 {
    (usage as f64 / f64::from(replicas.get())).ceil() as i64
}

/// `⌈count × (1 + percent ÷ 100)⌉`, for a percentage of growth.
pub(crate) fn grown(count: i64, percent: i32) -> i64 {
    (count as f64 * (1.0 + f64::from(percent) / 100.0)).ceil() as i64
}

/// `count × (1 − percent ÷ 100)` toward zero, for a percentage of shrinking.
pub(crate) fn shrunk(count: i64, percent: i32) -> i64 {
    (count as f64 * (1.0 - f64::from(percent) / 100.0)) as i64
}

/// `max(factor × count, minimum)` toward zero: the limit of the HPA's path without behavior.
pub(crate) fn built_in_limit(count: Replicas, factor: f64, minimum: f64) -> i64 {
    (factor * f64::from(count.get())).max(minimum) as i64
}

/// A count as a float, to show a share of it.
pub(crate) fn times(ratio: f64, count: usize) -> f64 {
    ratio * count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roundings_are_those_of_doubles() {
        assert_eq!(grown(100, 10), 111, "100 × 1.1 is 110.00000000000001");
        assert_eq!(shrunk(10, 90), 0, "10 × (1 − 0.9) is 0.9999999999999998");
        assert_eq!(shrunk(7, 10), 6);
        assert_eq!(shrunk(1, 150), 0, "−0.5 toward zero");
        assert_eq!(shrunk(4, 150), -2);
        assert_eq!(ceil_times(f64::INFINITY, 1), i32::MAX);
        assert_eq!(ceil(f64::NAN), 0);
        assert_eq!(ceil_share(1, Replicas::ZERO), i64::MAX);
    }

    #[test]
    fn both_edges_of_the_tolerance_are_inside() {
        let tolerances = Tolerances { up: 0.1, down: 0.1 };
        for (ratio, inside) in [(1.1, true), (0.9, true), (1.101, false), (0.899, false), (f64::NAN, false)] {
            assert_eq!(tolerances.contain(ratio), inside, "{ratio}");
        }
    }
}
