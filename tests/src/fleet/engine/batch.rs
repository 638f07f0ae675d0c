//! [`Batch`]: the requests an engine has admitted, and the KV cache they hold.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::fleet::{request::Request, time::SimTime};

/// The admitted requests: some still in prefill, in order of admission, the others decoding.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    prefilling: VecDeque<Prefill>,
    decoding: BinaryHeap<Reverse<Decode>>,
    decode_steps: u64,
    kv_held: u32,
    kv_reserved: u32,
}

/// An admitted request whose prompt is not wholly computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefill {
    pub(super) request: Request,
    pub(super) arrived: SimTime,
    pub(super) admitted: SimTime,
    done: u32,
    scheduled: u32,
}

/// A request that has its first token; ordered by the step that brings its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decode {
    pub(super) prefill: Prefill,
    pub(super) first_token: SimTime,
    last_step: u64,
}

impl Prefill {
    pub(super) const fn new(request: Request, arrived: SimTime, admitted: SimTime) -> Self {
        Self { request, arrived, admitted, done: 0, scheduled: 0 }
    }

    const fn left(&self) -> u32 {
        self.request.input_tokens - self.done - self.scheduled
    }
}

impl Ord for Decode {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.last_step, self.prefill.request.id).cmp(&(other.last_step, other.prefill.request.id))
    }
}

impl PartialOrd for Decode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Batch {
    pub(super) fn running(&self) -> u32 {
        count(self.prefilling.len()) + self.decoding()
    }

    pub(super) fn decoding(&self) -> u32 {
        count(self.decoding.len())
    }

    pub(super) const fn kv_held(&self) -> u32 {
        self.kv_held
    }

    pub(super) const fn kv_reserved(&self) -> u32 {
        self.kv_reserved
    }

    /// Adds a request and reserves `kv_need` tokens for it.
    pub(super) fn admit(&mut self, prefill: Prefill, kv_need: u32) {
        self.kv_reserved += kv_need;
        self.prefilling.push_back(prefill);
    }

    /// Spreads the budget of prompt tokens over the prefills in order and returns how much of it was taken.
    pub(super) fn schedule(&mut self, budget: &mut u32) -> u32 {
        let before = *budget;
        for prefill in &mut self.prefilling {
            let take = prefill.left().min(*budget);
            prefill.scheduled += take;
            *budget -= take;
        }
        before - *budget
    }

    /// Gives every decoding sequence one token.
    pub(super) fn decode_step(&mut self) {
        self.kv_held += self.decoding();
        self.decode_steps += 1;
    }

    /// Computes the scheduled prompt tokens and takes out the requests whose prompt is complete.
    pub(super) fn prefill_step(&mut self) -> Vec<Prefill> {
        for prefill in &mut self.prefilling {
            prefill.done += prefill.scheduled;
            self.kv_held += prefill.scheduled;
            prefill.scheduled = 0;
        }
        let complete = self.prefilling.iter().take_while(|prefill| prefill.left() == 0).count();
        self.prefilling.drain(..complete).collect()
    }

    /// Lets a request decode from the next step on; it has its first token already.
    pub(super) fn start_decode(&mut self, prefill: Prefill, first_token: SimTime) {
        let last_step = self.decode_steps + u64::from(prefill.request.output_tokens) - 1;
        self.decoding.push(Reverse(Decode { prefill, first_token, last_step }));
    }

    /// Takes out one request that has all its tokens and frees its KV cache.
    pub(super) fn pop_finished(&mut self) -> Option<Decode> {
        let Reverse(first) = self.decoding.peek()?;
        if first.last_step > self.decode_steps {
            return None;
        }
        let Reverse(done) = self.decoding.pop()?;
        let Request { input_tokens, output_tokens, .. } = done.prefill.request;
        self.kv_held -= input_tokens + output_tokens - 1;
        self.kv_reserved -= input_tokens + output_tokens;
        Some(done)
    }

    pub(super) fn into_requests(self) -> impl Iterator<Item = Request> {
        let decoding = self.decoding.into_iter().map(|Reverse(decode)| decode.prefill.request);
        decoding.chain(self.prefilling.into_iter().map(|prefill| prefill.request))
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
