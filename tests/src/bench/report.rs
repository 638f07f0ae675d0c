//! [`Report`]: figures side by side, and whether they are what we promise.

use std::time::Duration;

use super::{contestant::Contestant, load::Outcome};

/// Times the peer's requests per second, its throttle lifted.
const GOAL_FACTOR: f64 = 100.0;
/// Of requests over 16 connections at 70 % of the peak.
const GOAL_P99: Duration = Duration::from_millis(5);
/// Resident memory in MiB by pods in all.
const GOAL_MEMORY: [(usize, f64); 2] = [(1_000, 45.0), (10_000, 150.0)];
/// Queries to Prometheus per sync of 100 HPAs on one metric.
const GOAL_QUERIES: f64 = 1.0;

/// What a load cost the server.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// Processor time per request.
    pub per_request: Duration,
    /// The share of its core that was used.
    pub busy: f64,
}

/// All figures of one contestant with a number of pods.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who.
    pub contestant: Contestant,
    /// Pods in all.
    pub pods: usize,
    /// Over one connection.
    pub one: Outcome,
    /// Over 16 connections, as fast as it can.
    pub many: Outcome,
    /// What `many` cost.
    pub costs: Costs,
    /// Over 16 connections at 70 % of that.
    pub paced: Outcome,
    /// For how long others kept server and client from their cores meanwhile.
    pub kept_waiting: (Duration, Duration),
    /// Answers with more pods each, over 16 connections.
    pub larger: Vec<(usize, Outcome)>,
    /// Queries to Prometheus per sync of 100 HPAs.
    pub queries: Option<f64>,
    /// Resident memory in MiB: at the end, and at its highest.
    pub memory: (f64, f64),
}

/// All rows so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

/// Says what is being done, on one line.
pub fn say(what: &str) {
    println!("  {what}");
}

/// Prints what the columns are.
pub fn heading(pods: usize) {
    println!("\n{pods} pods in all; 20 per answer unless said otherwise; c = connections");
    println!(
        "{:36} {:>9} {:>8} {:>8} {:>9} {:>8} {:>8} {:>9} {:>9} {:>6} {:>12} {:>8}",
        "",
        "1c req/s",
        "p50",
        "p99",
        "16c req/s",
        "p50",
        "p99",
        "p99@70%",
        "CPU/req",
        "busy",
        "RSS (most)",
        "queries"
    );
}

impl Row {
    /// Prints it.
    pub fn print(&self) {
        let (now, most) = self.memory;
        println!(
            "{:36} {:>9.1} {:>8} {:>8} {:>9.1} {:>8} {:>8} {:>9} {:>9} {:>5.0}% {:>12} {:>8}",
            self.contestant.name(),
            self.one.per_second(),
            short(self.one.percentile(50)),
            short(self.one.percentile(99)),
            self.many.per_second(),
            short(self.many.percentile(50)),
            short(self.many.percentile(99)),
            short(self.paced.percentile(99)),
            short(self.costs.per_request),
            self.costs.busy * 100.0,
            format!("{now:.0} ({most:.0}) MiB"),
            self.queries.map(|queries| format!("{queries:.1}")).unwrap_or_default(),
        );
        let (server, client) = self.kept_waiting;
        println!(
            "{:36} p50 {}, p99 {}, most {}; kept from its core: server {}, client {}",
            format!("  at {:.0} req/s", self.paced.per_second()),
            short(self.paced.percentile(50)),
            short(self.paced.percentile(99)),
            short(self.paced.percentile(100)),
            short(server),
            short(client),
        );
        for (size, outcome) in &self.larger {
            println!(
                "{:36} {:>9} {:>8} {:>8} {:>9.1} {:>8} {:>8}   {} kB each",
                format!("  {size} pods per answer"),
                "",
                "",
                "",
                outcome.per_second(),
                short(outcome.percentile(50)),
                short(outcome.percentile(99)),
                outcome.mean_bytes() / 1000,
            );
        }
    }
}

impl Report {
    /// Adds the figures of one.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Prints goals and what came of them; says whether all are met.
    pub fn conclude(&self) -> bool {
        println!();
        let mut all = true;
        let mut goal = |what: String, is_met: bool| {
            all &= is_met;
            println!("{} {what}", if is_met { "met   " } else { "MISSED" });
        };
        for row in self.rows.iter().filter(|row| row.contestant.is_ours()) {
            let (name, pods) = (row.contestant.name(), row.pods);
            let peer = self
                .rows
                .iter()
                .find(|peer| peer.pods == pods && peer.contestant == Contestant::PeerUnthrottled);
            if let Some(peer) = peer {
                for (connections, own, theirs) in [(1, &row.one, &peer.one), (16, &row.many, &peer.many)] {
                    let factor = own.per_second() / theirs.per_second().max(f64::EPSILON);
                    goal(
                        format!(
                            "{name}, {pods} pods, {connections} connections: {factor:.0} times the requests/s of prometheus-adapter \
                             without its throttle (goal {GOAL_FACTOR:.0})"
                        ),
                        factor >= GOAL_FACTOR,
                    );
                }
            }
            let p99 = row.paced.percentile(99);
            goal(
                format!(
                    "{name}, {pods} pods: p99 {} at 70 % of the peak (goal {})",
                    short(p99),
                    short(GOAL_P99)
                ),
                p99 <= GOAL_P99,
            );
            if let Some((_, most)) = GOAL_MEMORY.iter().find(|(limit, _)| *limit == pods) {
                goal(
                    format!("{name}, {pods} pods: {:.0} MiB resident (goal {most:.0})", row.memory.0),
                    row.memory.0 <= *most,
                );
            }
            if let Some(queries) = row.queries {
                goal(
                    format!(
                        "{name}: {queries:.1} queries to Prometheus per sync of 100 HPAs (goal {GOAL_QUERIES:.0})"
                    ),
                    queries <= GOAL_QUERIES,
                );
            }
        }
        all
    }
}

/// A duration with three digits or so.
fn short(duration: Duration) -> String {
    let microseconds = duration.as_secs_f64() * 1e6;
    match microseconds {
        ..1000.0 => format!("{microseconds:.0} µs"),
        1000.0..10_000.0 => format!("{:.2} ms", microseconds / 1e3),
        10_000.0..1_000_000.0 => format!("{:.0} ms", microseconds / 1e3),
        _ => format!("{:.1} s", microseconds / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (microseconds, want) in
            [(0, "0 µs"), (999, "999 µs"), (1234, "1.23 ms"), (12_345, "12 ms"), (2_500_000, "2.5 s")]
        {
            assert_eq!(short(Duration::from_micros(microseconds)), want);
        }
    }
}
