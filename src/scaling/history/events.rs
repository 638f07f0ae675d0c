//! Changes of the count that still enter a limit.

use std::time::Duration;

use jiff::Timestamp;

use super::{MAX_ENTRIES, ScaleEvent};
use crate::{
    policy::{Behavior, ScalingRules},
    scaling::history::recommendations::is_younger,
    units::{GangSize, Replicas},
};

impl ScaleEvent {
    /// Whether the count rose.
    pub fn is_up(&self) -> bool {
        self.to > self.from
    }

    /// By how many replicas it changed.
    pub const fn change(&self) -> u32 {
        self.to.get().abs_diff(self.from.get())
    }
}

/// Returns how many replicas were added and removed strictly less than `period` ago.
pub(crate) fn changes(events: &[ScaleEvent], period: Duration, now: Timestamp) -> (i64, i64) {
    let (mut added, mut removed) = (0_i64, 0_i64);
    for event in events.iter().filter(|event| is_younger(event.time, period, now)) {
        let sum = if event.is_up() { &mut added } else { &mut removed };
        *sum += i64::from(event.change());
    }
    (added, removed)
}

/// Returns the longest period of one direction's policies.
pub(crate) fn longest_period(rules: &ScalingRules) -> Duration {
    rules.policies.iter().map(|policy| policy.period).max().unwrap_or_default()
}

/// Stores a change as the HPA does: the youngest event of its direction that is older than the direction's longest
/// period makes room, so that it no longer enters the other direction's limit.
pub(crate) fn store(events: &mut Vec<ScaleEvent>, event: ScaleEvent, behavior: &Behavior) {
    if event.from == event.to {
        return;
    }
    let longest = longest_period(if event.is_up() { &behavior.up } else { &behavior.down });
    let outdated = events
        .iter()
        .enumerate()
        .filter(|(_, old)| old.is_up() == event.is_up())
        .filter(|(_, old)| event.time.checked_sub(longest).is_ok_and(|edge| old.time < edge))
        .max_by_key(|(_, old)| old.time)
        .map(|(at, _)| at);
    match outdated {
        Some(at) => events[at] = event,
        None => events.push(event),
    }
}

/// How long an event is remembered: the longest period, and for gangs as long as one may have to wait for its turn.
pub(crate) fn retention(behavior: &Behavior, gang: GangSize) -> Duration {
    longest_period(&behavior.up).max(longest_period(&behavior.down)).saturating_mul(gang.get())
}

/// Keeps, by time, what still counts; at most [`MAX_ENTRIES`].
///
/// When there are more, the two oldest of one direction become one with the sum of both and the time of the newer:
/// they then count a little longer, never shorter.
pub(crate) fn prune(events: &mut Vec<ScaleEvent>, retention: Duration, now: Timestamp) {
    events.retain(|event| is_younger(event.time, retention, now) && event.from != event.to);
    events.sort_by_key(|event| event.time);
    while events.len() > MAX_ENTRIES {
        let first_up = events[0].is_up();
        let Some(next) = events.iter().skip(1).position(|event| event.is_up() == first_up) else {
            // One lone event of its direction in front: merge behind it.
            if let Some(second) = events.get(2).copied() {
                let first = events.remove(1);
                events[1] = joined(first, second);
            }
            continue;
        };
        let second = events[next + 1];
        events[next + 1] = joined(events[0], second);
        events.remove(0);
    }
}

fn joined(older: ScaleEvent, newer: ScaleEvent) -> ScaleEvent {
    let change = older.change().saturating_add(newer.change());
    let to = if newer.is_up() {
        older.from.get().saturating_add(change)
    } else {
        older.from.get().saturating_sub(change)
    };
    if to.abs_diff(older.from.get()) == change {
        return ScaleEvent { from: older.from, to: Replicas::new(to), time: newer.time };
    }
    // Below zero: keep the change, start higher.
    ScaleEvent { from: Replicas::new(change), to: Replicas::ZERO, time: newer.time }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("in range")
    }

    fn event(from: u32, to: u32, age: i64) -> ScaleEvent {
        ScaleEvent { from: Replicas::new(from), to: Replicas::new(to), time: at(-age) }
    }

    #[test]
    fn sums_only_what_is_younger_than_the_period() {
        let events = [event(1, 4, 60), event(4, 9, 59), event(9, 7, 10)];
        assert_eq!(changes(&events, Duration::from_secs(60), at(0)), (5, 2));
    }

    #[test]
    fn an_outdated_event_of_the_same_direction_makes_room() {
        let behavior = Behavior::default();
        let mut events = vec![event(1, 2, 40), event(2, 3, 20), event(3, 2, 30)];
        store(&mut events, event(2, 5, 0), &behavior);
        assert_eq!(events, [event(1, 2, 40), event(2, 5, 0), event(3, 2, 30)]);
    }

    #[test]
    fn events_are_stored_as_the_hpa_stores_them() {
        use crate::vectors::{self, int, list, name, now, of_scope, seconds};
        for vector in of_scope("storeEvent") {
            for up in [true, false] {
                let (input, expect) = (&vector["input"], &vector["expect"]);
                let mut events = vectors::events(&input["events"], up);
                let (added, removed) = changes(&events, seconds(&input["queryPeriodSeconds"]), now());
                assert_eq!(added + removed, int(&expect["changeInPeriod"]), "{}", name(&vector));
                let mut behavior = Behavior::default();
                vectors::fill(if up { &mut behavior.up } else { &mut behavior.down }, &input["rules"]);
                let change = serde_json::json!([{"change": input["change"], "ageSeconds": 0}]);
                if !input["rules"].is_null() {
                    store(&mut events, vectors::events(&change, up)[0], &behavior);
                }
                let stored: Vec<i64> = events.iter().map(|event| event.change().into()).collect();
                let wanted: Vec<i64> =
                    list(&expect["events"]).iter().map(|event| int(&event["change"])).collect();
                assert_eq!(stored, wanted, "{} (up: {up})", name(&vector));
            }
        }
    }

    #[test]
    fn too_many_count_longer_never_shorter() {
        let exact: Vec<_> = (0..90)
            .map(|i| if i % 3 == 0 { event(50, 48, 900 - i * 10) } else { event(50, 51, 900 - i * 10) })
            .collect();
        let mut kept = exact.clone();
        prune(&mut kept, Duration::from_secs(1800), at(0));
        assert_eq!(kept.len(), MAX_ENTRIES);
        for period in (1..1800).step_by(13).map(Duration::from_secs) {
            let (all, left) = (changes(&exact, period, at(0)), changes(&kept, period, at(0)));
            assert!(left.0 >= all.0 && left.1 >= all.1, "{period:?}: {left:?} forgets of {all:?}");
        }
        assert_eq!(changes(&kept, Duration::from_secs(1800), at(0)), (60, 60));
    }
}
