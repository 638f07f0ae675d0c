//! What the formula answered lately: how it is stored, and which of it can still win a window.

use std::time::Duration;

use jiff::Timestamp;

use super::{MAX_ENTRIES, Recommendation};
use crate::units::Replicas;

/// Whether something happened strictly less than `span` ago.
pub(crate) fn is_younger(time: Timestamp, span: Duration, now: Timestamp) -> bool {
    now.checked_sub(span).is_ok_and(|edge| time > edge)
}

/// Stores what the formula answered, as the HPA does: over the last entry older than both windows, else at the end.
///
/// `outdated` says whether an entry is older than every window.
pub(crate) fn store(
    entries: &mut Vec<Recommendation>,
    replicas: Replicas,
    now: Timestamp,
    outdated: impl Fn(&Recommendation) -> bool,
) {
    let entry = Recommendation { replicas, time: now };
    match entries.iter().rposition(outdated) {
        Some(last) => entries[last] = entry,
        None => entries.push(entry),
    }
}

/// The windows of one role; a window of zero looks at nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// Over which the lowest recommendation counts; `None` without behavior.
    pub up: Option<Duration>,
    /// Over which the highest recommendation counts.
    pub down: Duration,
    /// Whether an entry exactly at the edge of the down window still counts (without behavior it does, but for a window
    /// of zero: what the HPA stored before it decided is older than its decision).
    pub down_edge_counts: bool,
}

impl Windows {
    /// Whether the up window holds a recommendation.
    pub fn up_holds(&self, entry: &Recommendation, now: Timestamp) -> bool {
        self.up.is_some_and(|window| is_younger(entry.time, window, now))
    }

    /// Whether the down window holds a recommendation.
    pub fn down_holds(&self, entry: &Recommendation, now: Timestamp) -> bool {
        if self.down_edge_counts && !self.down.is_zero() {
            return now.checked_sub(self.down).is_ok_and(|edge| entry.time >= edge);
        }
        is_younger(entry.time, self.down, now)
    }
}

/// Keeps, by time, the entries that can still win a window: none newer is at least as high (down window) or at least as
/// low (up window).
///
/// At most [`MAX_ENTRIES`]. When more could win, the two of a window that lie closest in time become one that has the
/// stronger count of the older and the time of the newer: the window then holds on a little longer, never shorter.
pub(crate) fn prune(entries: &mut Vec<Recommendation>, windows: Windows, now: Timestamp) {
    entries.sort_unstable_by_key(|entry| entry.time);
    let mut highs = winners(entries.iter().filter(|entry| windows.down_holds(entry, now)), |a, b| a > b);
    let mut lows = winners(entries.iter().filter(|entry| windows.up_holds(entry, now)), |a, b| a < b);
    loop {
        let mut both: Vec<Recommendation> = highs.iter().chain(&lows).copied().collect();
        both.sort_unstable_by_key(|entry| (entry.time, entry.replicas));
        both.dedup();
        if both.len() <= MAX_ENTRIES {
            *entries = both;
            return;
        }
        let longer = if highs.len() >= lows.len() { &mut highs } else { &mut lows };
        merge_closest(longer);
    }
}

/// Returns, by time, the entries that no newer one matches or beats.
fn winners<'a>(
    entries: impl DoubleEndedIterator<Item = &'a Recommendation>,
    beats: impl Fn(Replicas, Replicas) -> bool,
) -> Vec<Recommendation> {
    let mut kept: Vec<Recommendation> = Vec::new();
    for entry in entries.rev() {
        match kept.last_mut() {
            Some(last) if !beats(entry.replicas, last.replicas) => {}
            Some(last) if last.time == entry.time => *last = *entry,
            _ => kept.push(*entry),
        }
    }
    kept.reverse();
    kept
}

fn merge_closest(entries: &mut Vec<Recommendation>) {
    let gap = |pair: &[Recommendation]| pair[1].time.duration_since(pair[0].time);
    let Some((at, _)) = entries.windows(2).enumerate().min_by_key(|(_, pair)| gap(pair)) else { return };
    let newer = entries.remove(at + 1);
    entries[at].time = newer.time;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("in range")
    }

    fn entries(list: &[(u32, i64)]) -> Vec<Recommendation> {
        list.iter()
            .map(|(replicas, age)| Recommendation { replicas: Replicas::new(*replicas), time: at(-age) })
            .collect()
    }

    #[test]
    fn keeps_what_can_still_win() {
        struct Case {
            name: &'static str,
            up: Option<u64>,
            down: u64,
            given: &'static [(u32, i64)],
            want: &'static [(u32, i64)],
        }
        let cases = [
            Case {
                name: "a newer and higher one wins",
                up: None,
                down: 300,
                given: &[(4, 120), (5, 60), (3, 0)],
                want: &[(5, 60), (3, 0)],
            },
            Case {
                name: "a newer and lower one wins",
                up: Some(300),
                down: 0,
                given: &[(3, 120), (2, 60), (8, 0)],
                want: &[(2, 60), (8, 0)],
            },
            Case {
                name: "out of both windows",
                up: Some(60),
                down: 300,
                given: &[(9, 400), (1, 100), (7, 10)],
                want: &[(7, 10)],
            },
            Case {
                name: "any order",
                up: None,
                down: 300,
                given: &[(3, 0), (9, 200), (5, 60)],
                want: &[(9, 200), (5, 60), (3, 0)],
            },
            Case {
                name: "the same twice",
                up: Some(60),
                down: 300,
                given: &[(3, 0), (3, 0)],
                want: &[(3, 0)],
            },
            Case {
                name: "at the same time both directions count",
                up: Some(60),
                down: 300,
                given: &[(3, 0), (5, 0)],
                want: &[(3, 0), (5, 0)],
            },
            Case { name: "a window of zero holds nothing", up: None, down: 0, given: &[(8, 0)], want: &[] },
        ];
        for Case { name, up, down, given, want } in cases {
            let windows = Windows {
                up: up.map(Duration::from_secs),
                down: Duration::from_secs(down),
                down_edge_counts: up.is_none(),
            };
            let mut kept = entries(given);
            prune(&mut kept, windows, at(0));
            assert_eq!(kept, entries(want), "{name}");
        }
    }

    #[test]
    fn too_many_hold_on_longer_never_shorter() {
        let windows = Windows { up: None, down: Duration::from_secs(3600), down_edge_counts: false };
        let given: Vec<(u32, i64)> = (0..100).map(|i| (200 - i, 3000 - 15 * i64::from(i))).collect();
        let exact = entries(&given);
        let mut kept = exact.clone();
        prune(&mut kept, windows, at(0));
        assert_eq!(kept.len(), MAX_ENTRIES);
        for later in (0..3600).step_by(7) {
            let highest = |list: &[Recommendation]| {
                list.iter().filter(|e| windows.down_holds(e, at(later))).map(|e| e.replicas).max()
            };
            assert!(highest(&kept) >= highest(&exact), "{later} s later the window lets go too early");
        }
    }
}
