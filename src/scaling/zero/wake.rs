//! [`WakeState`]: what the wake signals of a role say, all of them together.

use crate::{
    policy::{RolePolicy, WakeSignal},
    scaling::observation::{Reading, RoleObservation},
    units::MilliValue,
};

/// What the wake signals of a role say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WakeState {
    /// The first signal above its target, in words.
    pub above: Option<String>,
    /// Whether every signal answered, completely; false for a role without signals, since nothing watches it.
    pub answered: bool,
    /// Whether every signal answered zero, completely.
    pub zero: bool,
    /// The first signal that did not answer, in words.
    pub silent: Option<String>,
}

/// Reads the wake signals of a role.
///
/// A value above the target wakes even if other sources are silent: it is a lower bound. Otherwise sources that do not
/// answer, or values that are not there, are silence, never zero.
pub(super) fn read(policy: &RolePolicy, seen: &RoleObservation) -> WakeState {
    let signals = policy.scale_to_zero.as_ref().map_or(&[][..], |zero| &zero.wake_on);
    let mut state =
        WakeState { answered: !signals.is_empty(), zero: !signals.is_empty(), ..WakeState::default() };
    for (index, signal) in signals.iter().enumerate() {
        let (value, silence) = value(seen.wake.get(index));
        match value {
            Some(value) if value > signal.target => {
                state.zero = false;
                state
                    .above
                    .get_or_insert_with(|| format!("{} is {value}, above {}", words(signal), signal.target));
            }
            Some(value) => state.zero &= value == MilliValue::ZERO,
            None => state.zero = false,
        }
        if let Some(why) = silence {
            (state.answered, state.zero) = (false, false);
            state.silent.get_or_insert_with(|| format!("{} is silent ({why})", words(signal)));
        }
    }
    state
}

/// The sum of what answered, and why that is not all of it.
fn value(reading: Option<&Reading>) -> (Option<MilliValue>, Option<String>) {
    let nothing = |why: &str| (None, Some(why.to_owned()));
    let sum = |values: &mut dyn Iterator<Item = MilliValue>| values.reduce(MilliValue::saturating_add);
    match reading {
        None => nothing("no reading"),
        Some(Reading::Failed(error)) => nothing(error),
        Some(Reading::Tokens(_)) => nothing("token rates wake nobody"),
        Some(Reading::Total(total)) => {
            let Some(value) = sum(&mut total.values.iter().copied()) else {
                return nothing("nothing answered");
            };
            let partial = total.unanswered().is_some_and(|sources| sources > 0);
            let (answered, expected) = (total.answered(), total.expected.unwrap_or(0));
            (Some(value), partial.then(|| format!("{answered} of {expected} sources answered")))
        }
        Some(Reading::Replicas(samples)) => {
            let found = samples.samples.iter().flatten().chain(&samples.strays);
            let Some(value) = sum(&mut found.map(|sample| sample.value)) else {
                return nothing("nothing answered");
            };
            let missing = samples.samples.iter().filter(|sample| sample.is_none()).count();
            (Some(value), (missing > 0).then(|| format!("{missing} replicas did not answer")))
        }
    }
}

fn words(signal: &WakeSignal) -> String {
    match &signal.role {
        Some(role) => format!("{} of {role}", signal.name),
        None => signal.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{policy::ScaleToZero, scaling::observation::Total, units::Replicas};

    fn total(values: &[i64], expected: u32, reported: u32) -> Reading {
        Reading::Total(Total {
            values: values.iter().copied().map(MilliValue::from_whole).collect(),
            expected: Some(expected),
            reported: Some(reported),
            ..Total::default()
        })
    }

    /// A total that does not say how many answered.
    fn untold(values: &[i64], expected: u32) -> Reading {
        let Reading::Total(total) = total(values, expected, 0) else { unreachable!("a total") };
        Reading::Total(Total { reported: None, ..total })
    }

    #[test]
    fn silence_is_not_zero() {
        let signal = |name: &str, target| WakeSignal {
            name: name.to_owned(),
            role: Some("router".to_owned()),
            target: MilliValue::from_whole(target),
        };
        let mut policy = RolePolicy::bounded("decode".to_owned(), Replicas::new(4), Replicas::new(8));
        let after = std::time::Duration::from_secs(60);
        policy.scale_to_zero =
            Some(ScaleToZero::new(after, vec![signal("queue_length", 0), signal("qps", 5)]));
        for (name, wake, above, answered, zero) in [
            ("all zero", vec![total(&[0, 0], 2, 2), total(&[0], 1, 1)], false, true, true),
            ("above", vec![total(&[0, 1], 2, 2), total(&[0], 1, 1)], true, true, false),
            ("at its target is not above", vec![total(&[0], 1, 1), total(&[2, 3], 2, 2)], false, true, false),
            ("above while others are silent", vec![total(&[1], 3, 1), total(&[0], 1, 1)], true, false, false),
            ("zero while others are silent", vec![total(&[0], 3, 1), total(&[0], 1, 1)], false, false, false),
            ("nothing answered", vec![total(&[], 0, 0), total(&[0], 1, 1)], false, false, false),
            ("zero of one of three", vec![untold(&[0], 3), total(&[0], 1, 1)], false, false, false),
            ("zero of all three", vec![untold(&[0, 0, 0], 3), total(&[0], 1, 1)], false, true, true),
            ("failed", vec![total(&[0], 1, 1), Reading::Failed("refused".to_owned())], false, false, false),
            ("no reading", vec![total(&[0], 1, 1)], false, false, false),
        ] {
            let seen = RoleObservation { wake, ..RoleObservation::default() };
            let state = read(&policy, &seen);
            assert_eq!(
                (state.above.is_some(), state.answered, state.zero),
                (above, answered, zero),
                "{name}"
            );
            assert_eq!(state.silent.is_some(), !answered, "{name}");
        }
        let seen = RoleObservation {
            wake: vec![total(&[1, 2], 2, 2), total(&[0], 1, 1)],
            ..RoleObservation::default()
        };
        assert_eq!(read(&policy, &seen).above.as_deref(), Some("queue_length of router is 3, above 0"));
    }
}
