//! [`Standing`]: the last answer to each query that is kept up, and until when it stands.
//!
//! A new interval begins for everybody at once. Nobody waits for its answers: the one before stands until the new one has been read,
//! or until it ought to have been.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use crate::engine::vector::Vector;

/// How long an answer stands at most after the next one is due.
const OVERDUE: Duration = Duration::from_secs(5);

/// What Prometheus answered to a query at an instant.
#[derive(Debug)]
pub struct Answered {
    /// The values.
    pub vector: Vector,
    /// The instant.
    at: Timestamp,
    is_replaced: AtomicBool,
}

/// The last answers by query.
#[derive(Default)]
pub struct Standing {
    answers: Mutex<HashMap<String, Arc<Answered>>>,
}

impl Answered {
    /// Returns the answer to a query at an instant.
    pub fn new(vector: Vector, at: Timestamp) -> Self {
        Self { vector, at, is_replaced: AtomicBool::new(false) }
    }

    /// Says whether a newer answer is there.
    pub fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Relaxed)
    }

    /// Until when it stands if no newer one comes.
    pub fn until(&self, interval: Duration) -> Timestamp {
        let lasts = interval + OVERDUE.min(interval / 2);
        self.at.checked_add(lasts).unwrap_or(Timestamp::MAX)
    }
}

impl Standing {
    /// Returns the answer that stands.
    pub fn get(&self, promql: &str, now: Timestamp, interval: Duration) -> Option<Arc<Answered>> {
        self.answers().get(promql).filter(|answered| now < answered.until(interval)).cloned()
    }

    /// Takes in an answer unless there is a newer one.
    pub fn put(&self, promql: &str, answered: &Arc<Answered>) {
        let mut answers = self.answers();
        if answers.get(promql).is_some_and(|known| known.at > answered.at) {
            return;
        }
        let before = answers.insert(promql.to_owned(), answered.clone());
        drop(answers);
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, answered)) {
            before.is_replaced.store(true, Ordering::Relaxed);
        }
    }

    /// Lets go of the answers to all other queries.
    pub fn retain(&self, is_kept_up: impl Fn(&str) -> bool) {
        self.answers().retain(|promql, _| is_kept_up(promql));
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<String, Arc<Answered>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stands_until_the_next_ought_to_be_there() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("in range");
        let answered = |second| Arc::new(Answered::new(Vector::default(), at(second)));
        let (standing, interval) = (Standing::default(), Duration::from_secs(15));
        let found = |second| standing.get("up", at(second), interval).map(|answered| answered.at);
        assert_eq!(found(0), None);
        let first = answered(0);
        standing.put("up", &first);
        for (second, want) in [(0, Some(at(0))), (15, Some(at(0))), (19, Some(at(0))), (20, None)] {
            assert_eq!(found(second), want, "{second}");
        }
        standing.put("up", &first);
        assert!(!first.is_replaced());
        standing.put("up", &answered(15));
        assert!(first.is_replaced());
        standing.put("up", &first);
        assert_eq!(found(30), Some(at(15)), "a late answer does not replace a newer one");
        standing.retain(|promql| promql != "up");
        assert_eq!(found(15), None);
        assert_eq!(answered(0).until(Duration::from_secs(1)), at(1) + Duration::from_millis(500));
    }
}
