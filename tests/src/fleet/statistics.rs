//! [`Statistics`]: the counters and histograms an engine keeps about its own work.

use super::histogram::Histogram;

/// Upper bounds of an engine's histograms; they differ from engine to engine.
#[derive(Clone, Copy, Debug)]
pub struct Buckets {
    /// Time to first token, seconds.
    pub first_token: &'static [f64],
    /// Time between tokens, seconds.
    pub inter_token: &'static [f64],
    /// Whole request, seconds.
    pub whole: &'static [f64],
    /// Waiting in the queue, seconds.
    pub queue: &'static [f64],
    /// Prefill, decode, and both together, seconds.
    pub phase: &'static [f64],
    /// Prompt and answer lengths, tokens.
    pub tokens: &'static [f64],
    /// Tokens of one step.
    pub step: &'static [f64],
}

/// What an engine has done since it started. Latencies are simulated seconds, as seen by the engine, not by the client.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Prompt tokens computed, counted chunk by chunk.
    pub prefilled_tokens: u64,
    /// Prompt tokens of the requests whose prefill is complete.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the prefix cache; 0 unless pinned.
    pub cached_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Requests finished.
    pub finished: u64,
    /// Arrival to first token.
    pub first_token: Histogram,
    /// One token to the next.
    pub inter_token: Histogram,
    /// Mean of the above over one request.
    pub mean_inter_token: Histogram,
    /// Arrival to last token.
    pub whole: Histogram,
    /// Arrival to admission.
    pub queue: Histogram,
    /// Admission to first token.
    pub prefill: Histogram,
    /// First token to last.
    pub decode: Histogram,
    /// Admission to last token.
    pub inference: Histogram,
    /// Prompt lengths of finished requests.
    pub request_prompt_tokens: Histogram,
    /// Answer lengths of finished requests.
    pub request_generated_tokens: Histogram,
    /// Tokens per step.
    pub step_tokens: Histogram,
}

impl Statistics {
    /// Returns the statistics of an engine that has done nothing yet.
    pub fn new(buckets: &Buckets) -> Self {
        Self {
            prefilled_tokens: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            generated_tokens: 0,
            finished: 0,
            first_token: Histogram::new(buckets.first_token),
            inter_token: Histogram::new(buckets.inter_token),
            mean_inter_token: Histogram::new(buckets.inter_token),
            whole: Histogram::new(buckets.whole),
            queue: Histogram::new(buckets.queue),
            prefill: Histogram::new(buckets.phase),
            decode: Histogram::new(buckets.phase),
            inference: Histogram::new(buckets.phase),
            request_prompt_tokens: Histogram::new(buckets.tokens),
            request_generated_tokens: Histogram::new(buckets.tokens),
            step_tokens: Histogram::new(buckets.step),
        }
    }

    /// Adds what another engine with the same buckets has done.
    pub fn add(&mut self, other: &Self) {
        self.prefilled_tokens += other.prefilled_tokens;
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.generated_tokens += other.generated_tokens;
        self.finished += other.finished;
        for (histogram, more) in [
            (&mut self.first_token, &other.first_token),
            (&mut self.inter_token, &other.inter_token),
            (&mut self.mean_inter_token, &other.mean_inter_token),
            (&mut self.whole, &other.whole),
            (&mut self.queue, &other.queue),
            (&mut self.prefill, &other.prefill),
            (&mut self.decode, &other.decode),
            (&mut self.inference, &other.inference),
            (&mut self.request_prompt_tokens, &other.request_prompt_tokens),
            (&mut self.request_generated_tokens, &other.request_generated_tokens),
            (&mut self.step_tokens, &other.step_tokens),
        ] {
            histogram.add(more);
        }
    }
}
