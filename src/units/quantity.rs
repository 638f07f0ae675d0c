//! [`MilliValue`]: a metric's value or target in integer thousandths, and its Kubernetes quantity text.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A metric value or target in thousandths of its unit.
///
/// The HPA computes in integer milli-values only, so we do as well. Arithmetic saturates instead of wrapping.
/// Source: Kubernetes `resource.Quantity.MilliValue`, which rounds away from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilliValue(i64);

impl MilliValue {
    /// Zero.
    pub const ZERO: Self = Self(0);
    /// The largest value; what saturating arithmetic stops at.
    pub const MAX: Self = Self(i64::MAX);

    /// Returns the value of that many thousandths.
    pub const fn from_milli(milli: i64) -> Self {
        Self(milli)
    }

    /// Returns the value of that many whole units, saturating.
    pub const fn from_whole(whole: i64) -> Self {
        Self(whole.saturating_mul(1000))
    }

    /// Returns the value of a float, truncated towards zero to thousandths; `None` for NaN and infinities.
    ///
    /// Truncation is prometheus-adapter's rule for samples.
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "a float cast saturates, as we want"
    )]
    pub fn from_f64_truncated(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self((value * 1000.0) as i64))
    }

    /// Returns the thousandths.
    pub const fn milli(self) -> i64 {
        self.0
    }

    /// Returns the value as a float in whole units (inexact beyond 2^53 thousandths).
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "for ratios and display, as the HPA does"
    )]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Returns the sum, saturating.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Why a text is no Kubernetes quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a quantity; write a number with an optional suffix, such as \"10\", \"0.8\", \"500m\" or \"2k\""
)]
pub struct QuantityError {
    text: String,
}

impl FromStr for MilliValue {
    type Err = QuantityError;

    /// Parses a Kubernetes quantity and rounds it away from zero to thousandths, saturating at the ends of `i64`.
    ///
    /// Source: apimachinery `resource.ParseQuantity` and `Quantity.ScaledValue`.
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        scaled_quantity(text, 3).map(Self)
    }
}

/// Returns a quantity in thousandths of `10^-(power - 3)`: the value × 10^power, away from zero, saturating.
///
/// [`MilliValue`] is this with a power of 3; a power of 9 gives billionths.
pub fn scaled_quantity(text: &str, power: i64) -> Result<i64, QuantityError> {
    scaled(text, power).ok_or_else(|| QuantityError { text: text.chars().take(64).collect() })
}

/// Returns a quantity as the double that the HPA makes of it: its digits × 10^exponent, in that order of rounding.
///
/// So "0.35" is 35 × 0.01 = 0.35000000000000003. `None` for a text that is no quantity.
/// Source: apimachinery `resource.Quantity.AsApproximateFloat64`, whose finest unit is a billionth, rounded up.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "the HPA computes in doubles here")]
pub fn approximate_float(text: &str) -> Option<f64> {
    let parts = Parts::read(text)?;
    let (mut mantissa, mut exponent) = (parts.mantissa, parts.exponent);
    if exponent < -9 {
        (mantissa, exponent) = (scale(mantissa, 0, exponent + 9, parts.sticky), -9);
    }
    let base = mantissa.saturating_mul(1024_i128.pow(parts.binary_power)) as f64;
    let base = if parts.negative { -base } else { base };
    let ten = i32::try_from(exponent.unsigned_abs()).map_or(f64::INFINITY, |power| 10_f64.powi(power));
    Some(if exponent == 0 || base == 0.0 {
        base
    } else if exponent > 0 {
        base * ten
    } else {
        base * (1.0 / ten)
    })
}

/// Digits beyond this many can only saturate (before the point) or round up (behind it).
const MAX_DIGITS: u32 = 36;

/// A quantity's text, taken apart: ± `mantissa × 1024^binary_power × 10^exponent`.
struct Parts {
    negative: bool,
    mantissa: i128,
    binary_power: u32,
    exponent: i64,
    /// Whether digits were cut off behind the mantissa.
    sticky: bool,
}

impl Parts {
    fn read(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let number_len = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return None;
        }
        let (binary_power, decimal_power) = suffix_powers(suffix)?;
        let mut parts =
            Self { negative, mantissa: 0, binary_power, exponent: decimal_power.into(), sticky: false };
        let mut digits = 0;
        for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
            let behind_point = index >= whole.len();
            if digits < MAX_DIGITS {
                parts.mantissa = parts.mantissa * 10 + i128::from(digit - b'0');
                digits += u32::from(parts.mantissa != 0);
                parts.exponent -= i64::from(behind_point);
            } else {
                parts.sticky |= digit != b'0';
                parts.exponent += i64::from(!behind_point);
            }
        }
        Some(parts)
    }
}

fn scaled(text: &str, power: i64) -> Option<i64> {
    let parts = Parts::read(text)?;
    let magnitude = scale(parts.mantissa, parts.binary_power, parts.exponent + power, parts.sticky);
    Some(i64::try_from(if parts.negative { -magnitude } else { magnitude }).unwrap_or(if parts.negative {
        i64::MIN
    } else {
        i64::MAX
    }))
}

/// `mantissa × 1024^binary_power × 10^exponent`, away from zero, saturating.
fn scale(mantissa: i128, binary_power: u32, exponent: i64, sticky: bool) -> i128 {
    if mantissa == 0 {
        return i128::from(sticky);
    }
    let mantissa = mantissa.saturating_mul(1024_i128.pow(binary_power));
    let ten = |power: i64| u32::try_from(power).ok().and_then(|power| 10_i128.checked_pow(power));
    if exponent >= 0 {
        return ten(exponent).map_or(i128::MAX, |factor| mantissa.saturating_mul(factor));
    }
    let Some(divisor) = ten(-exponent) else { return 1 };
    mantissa / divisor + i128::from(mantissa % divisor != 0 || sticky)
}

/// Powers of 1024 and of 10 that a suffix stands for; `None` for an unknown one.
fn suffix_powers(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "" => (0, 0),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (1, 0),
        "Mi" => (2, 0),
        "Gi" => (3, 0),
        "Ti" => (4, 0),
        "Pi" => (5, 0),
        "Ei" => (6, 0),
        _ => {
            let power = suffix.strip_prefix(['e', 'E'])?;
            let digits = power.strip_prefix(['+', '-']).unwrap_or(power);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            (0, power.parse().unwrap_or(if power.starts_with('-') { -10_000 } else { 10_000 }))
        }
    })
}

impl MilliValue {
    /// Writes the canonical binary quantity, as memory is shown: `1Ki`, `500Mi`.
    ///
    /// Below 1024, or with a fraction, the decimal form says it exactly. Source: apimachinery, `CanonicalizeBytes`.
    pub fn to_binary_string(self) -> String {
        let mut whole = self.0 / 1000;
        if self.0 % 1000 != 0 || whole.unsigned_abs() < 1024 {
            return self.to_string();
        }
        let mut suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter();
        let mut suffix = suffixes.next();
        while whole % 1024 == 0 {
            whole /= 1024;
            suffix = suffixes.next();
        }
        format!("{whole}{}", suffix.unwrap_or(&""))
    }
}

impl fmt::Display for MilliValue {
    /// Writes the canonical decimal quantity: `0`, `16m`, `10500m`, `10`, `1k`, `1M`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 1000 != 0 {
            return write!(f, "{}m", self.0);
        }
        let mut whole = self.0 / 1000;
        let mut suffixes = ["", "k", "M", "G", "T", "P", "E"].iter();
        let mut suffix = suffixes.next();
        while whole != 0 && whole % 1000 == 0 {
            whole /= 1000;
            suffix = suffixes.next();
        }
        write!(f, "{whole}{}", suffix.unwrap_or(&""))
    }
}

impl Serialize for MilliValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MilliValue {
    /// Accepts a quantity string or an integer; a bare fraction such as `0.8` must be quoted.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = MilliValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity: a string such as \"0.8\" or \"500m\", or an integer")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<MilliValue, E> {
                Ok(MilliValue::from_whole(value))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<MilliValue, E> {
                Ok(MilliValue::from_whole(i64::try_from(value).unwrap_or(i64::MAX)))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<MilliValue, E> {
                Err(E::custom(format_args!("quote it: write \"{value}\" instead of {value}")))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<MilliValue, E> {
                value.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(feature = "io")]
impl schemars::JsonSchema for MilliValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 64,
            "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
            "x-kubernetes-int-or-string": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_kubernetes_quantities() {
        for (text, milli, canonical) in [
            ("0", 0, "0"),
            ("10", 10_000, "10"),
            ("0.8", 800, "800m"),
            (".5", 500, "500m"),
            ("5.", 5000, "5"),
            ("16m", 16, "16m"),
            ("10.5", 10_500, "10500m"),
            ("1k", 1_000_000, "1k"),
            ("1000", 1_000_000, "1k"),
            ("1500", 1_500_000, "1500"),
            ("1M", 1_000_000_000, "1M"),
            ("1Ki", 1_024_000, "1024"),
            ("1u", 1, "1m"),
            ("1.0001", 1001, "1001m"),
            ("-1.0001", -1001, "-1001m"),
            ("1e3", 1_000_000, "1k"),
            ("1E-3", 1, "1m"),
            ("+2", 2000, "2"),
            ("1E", i64::MAX, "9223372036854775807m"),
            ("0.0000000000000000000000000000000000000000000001", 1, "1m"),
            ("100000000000000000000000000000000000000000000000", i64::MAX, "9223372036854775807m"),
            ("-1e999", i64::MIN, "-9223372036854775808m"),
            ("0e99999", 0, "0"),
        ] {
            let value: MilliValue = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(value.milli(), milli, "{text}");
            assert_eq!(value.to_string(), canonical, "{text}");
        }
        for text in ["", ".", "-", "1.2.3", "abc", "1 0", "1x", "1e", "--1", "1Kii", "NaN"] {
            assert!(text.parse::<MilliValue>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn memory_is_shown_in_powers_of_1024() {
        for (milli, text) in [
            (1_024_000, "1Ki"),
            (524_288_000 * 1000, "500Mi"),
            (1_000_000, "1k"),
            (1500, "1500m"),
            (1_500_000, "1500"),
            (0, "0"),
        ] {
            assert_eq!(MilliValue::from_milli(milli).to_binary_string(), text, "{milli}");
        }
    }

    #[test]
    fn quantities_are_shown_as_the_hpa_shows_them() {
        for vector in crate::vectors::of_scope("statusQuantity") {
            let (input, expect) = (&vector["input"], &vector["expect"]);
            let raw = MilliValue::from_milli(crate::vectors::int(&input["rawMilli"]));
            let binary = expect["format"] == "BinarySI";
            assert_eq!(input["resource"] == "memory", binary, "{}", crate::vectors::name(&vector));
            let text = if binary { raw.to_binary_string() } else { raw.to_string() };
            let shown: MilliValue = text.parse().expect("a quantity");
            assert_eq!(shown.milli(), crate::vectors::int(&expect["valueMilli"]), "{text}");
        }
    }

    #[test]
    fn doubles_round_as_the_hpa_rounds_them() {
        for (text, want) in [
            ("0.35", 35.0 * 0.01),
            ("0.1", 0.1),
            ("350m", 350.0 * 0.001),
            ("2", 2.0),
            ("1k", 1000.0),
            ("0", 0.0),
            ("-0.5", -0.5),
            ("0.0000000001", 1e-9),
            ("1Ki", 1024.0),
        ] {
            let value = approximate_float(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(value.to_bits(), f64::to_bits(want), "{text}: {value} is not {want}");
        }
        assert_eq!(approximate_float("0.35").map(f64::to_bits), Some(0.350_000_000_000_000_03_f64.to_bits()));
        assert_eq!(approximate_float("ten"), None);
        assert_eq!(scaled_quantity("0.01", 9), Ok(10_000_000));
    }

    #[test]
    fn an_unquoted_fraction_is_refused_with_the_fix() {
        let error = serde_json::from_str::<MilliValue>("0.8").expect_err("must be refused");
        assert!(error.to_string().contains("quote it: write \"0.8\""), "{error}");
        assert_eq!(serde_json::from_str::<MilliValue>("3").expect("an integer").milli(), 3000);
    }

    #[test]
    fn samples_are_truncated_and_nan_is_nothing() {
        assert_eq!(MilliValue::from_f64_truncated(1.2349).map(MilliValue::milli), Some(1234));
        assert_eq!(MilliValue::from_f64_truncated(f64::NAN), None);
        assert_eq!(MilliValue::from_f64_truncated(f64::INFINITY), None);
    }
}
