//! [`Health`]: whether the loop lives, and whether it has seen enough to decide.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use jiff::Timestamp;

/// A loop that was not seen for this many seconds hangs.
const HANGS_AFTER: i64 = 60;

/// What the endpoints of health answer.
#[derive(Debug)]
pub struct Health {
    ready: AtomicBool,
    last_beat: AtomicI64,
    waits_for: Mutex<Vec<&'static str>>,
}

impl Health {
    /// Returns a health that is alive from `now` on and not ready.
    pub fn new(now: Timestamp) -> Self {
        Self {
            ready: AtomicBool::new(false),
            last_beat: AtomicI64::new(now.as_second()),
            waits_for: Mutex::new(vec!["the first lists"]),
        }
    }

    /// The loop went round.
    pub fn beat(&self, now: Timestamp) {
        self.last_beat.store(now.as_second(), Ordering::Relaxed);
    }

    /// The loop waits for these kinds to be listed; ready when there are none.
    pub fn waits_for(&self, kinds: &[&'static str]) {
        if self.ready.swap(kinds.is_empty(), Ordering::Relaxed) && kinds.is_empty() {
            return;
        }
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = kinds.to_vec();
    }

    /// Returns whether decisions can be made.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Returns why the program is not ready.
    pub fn not_ready(&self) -> Option<String> {
        let kinds = self.waits_for.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.is_ready()).then(|| format!("waiting for {}", kinds.join(", ")))
    }

    /// Returns why the program is not alive.
    pub fn not_alive(&self, now: Timestamp) -> Option<String> {
        let silent = now.as_second() - self.last_beat.load(Ordering::Relaxed);
        (silent > HANGS_AFTER).then(|| format!("the control loop has not gone round for {silent} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_everything_is_listed_and_alive_while_it_goes_round() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let health = Health::new(at(0));
        health.waits_for(&["RoleBasedGroup", "Pod"]);
        assert_eq!(health.not_ready().as_deref(), Some("waiting for RoleBasedGroup, Pod"));
        health.waits_for(&[]);
        assert_eq!(health.not_ready(), None);
        assert_eq!(health.not_alive(at(60)), None);
        assert!(health.not_alive(at(61)).is_some());
        health.beat(at(61));
        assert_eq!(health.not_alive(at(100)), None);
    }
}
