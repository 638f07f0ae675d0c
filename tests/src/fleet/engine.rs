//! [`Engine`]: one replica of a model server with continuous batching. Pure: simulated time is passed in.
//!
//! The engine works in steps. A step gives every decoding sequence one token and takes on up to one chunk of prompt
//! tokens, first come, first served; it lasts a fixed part, a part per sequence, a part per KV token held and the chunk's
//! prefill time. A request is admitted when its whole prompt and answer fit into the KV cache beside what was promised to
//! the others, so nothing is ever preempted. Prefix caching is not modelled: long shared prompts cost more than in life.
//! It knows nothing of pods, metrics' names, routing or clocks.

mod batch;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::{
    model::Model,
    request::{Completion, Request},
    statistics::{Buckets, Statistics},
    time::SimTime,
};
use batch::{Batch, Prefill};

/// One replica of a model server.
#[derive(Clone, Debug)]
pub struct Engine {
    model: Model,
    waiting: VecDeque<Waiting>,
    batch: Batch,
    step: Option<Step>,
    prompt_left: u64,
    output_left: u64,
    statistics: Statistics,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    request: Request,
    arrived: SimTime,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    ends: SimTime,
    seconds: f64,
    chunk: u32,
}

impl Engine {
    /// Returns an idle engine.
    pub fn new(model: Model, buckets: &Buckets) -> Self {
        Self {
            model,
            waiting: VecDeque::new(),
            batch: Batch::default(),
            step: None,
            prompt_left: 0,
            output_left: 0,
            statistics: Statistics::new(buckets),
        }
    }

    /// Takes a request in at `now`, to which the engine must have been advanced.
    ///
    /// Errors: the request itself, when it could never fit into the KV cache.
    pub fn enqueue(&mut self, request: Request, now: SimTime) -> Result<(), Request> {
        if kv_need(&request) > self.model.kv_capacity {
            return Err(request);
        }
        self.prompt_left += u64::from(request.input_tokens);
        self.output_left += u64::from(request.output_tokens);
        self.waiting.push_back(Waiting { request, arrived: now });
        if self.step.is_none() {
            self.begin_step(now);
        }
        Ok(())
    }

    /// Runs all steps that end at or before `now` and adds the requests that finished to `finished`.
    pub fn advance(&mut self, now: SimTime, finished: &mut Vec<Completion>) {
        while let Some(step) = self.step {
            if step.ends > now {
                return;
            }
            self.end_step(step, finished);
            self.begin_step(step.ends);
        }
    }

    /// Forgets all requests, running and waiting, and returns them: what happens when the pod dies.
    pub fn abandon(&mut self) -> Vec<Request> {
        self.step = None;
        self.prompt_left = 0;
        self.output_left = 0;
        let running = std::mem::take(&mut self.batch).into_requests();
        running.chain(self.waiting.drain(..).map(|waiting| waiting.request)).collect()
    }

    /// Returns the model.
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the number of requests waiting for admission.
    pub fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Returns the requests waiting for admission.
    pub fn waiting_requests(&self) -> impl Iterator<Item = &Request> {
        self.waiting.iter().map(|waiting| &waiting.request)
    }

    /// Returns the tokens per second of the step under way, 0 while idle.
    pub fn throughput(&self) -> f64 {
        self.step.map_or(0.0, |step| f64::from(self.batch.decoding()) / step.seconds)
    }

    /// Returns the number of requests being prefilled or decoded.
    pub fn running(&self) -> u32 {
        self.batch.running()
    }

    /// Returns the KV tokens held.
    pub const fn kv_tokens(&self) -> u32 {
        self.batch.kv_held()
    }

    /// Returns how long the outstanding work will roughly take, nanoseconds; what a router balances by.
    pub const fn pending_work(&self) -> u64 {
        self.model.work_nanos(self.prompt_left, self.output_left)
    }

    /// Returns the counters and histograms.
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Admits what fits and starts a step, unless there is nothing to do.
    fn begin_step(&mut self, now: SimTime) {
        let decoding = self.batch.decoding();
        let mut budget = if decoding == 0 { self.model.prefill_chunk } else { self.model.mixed_chunk };
        let mut chunk = self.batch.schedule(&mut budget);
        while budget > 0 && self.batch.running() < self.model.max_running {
            let Some(next) = self.waiting.front().copied() else { break };
            if self.batch.kv_reserved().saturating_add(kv_need(&next.request)) > self.model.kv_capacity {
                break;
            }
            self.waiting.pop_front();
            self.batch.admit(Prefill::new(next.request, next.arrived, now), kv_need(&next.request));
            chunk += self.batch.schedule(&mut budget);
        }
        if self.batch.running() == 0 {
            self.step = None;
            return;
        }
        let nanos = self.model.step_nanos
            + u64::from(self.batch.running()) * self.model.sequence_nanos
            + u64::from(self.batch.kv_held()) * self.model.kv_nanos
            + u64::from(chunk) * self.model.prefill_nanos;
        let ends = now.plus_nanos(nanos);
        self.step = Some(Step { ends, seconds: ends.since(now).as_secs_f64(), chunk });
    }

    fn end_step(&mut self, step: Step, finished: &mut Vec<Completion>) {
        let decoding = self.batch.decoding();
        let statistics = &mut self.statistics;
        if decoding > 0 {
            statistics.inter_token.observe(step.seconds, decoding);
        }
        statistics.step_tokens.observe(f64::from(decoding + step.chunk), 1);
        statistics.prefilled_tokens += u64::from(step.chunk);
        statistics.generated_tokens += u64::from(decoding);
        self.prompt_left -= u64::from(step.chunk);
        self.output_left -= u64::from(decoding);

        self.batch.decode_step();
        for prefill in self.batch.prefill_step() {
            statistics.prompt_tokens += u64::from(prefill.request.input_tokens);
            statistics.generated_tokens += 1;
            statistics.first_token.observe(step.ends.since(prefill.arrived).as_secs_f64(), 1);
            statistics.queue.observe(prefill.admitted.since(prefill.arrived).as_secs_f64(), 1);
            statistics.prefill.observe(step.ends.since(prefill.admitted).as_secs_f64(), 1);
            self.output_left -= 1;
            self.batch.start_decode(prefill, step.ends);
        }
        while let Some(done) = self.batch.pop_finished() {
            let Request { input_tokens, output_tokens, .. } = done.prefill.request;
            let completion = Completion {
                request: done.prefill.request,
                first_token: done.first_token,
                finished: step.ends,
            };
            let decode_seconds = step.ends.since(done.first_token).as_secs_f64();
            statistics.finished += 1;
            statistics.decode.observe(decode_seconds, 1);
            statistics.inference.observe(step.ends.since(done.prefill.admitted).as_secs_f64(), 1);
            statistics.whole.observe(step.ends.since(done.prefill.arrived).as_secs_f64(), 1);
            statistics.request_prompt_tokens.observe(f64::from(input_tokens), 1);
            statistics.request_generated_tokens.observe(f64::from(output_tokens), 1);
            if output_tokens > 1 {
                statistics.mean_inter_token.observe(decode_seconds / f64::from(output_tokens - 1), 1);
            }
            finished.push(completion);
        }
    }
}

/// KV tokens promised to a request at admission: its prompt and its answer.
const fn kv_need(request: &Request) -> u32 {
    request.input_tokens.saturating_add(request.output_tokens)
}
