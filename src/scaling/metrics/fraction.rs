//! [`Fraction`]: exact sums of quotients, so that 2.4 ÷ 0.8 is 3 and not 2.9999999999999996.

use std::cmp::Ordering;

/// A rational number; the denominator is above zero and the fraction is reduced.
///
/// Operations return `None` when the result does not fit 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fraction {
    numerator: i128,
    denominator: i128,
}

impl Fraction {
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    /// Returns `numerator ÷ denominator`; `None` for a denominator that is not above zero.
    pub fn new(numerator: i128, denominator: i128) -> Option<Self> {
        if denominator <= 0 {
            return None;
        }
        let divisor = gcd(numerator.unsigned_abs(), denominator.unsigned_abs());
        let divisor = i128::try_from(divisor).ok()?;
        Some(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    pub fn plus(self, other: Self) -> Option<Self> {
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        Self::new(left.checked_add(right)?, self.denominator.checked_mul(other.denominator)?)
    }

    pub fn times(self, factor: i128) -> Option<Self> {
        Self::new(self.numerator.checked_mul(factor)?, self.denominator)
    }

    pub fn over(self, divisor: i128) -> Option<Self> {
        Self::new(self.numerator, self.denominator.checked_mul(divisor)?)
    }

    /// Returns the larger; `None` when they cannot be compared in 128 bits.
    pub fn larger(self, other: Self) -> Option<Self> {
        Some(match self.compare(other)? {
            Ordering::Less => other,
            _ => self,
        })
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        Some(left.cmp(&right))
    }

    /// Returns the smallest whole number that is not below it.
    pub fn ceil(self) -> i128 {
        let whole = self.numerator.div_euclid(self.denominator);
        whole + i128::from(self.numerator.rem_euclid(self.denominator) != 0)
    }

    pub const fn is_zero(self) -> bool {
        self.numerator == 0
    }
}

const fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    if a == 0 { 1 } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact() {
        let fraction = |a, b| Fraction::new(a, b).expect("a denominator above zero");
        let sum = fraction(1, 10).plus(fraction(2, 10)).and_then(|sum| sum.over(3)).expect("fits");
        assert_eq!(sum, fraction(1, 10), "(0.1 + 0.2) ÷ 3");
        assert_eq!(fraction(-1, 2).ceil(), 0);
        assert_eq!(fraction(7, 2).ceil(), 4);
        assert_eq!(fraction(6, 2).ceil(), 3);
        assert_eq!(fraction(1, 3).larger(fraction(1, 2)), Some(fraction(1, 2)));
        assert_eq!(Fraction::new(1, 0), None);
        assert_eq!(fraction(i128::MAX, 1).times(2), None, "too large");
    }
}
