//! [`Pin`]: exact values for an engine to show without any load, and [`Fault`]: ways for its metrics to fail.

use super::{
    exposition::Reading,
    statistics::{Buckets, Statistics},
    time::SimTime,
};

/// Values that an engine shows instead of its own; what is `None` stays the engine's.
///
/// Gauges show the value from now on. Rates are per second of *wall* time, whatever the fleet's speed: counters rise by
/// exactly that much on top of what the engine itself does, and stay where they are when the pin is taken away.
/// vLLM has no gauge of pending tokens; there the signal is `queue_length` × `mean_prompt_tokens` while `qps` is above 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pin {
    /// Requests waiting.
    pub queue_length: Option<f64>,
    /// Requests running.
    pub running_requests: Option<f64>,
    /// Share of the KV cache in use, 0 to 1.
    pub kv_cache_usage: Option<f64>,
    /// Prompt tokens waiting, where the engine has a gauge of them (SGLang's `/v1/loads`).
    pub pending_tokens: Option<f64>,
    /// Requests finished per second.
    pub qps: Option<f64>,
    /// Prompt tokens of each of those requests.
    pub mean_prompt_tokens: Option<f64>,
    /// Answer tokens of each of those requests.
    pub mean_generated_tokens: Option<f64>,
    /// Time to first token of each of those requests, seconds.
    pub time_to_first_token: Option<f64>,
    /// Time per token of each of those requests, seconds.
    pub time_per_output_token: Option<f64>,
    /// Whole time of each of those requests, seconds.
    pub request_latency: Option<f64>,
    /// Prompt tokens handled per second, cached ones included.
    pub prompt_tokens_per_second: Option<f64>,
    /// Share of those found in the prefix cache, 0 to 1.
    pub prefix_cache_hit_rate: Option<f64>,
    /// Tokens generated per second.
    pub generation_tokens_per_second: Option<f64>,
}

impl Pin {
    /// Returns the pin of a queue length and nothing else.
    pub fn queue_length(requests: f64) -> Self {
        Self { queue_length: Some(requests), ..Self::default() }
    }
}

/// How an engine's metrics fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Status 500.
    Error,
    /// The connection is accepted and never answered.
    Hang,
    /// Status 200, gauges are NaN.
    NotANumber,
    /// Status 200 and a page without series.
    Empty,
}

/// A pin at work on one engine: what its rates have added up to.
#[derive(Clone, Debug)]
pub(super) struct Pinned {
    pin: Pin,
    since: SimTime,
    added: Added,
    statistics: Statistics,
}

/// Whole numbers added since the pin was set.
#[derive(Clone, Copy, Debug, Default)]
struct Added {
    requests: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
    generated_tokens: u64,
}

impl Pinned {
    pub(super) fn new(buckets: &Buckets, now: SimTime) -> Self {
        Self {
            pin: Pin::default(),
            since: now,
            added: Added::default(),
            statistics: Statistics::new(buckets),
        }
    }

    /// Changes the pin; what was added so far stays.
    pub(super) fn set(&mut self, pin: Pin, now: SimTime, speed: f64) {
        if self.pin != pin {
            self.advance(now, speed);
            (self.pin, self.since, self.added) = (pin, now, Added::default());
        }
    }

    /// Puts the pinned values into a reading.
    pub(super) fn apply(&mut self, reading: &mut Reading, now: SimTime, speed: f64) {
        self.advance(now, speed);
        reading.statistics.add(&self.statistics);
        for (shown, pinned) in [
            (&mut reading.queue_length, self.pin.queue_length),
            (&mut reading.running_requests, self.pin.running_requests),
            (&mut reading.kv_cache_usage, self.pin.kv_cache_usage),
            (&mut reading.pending_tokens, self.pin.pending_tokens),
            (&mut reading.generation_throughput, self.pin.generation_tokens_per_second),
        ] {
            *shown = pinned.unwrap_or(*shown);
        }
    }

    fn advance(&mut self, now: SimTime, speed: f64) {
        let wall_seconds = now.since(self.since).as_secs_f64() / speed;
        let total = |rate: Option<f64>| whole(rate.unwrap_or(0.0) * wall_seconds);
        let pin = self.pin;
        let cached_rate = pin.prompt_tokens_per_second.zip(pin.prefix_cache_hit_rate);
        let target = Added {
            requests: total(pin.qps),
            prompt_tokens: total(pin.prompt_tokens_per_second),
            cached_tokens: total(cached_rate.map(|(rate, share)| rate * share)),
            generated_tokens: total(pin.generation_tokens_per_second),
        };
        let prompt_tokens = target.prompt_tokens - self.added.prompt_tokens;
        let cached_tokens = target.cached_tokens - self.added.cached_tokens;
        let requests = u32::try_from(target.requests - self.added.requests).unwrap_or(u32::MAX);
        let statistics = &mut self.statistics;
        statistics.finished += u64::from(requests);
        statistics.prompt_tokens += prompt_tokens;
        statistics.cached_tokens += cached_tokens;
        statistics.prefilled_tokens += prompt_tokens.saturating_sub(cached_tokens);
        statistics.generated_tokens += target.generated_tokens - self.added.generated_tokens;
        self.added = target;
        if requests == 0 {
            return;
        }
        for (histogram, value) in [
            (&mut statistics.request_prompt_tokens, pin.mean_prompt_tokens),
            (&mut statistics.request_generated_tokens, pin.mean_generated_tokens),
            (&mut statistics.first_token, pin.time_to_first_token),
            (&mut statistics.inter_token, pin.time_per_output_token),
            (&mut statistics.mean_inter_token, pin.time_per_output_token),
            (&mut statistics.whole, pin.request_latency),
        ] {
            if let Some(value) = value {
                histogram.observe(value, requests);
            }
        }
    }
}

/// Returns the whole part of a number, 0 for what is below 1 or no number.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, as we want"
)]
const fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::exposition::Dialect;

    fn reading() -> Reading {
        Reading {
            model_name: "m",
            queue_length: 3.0,
            running_requests: 4.0,
            kv_cache_usage: 0.5,
            kv_capacity: 1000,
            pending_tokens: 0.0,
            generation_throughput: 0.0,
            created: 0.0,
            statistics: Statistics::new(Dialect::Vllm.buckets()),
        }
    }

    #[test]
    fn gauges_are_replaced_and_rates_count_wall_time() {
        let speed = 20.0;
        let mut pinned = Pinned::new(Dialect::Vllm.buckets(), SimTime::ZERO);
        let pin = Pin {
            queue_length: Some(12.0),
            qps: Some(4.0),
            mean_prompt_tokens: Some(600.0),
            prompt_tokens_per_second: Some(1000.0),
            prefix_cache_hit_rate: Some(0.25),
            ..Pin::default()
        };
        pinned.set(pin, SimTime::ZERO, speed);

        let mut shown = reading();
        pinned.apply(&mut shown, SimTime::from_seconds(10.0 * speed), speed);
        assert_eq!(
            (shown.queue_length.to_bits(), shown.running_requests.to_bits()),
            (12_f64.to_bits(), 4_f64.to_bits())
        );
        assert_eq!(shown.statistics.finished, 40);
        assert_eq!((shown.statistics.prompt_tokens, shown.statistics.cached_tokens), (10_000, 2500));
        assert_eq!(shown.statistics.request_prompt_tokens.sum().to_bits(), 24_000_f64.to_bits());

        pinned.set(Pin::default(), SimTime::from_seconds(20.0 * speed), speed);
        let mut later = reading();
        pinned.apply(&mut later, SimTime::from_seconds(90.0 * speed), speed);
        assert_eq!(later.statistics.finished, 80, "counters stay where the pin left them");
        assert_eq!(later.queue_length.to_bits(), 3_f64.to_bits());
    }
}
