//! [`Load`]: a trace replayed against a choice of pods, and the gateway's view of it.

use std::{collections::VecDeque, sync::Arc};

use super::{
    backends::Backends,
    endpoint::Target,
    record::Record,
    request::Request,
    time::SimTime,
    trace::{Arrival, Trace},
};

/// A stream of requests.
#[derive(Clone, Debug)]
pub struct Load {
    /// The pods the requests are spread over: those of one role, say.
    pub target: Target,
    /// When requests arrive, from the moment the load is added, and how long they are.
    pub trace: Arc<Trace>,
    /// Whether the trace starts again when it is over.
    pub repeat: bool,
}

impl Load {
    /// Returns the load that replays a trace once.
    pub fn once(target: Target, trace: Trace) -> Self {
        Self { target, trace: Arc::new(trace), repeat: false }
    }
}

/// A load under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) target: Target,
    /// Requests at the gateway, oldest first.
    pub(super) held: VecDeque<Request>,
    /// Members that the target chooses, as positions in the pool.
    pub(super) pods: Vec<usize>,
    /// Those of them that take requests.
    pub(super) backends: Backends,
    pub(super) record: Record,
    trace: Arc<Trace>,
    repeat: bool,
    starts: SimTime,
    next: usize,
    stopped: bool,
}

impl Running {
    pub(super) fn new(load: Load, now: SimTime) -> Self {
        Self {
            target: load.target,
            held: VecDeque::new(),
            pods: Vec::new(),
            backends: Backends::default(),
            record: Record::new(now),
            trace: load.trace,
            repeat: load.repeat,
            starts: now,
            next: 0,
            stopped: false,
        }
    }

    /// Returns when the next request arrives; `None` when no more will come.
    pub(super) fn next_arrival(&self) -> Option<SimTime> {
        self.peek().map(|arrival| self.starts.plus(arrival.at.since(SimTime::ZERO)))
    }

    /// Takes the next arrival out of the trace.
    pub(super) fn pop_arrival(&mut self) -> Option<Arrival> {
        let arrival = self.peek()?;
        self.next += 1;
        if self.repeat && self.next == self.trace.arrivals().len() {
            self.next = 0;
            self.starts = self.starts.plus(self.trace.span());
        }
        Some(arrival)
    }

    /// Sends nothing more; what was sent goes on.
    pub(super) const fn stop(&mut self) {
        self.stopped = true;
    }

    fn peek(&self) -> Option<Arrival> {
        if self.stopped {
            return None;
        }
        self.trace.arrivals().get(self.next).copied()
    }
}
