//! [`Backends`]: the replicas a router chooses from, least pending work first.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::time::SimTime;

/// How old a router's knowledge of pending work may be; what it sent itself it knows at once.
const STALENESS: Duration = Duration::from_millis(100);

/// Replicas in the order in which the next request would go to them.
#[derive(Clone, Debug, Default)]
pub(super) struct Backends {
    positions: Vec<usize>,
    queue: BinaryHeap<Reverse<Backend>>,
    fresh_until: SimTime,
}

/// One replica: ordered by work, then by when it last got a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Backend {
    work: u64,
    last_sent: SimTime,
    position: usize,
}

impl Backends {
    pub(super) fn new(positions: Vec<usize>) -> Self {
        Self { positions, ..Self::default() }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.positions.len()).unwrap_or(u32::MAX)
    }

    /// Asks every replica anew for its pending work, unless that was done a moment ago.
    pub(super) fn refresh(&mut self, now: SimTime, mut work: impl FnMut(usize) -> u64) {
        if now < self.fresh_until && self.queue.len() == self.positions.len() {
            return;
        }
        let mut last_sent = vec![SimTime::ZERO; self.positions.iter().max().map_or(0, |highest| highest + 1)];
        for Reverse(backend) in self.queue.drain() {
            if let Some(sent) = last_sent.get_mut(backend.position) {
                *sent = backend.last_sent;
            }
        }
        let entries = self.positions.iter().map(|position| {
            let last_sent = last_sent.get(*position).copied().unwrap_or_default();
            Reverse(Backend { work: work(*position), last_sent, position: *position })
        });
        self.queue = entries.collect();
        self.fresh_until = now.plus(STALENESS);
    }

    /// Takes the replica with the least pending work; it must be given back.
    pub(super) fn take(&mut self) -> Option<usize> {
        self.queue.pop().map(|Reverse(backend)| backend.position)
    }

    /// Gives a replica back after it got a request.
    pub(super) fn give_back(&mut self, position: usize, work: u64, now: SimTime) {
        self.queue.push(Reverse(Backend { work, last_sent: now, position }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_least_work_and_then_turns() {
        let mut backends = Backends::new(vec![3, 5, 7]);
        backends.refresh(SimTime::ZERO, |position| if position == 5 { 0 } else { 1000 });
        assert_eq!(backends.take(), Some(5));
        backends.give_back(5, 2000, SimTime::from_nanos(1));
        assert_eq!(backends.take(), Some(3));
        backends.give_back(3, 1000, SimTime::from_nanos(2));
        assert_eq!(backends.take(), Some(7), "same work, longer without a request");
        backends.give_back(7, 1000, SimTime::from_nanos(3));

        let soon = SimTime::ZERO.plus(STALENESS / 2);
        backends.refresh(soon, |_| panic!("nobody is asked that early"));
        let later = SimTime::ZERO.plus(STALENESS);
        backends.refresh(later, |_| 0);
        assert_eq!(backends.take(), Some(5), "no work anywhere, longest without a request");
        assert_eq!(Backends::default().take(), None);
    }
}
