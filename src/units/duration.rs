//! [`GatewayDuration`]: a span of time and its Gateway API text, such as `10m` or `1h30m`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time as the Gateway API writes it: up to four of `<digits><h|m|s|ms>`.
///
/// Range: 0 to 4 × 99,999 h. Source: Gateway API, GEP-2257, `^([0-9]{1,5}(h|m|s|ms)){1,4}$`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayDuration(Duration);

impl GatewayDuration {
    /// The pattern that the text must match.
    pub const PATTERN: &'static str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

    /// Returns the span of that many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Returns the plain duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for GatewayDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<GatewayDuration> for Duration {
    fn from(duration: GatewayDuration) -> Self {
        duration.0
    }
}

/// Why a text is no Gateway API duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a duration; write up to four of h, m, s and ms, such as \"90s\", \"10m\" or \"1h30m\""
)]
pub struct DurationError {
    text: String,
}

impl FromStr for GatewayDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text).map(Self).ok_or_else(|| DurationError { text: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for part in 0..5 {
        if rest.is_empty() && part > 0 {
            return Some(total);
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        if !(1..=5).contains(&digits) || part == 4 {
            return None;
        }
        let (number, unit) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let (span, left) = if let Some(left) = unit.strip_prefix("ms") {
            (Duration::from_millis(number), left)
        } else if let Some(left) = unit.strip_prefix('s') {
            (Duration::from_secs(number), left)
        } else if let Some(left) = unit.strip_prefix('m') {
            (Duration::from_secs(number * 60), left)
        } else {
            (Duration::from_secs(number * 3600), unit.strip_prefix('h')?)
        };
        total += span;
        rest = left;
    }
    None
}

impl fmt::Display for GatewayDuration {
    /// Writes the shortest canonical form: `0s`, `500ms`, `90s` as `1m30s`, `1h30m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (self.0.subsec_millis().into(), "ms"),
        ];
        let mut empty = true;
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{number}{unit}")?;
            empty = false;
        }
        if empty { f.write_str("0s") } else { Ok(()) }
    }
}

impl Serialize for GatewayDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GatewayDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = GatewayDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as \"90s\" or \"10m\"")
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<GatewayDuration, E> {
                value.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(feature = "io")]
impl schemars::JsonSchema for GatewayDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "maxLength": 28, "pattern": Self::PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_gateway_durations() {
        for (text, milliseconds, canonical) in [
            ("0s", 0, "0s"),
            ("10m", 600_000, "10m"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("500ms", 500, "500ms"),
            ("1h1m1s1ms", 3_661_001, "1h1m1s1ms"),
            ("1s1s1s1s", 4_000, "4s"),
            ("99999h", 359_996_400_000, "99999h"),
        ] {
            let duration: GatewayDuration = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(duration.get(), Duration::from_millis(milliseconds), "{text}");
            assert_eq!(duration.to_string(), canonical, "{text}");
        }
        for text in ["", "10", "m", "1d", "-1s", "1.5h", "100000s", "1s1s1s1s1s", " 1s", "1h 30m"] {
            assert!(text.parse::<GatewayDuration>().is_err(), "{text:?} must be refused");
        }
    }
}
