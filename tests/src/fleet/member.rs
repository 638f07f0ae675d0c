//! [`Member`]: a pod of the fleet with its engine, if it has one.

use super::{
    endpoint::{Endpoint, Target},
    engine::Engine,
    exposition::{Dialect, Reading},
    pin::{Fault, Pin, Pinned},
    request::Request,
    time::SimTime,
};

/// A pod and what runs in it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) endpoint: Endpoint,
    /// Present while the pod is Ready and answers for its replica.
    pub(super) engine: Option<Engine>,
    /// Whether requests are sent to it: its whole replica is Ready and none of it is being deleted.
    pub(super) serving: bool,
    pub(super) fault: Option<Fault>,
    started: SimTime,
    pinned: Pinned,
}

/// The requests that a gateway has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passing {
    /// Requests it holds, because no replica takes them.
    pub(super) held: u32,
    /// Prompt tokens of those.
    pub(super) held_tokens: u32,
    /// Requests it sent on that are not finished.
    pub(super) sent_on: u32,
    /// Requests that ever arrived.
    pub(super) arrived: u64,
}

impl Member {
    pub(super) fn new(endpoint: Endpoint, now: SimTime) -> Self {
        let pinned = Pinned::new(endpoint.dialect.buckets(), now);
        Self { endpoint, engine: None, serving: false, fault: None, started: now, pinned }
    }

    /// Starts or stops the engine as the pod's readiness and that of its gang say; returns the requests that were lost.
    pub(super) fn settle(&mut self, gang_is_ready: bool, now: SimTime) -> Vec<Request> {
        let wanted =
            gang_is_ready && self.endpoint.ready && self.endpoint.leads() && self.endpoint.address.is_some();
        if wanted && self.engine.is_none() {
            self.engine = Some(Engine::new(self.endpoint.model, self.endpoint.dialect.buckets()));
            self.pinned = Pinned::new(self.endpoint.dialect.buckets(), now);
            self.started = now;
        }
        if wanted {
            Vec::new()
        } else {
            self.engine.take().map_or_else(Vec::new, |mut engine| engine.abandon())
        }
    }

    /// Reports whether it is a gateway that answers.
    pub(super) fn is_gateway(&self) -> bool {
        self.endpoint.dialect == Dialect::Gateway && self.engine.is_some()
    }

    /// Takes the last pin and the last fault that name this pod.
    pub(super) fn overrule(
        &mut self,
        pins: &[(Target, Pin)],
        faults: &[(Target, Fault)],
        now: SimTime,
        speed: f64,
    ) {
        let pin = pins.iter().rfind(|(target, _)| target.matches(&self.endpoint));
        self.pinned.set(pin.map_or_else(Pin::default, |(_, pin)| *pin), now, speed);
        let fault = faults.iter().rfind(|(target, _)| target.matches(&self.endpoint));
        self.fault = fault.map(|(_, fault)| *fault);
    }

    /// Returns what its metrics say; `None` without an engine. `origin` is the fleet's beginning in Unix seconds,
    /// `passing` what a gateway sees of the requests behind it.
    pub(super) fn reading(
        &mut self,
        now: SimTime,
        origin: f64,
        speed: f64,
        passing: Passing,
    ) -> Option<Reading> {
        let engine = self.engine.as_ref()?;
        let model = engine.model();
        let pending: f64 = engine.waiting_requests().map(|request| f64::from(request.input_tokens)).sum();
        let mut reading = Reading {
            model_name: model.model_name,
            queue_length: f64::from(engine.waiting()),
            running_requests: f64::from(engine.running()),
            kv_cache_usage: f64::from(engine.kv_tokens()) / f64::from(model.kv_capacity),
            kv_capacity: model.kv_capacity,
            pending_tokens: pending,
            generation_throughput: engine.throughput(),
            created: origin + self.started.seconds() / speed,
            statistics: engine.statistics().clone(),
        };
        reading.queue_length += f64::from(passing.held);
        reading.pending_tokens += f64::from(passing.held_tokens);
        reading.running_requests += f64::from(passing.sent_on);
        reading.statistics.finished += passing.arrived;
        self.pinned.apply(&mut reading, now, speed);
        if self.fault == Some(Fault::NotANumber) {
            for gauge in [
                &mut reading.queue_length,
                &mut reading.running_requests,
                &mut reading.kv_cache_usage,
                &mut reading.pending_tokens,
                &mut reading.generation_throughput,
            ] {
                *gauge = f64::NAN;
            }
        }
        Some(reading)
    }
}
