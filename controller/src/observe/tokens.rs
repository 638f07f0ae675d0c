//! What `token_utilization` reads: token rates over a short and a long window, tokens that wait, and their trend.

use std::{sync::Arc, time::Duration};

use rbg_autoscaler::{
    metrics::Signal,
    policy::{RolePolicy, Throughput},
    scaling::{RatePair, Reading, TokenReading},
    units::MilliValue,
};

use super::Scene;

/// Prompt tokens per second over the short and the long window. No policy can name these signals: `/` is in no name.
const PROMPT: [&str; 2] = ["token_utilization/prompt/short", "token_utilization/prompt/long"];
/// Generated tokens per second over the short and the long window.
const GENERATION: [&str; 2] = ["token_utilization/generation/short", "token_utilization/generation/long"];
/// Prompt tokens that wait.
const PENDING: &str = "pending_tokens";

/// Returns the two windows for targets that are scraped that often.
fn windows(scrape_interval: Duration) -> [Duration; 2] {
    [
        Duration::from_secs(30).max(scrape_interval.saturating_mul(5) / 2),
        Duration::from_secs(120).max(scrape_interval.saturating_mul(4)),
    ]
}

/// Returns the signals that `token_utilization` needs besides those that there are.
pub fn token_signals(signals: &[Arc<Signal>], scrape_interval: Duration) -> Vec<Arc<Signal>> {
    let mut derived = Vec::new();
    for (name, names) in [("prompt_tokens_per_second", PROMPT), ("generation_tokens_per_second", GENERATION)]
    {
        let Some(signal) = signals.iter().find(|signal| signal.name == name) else { continue };
        for (name, window) in names.into_iter().zip(windows(scrape_interval)) {
            derived.push(Arc::new(Signal { name: name.to_owned(), window, ..Signal::clone(signal) }));
        }
    }
    derived
}

/// Returns the signals that `token_utilization` of a role reads.
pub fn signals_of_tokens(throughput: Throughput) -> Vec<&'static str> {
    let mut signals = Vec::new();
    if throughput.prompt.is_some() {
        signals.extend(PROMPT);
        signals.push(PENDING);
    }
    if throughput.generation.is_some() {
        signals.extend(GENERATION);
    }
    signals
}

impl Scene<'_> {
    /// What `token_utilization` of a role reads; the trend is added by who remembers.
    pub(super) fn tokens(&self, policy: &RolePolicy) -> Reading {
        match self.token_reading(policy) {
            Ok(reading) => Reading::Tokens(reading),
            Err(failure) => Reading::Failed(failure),
        }
    }

    fn token_reading(&self, policy: &RolePolicy) -> Result<TokenReading, String> {
        let mut reading = TokenReading::default();
        if policy.throughput.prompt.is_some() {
            reading.prompt = self.pair(PROMPT, &policy.name, &mut reading)?;
            reading.pending_tokens = self.sum(PENDING, &policy.name, &mut reading).ok().flatten();
        }
        if policy.throughput.generation.is_some() {
            reading.generation = self.pair(GENERATION, &policy.name, &mut reading)?;
        }
        reading.silent.sort_unstable();
        reading.silent.dedup();
        let unanswered = u32::try_from(reading.silent.len()).unwrap_or(u32::MAX);
        reading.reported = reading.expected.map(|expected| expected.saturating_sub(unanswered));
        Ok(reading)
    }

    /// One window is enough; with none the source's own words are told.
    fn pair(&self, names: [&str; 2], role: &str, into: &mut TokenReading) -> Result<RatePair, String> {
        let (short, long) = (self.sum(names[0], role, into), self.sum(names[1], role, into));
        match (short, long) {
            (Err(failure), Err(_)) => Err(failure),
            (short, long) => Ok(RatePair { short: short.ok().flatten(), long: long.ok().flatten() }),
        }
    }

    /// Adds a signal up over the reporting pods of a role, noting which of the ready ones did not answer.
    fn sum(&self, name: &str, role: &str, into: &mut TokenReading) -> Result<Option<MilliValue>, String> {
        let total = match self.total(name, role) {
            Reading::Total(total) => total,
            Reading::Failed(failure) => return Err(failure),
            Reading::Replicas(_) | Reading::Tokens(_) => return Ok(None),
        };
        into.expected = into.expected.max(total.expected);
        into.time = into.time.max(total.time);
        into.silent.extend(total.silent);
        Ok(total.values.into_iter().reduce(MilliValue::saturating_add))
    }
}
