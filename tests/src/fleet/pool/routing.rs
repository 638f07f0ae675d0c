//! The router: requests go at once to the ready replica with the least pending work, or wait at the gateway for one.
//!
//! It knows how long answers will be and what is pending everywhere, at most 100 ms ago: an upper bound of what a real one does. Queued requests never move again, unless
//! their pod is lost: then they are sent once more from the start. Clients never give up.

use super::{Pool, present};
use crate::fleet::{
    backends::Backends,
    load::Running,
    member::Member,
    request::{Completion, Request},
    time::SimTime,
};

impl Pool {
    /// Runs everything up to `now`: arrivals in their order, then the engines. Going back does nothing.
    pub fn advance(&mut self, now: SimTime) {
        if now <= self.now {
            return;
        }
        for load in &mut self.loads {
            let present = present(&self.members, load);
            load.record.pass(now.since(self.now), &present);
        }
        while let Some((at, index)) = self.next_arrival()
            && at <= now
        {
            let Some(load) = self.loads.get_mut(index) else { break };
            let Some(arrival) = load.pop_arrival() else { break };
            self.sent += 1;
            load.record.send(at);
            let request = Request {
                id: self.sent,
                load: index,
                sent: at,
                input_tokens: arrival.input_tokens,
                output_tokens: arrival.output_tokens,
            };
            send(&mut self.members, load, request, at, &mut self.finished);
        }
        for engine in self.members.iter_mut().filter_map(|member| member.engine.as_mut()) {
            engine.advance(now, &mut self.finished);
        }
        for completion in self.finished.drain(..) {
            if let Some(load) = self.loads.get_mut(completion.request.load) {
                load.record.complete(completion);
            }
        }
        self.now = now;
    }

    fn next_arrival(&self) -> Option<(SimTime, usize)> {
        let arrivals = self.loads.iter().enumerate();
        arrivals.filter_map(|(index, load)| load.next_arrival().map(|at| (at, index))).min()
    }

    /// Finds out anew which members serve which load, then sends the lost requests and those held.
    pub(super) fn route_again(&mut self, mut lost: Vec<Request>) {
        lost.sort_by_key(|request| (request.sent, request.id));
        for (index, load) in self.loads.iter_mut().enumerate() {
            let members = self.members.iter().enumerate();
            let chosen = members.filter(|(_, member)| load.target.matches(&member.endpoint));
            load.pods = chosen.map(|(position, _)| position).collect();
            let serves = |position: &usize| self.members.get(*position).is_some_and(|member| member.serving);
            load.backends = Backends::new(load.pods.iter().copied().filter(serves).collect());
            for request in lost.iter().rev().filter(|request| request.load == index) {
                load.record.resent += 1;
                load.held.push_front(*request);
            }
            for request in std::mem::take(&mut load.held) {
                send(&mut self.members, load, request, self.now, &mut self.finished);
            }
        }
    }
}

/// Sends a request to the replica with the least pending work, or keeps it at the gateway when there is none.
fn send(
    members: &mut [Member],
    load: &mut Running,
    request: Request,
    now: SimTime,
    finished: &mut Vec<Completion>,
) {
    load.backends.refresh(now, |position| {
        let engine = members.get_mut(position).and_then(|member| member.engine.as_mut());
        engine.map_or(u64::MAX, |engine| {
            engine.advance(now, finished);
            engine.pending_work()
        })
    });
    let Some(position) = load.backends.take() else {
        load.held.push_back(request);
        return;
    };
    let Some(engine) = members.get_mut(position).and_then(|member| member.engine.as_mut()) else { return };
    engine.advance(now, finished);
    if engine.enqueue(request, now).is_err() {
        load.record.refused += 1;
    }
    load.backends.give_back(position, engine.pending_work(), now);
}
