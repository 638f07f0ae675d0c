//! [`Track`]: what the demo saw of one workload, second by second, and what it came to.

use crate::fleet::{record::Sample, record::Summary};

use super::scenario::Stream;
use super::view::View;

/// The replicas of a workload at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Wall seconds since the load began.
    pub at: f64,
    /// Replicas that serve.
    pub ready: u32,
    /// Replicas asked for.
    pub replicas: u32,
}

/// One workload through the whole demo.
#[derive(Clone, Debug)]
pub struct Track {
    /// Which workload.
    pub stream: Stream,
    /// Its replicas over time.
    pub points: Vec<Point>,
    /// The last decision in words, or what is wrong at the moment.
    pub told: String,
}

impl Track {
    /// Returns an empty track.
    pub const fn new(stream: Stream) -> Self {
        Self { stream, points: Vec::new(), told: String::new() }
    }

    /// Notes what is seen at that time; returns whether [`Track::told`] is news.
    pub fn note(&mut self, at: f64, view: &View) -> bool {
        self.points.push(Point { at, ready: view.ready, replicas: view.replicas });
        let told = view.trouble.as_ref().or(view.decision.as_ref());
        let new = told.is_some_and(|told| *told != self.told);
        self.told = told.cloned().unwrap_or_default();
        new
    }

    /// Returns each count that was asked for, in order, without repetition: `4 → 8 → 12 → 8 → 4`.
    pub fn counts(&self) -> Vec<u32> {
        let mut counts: Vec<u32> = self.points.iter().map(|point| point.replicas).collect();
        counts.dedup();
        counts
    }

    /// Returns whether every count was a whole number of gangs.
    pub fn only_whole_gangs(&self) -> bool {
        self.points.iter().all(|point| point.replicas % self.stream.gang == 0)
    }

    /// Returns the line of the closing table.
    pub fn summary(&self, samples: &[Sample], summary: &Summary) -> String {
        let counts: Vec<String> = self.counts().iter().map(ToString::to_string).collect();
        let longest = samples.iter().map(Sample::queue_length).max().unwrap_or_default();
        format!(
            "{:8}  replicas {}\n          {} requests, {:.1} % within the objective, longest queue {longest}, {:.1} replica-hours ready",
            self.stream.name,
            counts.join(" → "),
            summary.sent,
            summary.attainment() * 100.0,
            summary.ready_replica_seconds / 3600.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::STREAMS;
    use super::*;

    #[test]
    fn counts_and_decisions_are_told_once() {
        let mut track = Track::new(STREAMS[1]);
        let view = |replicas, decision: Option<&str>| View {
            ready: 4,
            replicas,
            desired: replicas,
            decision: decision.map(ToOwned::to_owned),
            trouble: None,
        };
        assert!(!track.note(0.0, &view(4, None)));
        assert!(track.note(1.0, &view(4, Some("so 8"))));
        assert!(!track.note(2.0, &view(8, Some("so 8"))));
        assert_eq!(track.told, "so 8");
        assert_eq!(track.counts(), [4, 8]);
        assert!(track.only_whole_gangs());
        track.note(3.0, &view(6, None));
        assert!(!track.only_whole_gangs(), "6 is no whole number of gangs of 4");
    }
}
