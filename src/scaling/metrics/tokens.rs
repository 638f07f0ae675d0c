//! `token_utilization`: how many replicas' worth of token work a role has.
//!
//! `work = the larger of a short and a long window of (prompt rate ÷ prompt throughput + generation rate ÷ generation
//! throughput) + (waiting prompt tokens beyond one second of work per ready replica) ÷ prompt throughput ÷ 60 s +
//! max(0, slope × lookahead)`; the count is `⌈work ÷ target⌉`, exactly, without a tolerance.
//!
//! A throughput that is not given drops its terms. Replicas that start are capacity to come, never part of the sum.
//! With one window missing the other speaks; with both, nothing does. Whatever is asked for but missing (a window, the
//! waiting tokens, the slope, a source) makes the figure a lower bound: it may raise, never lower.

use super::{
    evaluation::{Basis, Evaluation, Shown, silence},
    float,
    fraction::Fraction,
};
use crate::{
    policy::Throughput,
    scaling::{RatePair, RoleObservation, TokenReading},
    units::{MilliValue, Replicas},
};

/// Over how many seconds the backlog is to be worked off.
const BACKLOG_SECONDS: i128 = 60;

/// Answers the metric; the error says why not.
pub(crate) fn evaluate(
    throughput: Throughput,
    lookahead: std::time::Duration,
    target: MilliValue,
    reading: &TokenReading,
    seen: &RoleObservation,
    current: Replicas,
) -> Result<Evaluation, String> {
    let mut missing_parts: Vec<&'static str> = Vec::new();
    let short = window(throughput, reading, |rates| rates.short);
    let long = window(throughput, reading, |rates| rates.long);
    let rates = match (short, long) {
        (Some(short), Some(long)) => (short, long),
        (Some(only), None) => {
            missing_parts.push("the long window");
            (only, only)
        }
        (None, Some(only)) => {
            missing_parts.push("the short window");
            (only, only)
        }
        (None, None) => {
            return Err("no token rates answered, neither over the short nor the long window".to_owned());
        }
    };
    if throughput.prompt.is_some() && reading.pending_tokens.is_none() {
        missing_parts.push("the waiting tokens");
    }
    if !lookahead.is_zero() && reading.slope_nanos_per_second.is_none() {
        missing_parts.push("the slope");
    }
    let work = sum(rates, throughput, lookahead, reading, seen).ok_or("the token rates are out of range")?;
    let exact = |value: Fraction| i64::try_from(value.ceil()).unwrap_or(i64::MAX);
    let milli = work.times(1000).map_or(i64::MAX, exact);
    let proposed = work
        .times(1000)
        .and_then(|work| work.over(target.milli().into()))
        .map_or(i32::MAX, |count| i32::try_from(count.ceil()).unwrap_or(i32::MAX));
    let average = float::ceil_share(milli, seen.status_replicas);
    Ok(Evaluation {
        proposed,
        above_target: i64::from(proposed) > i64::from(current.get()),
        shown: Shown {
            utilization: None,
            average: Some(MilliValue::from_milli(average)),
            value: Some(MilliValue::from_milli(milli)),
        },
        missing: reading.expected.map(|_| count(unanswered(reading))),
        time: reading.time,
        partial: partial(reading, &missing_parts),
        idle: work.is_zero()
            && reading.pending_tokens.is_none_or(|pending| pending.milli() <= 0)
            && missing_parts.is_empty()
            && unanswered(reading) == 0,
        basis: Basis::Tokens { work: MilliValue::from_milli(milli) },
    })
}

/// The work of one window; `None` when a term that the throughput asks for is missing.
fn window(
    throughput: Throughput,
    reading: &TokenReading,
    of: impl Fn(&RatePair) -> Option<MilliValue>,
) -> Option<Fraction> {
    let mut work = Fraction::ZERO;
    for (throughput, rates) in
        [(throughput.prompt, &reading.prompt), (throughput.generation, &reading.generation)]
    {
        if let Some(throughput) = throughput {
            let term = Fraction::new(of(rates)?.milli().max(0).into(), throughput.milli().into())?;
            work = work.plus(term)?;
        }
    }
    Some(work)
}

/// The sum; `None` when it does not fit.
fn sum(
    (short, long): (Fraction, Fraction),
    throughput: Throughput,
    lookahead: std::time::Duration,
    reading: &TokenReading,
    seen: &RoleObservation,
) -> Option<Fraction> {
    let mut work = short.larger(long)?;
    if let (Some(prompt), Some(pending)) = (throughput.prompt, reading.pending_tokens) {
        let prompt = i128::from(prompt.milli());
        let ready = i128::try_from(seen.ready_replicas()).ok()?;
        let beyond = (i128::from(pending.milli()) - ready.checked_mul(prompt)?).max(0);
        work = work.plus(Fraction::new(beyond, prompt.checked_mul(BACKLOG_SECONDS)?)?)?;
    }
    if let Some(slope) = reading.slope_nanos_per_second.filter(|slope| *slope > 0) {
        // Billionths per second × milliseconds.
        let ahead = i128::try_from(lookahead.as_millis()).ok()?;
        work = work.plus(Fraction::new(i128::from(slope).checked_mul(ahead)?, 1_000_000_000_000)?)?;
    }
    Some(work)
}

fn unanswered(reading: &TokenReading) -> u32 {
    match (reading.expected, reading.reported) {
        (Some(expected), Some(reported)) => expected.saturating_sub(reported),
        _ => 0,
    }
}

fn partial(reading: &TokenReading, missing_parts: &[&str]) -> Option<String> {
    let mut words = Vec::with_capacity(2);
    if unanswered(reading) > 0 {
        words.push(silence(reading.reported.unwrap_or(0), reading.expected.unwrap_or(0), &reading.silent));
    }
    if !missing_parts.is_empty() {
        words.push(format!("missing: {}", missing_parts.join(", ")));
    }
    (!words.is_empty()).then(|| words.join("; "))
}

fn count(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
