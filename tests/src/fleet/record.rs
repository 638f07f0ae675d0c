//! What happened to the requests of one load, second by second ([`Sample`]) and in all ([`Summary`]).

use std::{fmt, time::Duration};

use super::{request::Completion, time::SimTime};

/// The state of a load at one moment, and what happened since the sample before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: SimTime,
    /// Time since the sample before.
    pub span: Duration,
    /// Requests sent since then.
    pub sent: u32,
    /// Requests finished since then.
    pub completed: u32,
    /// Of these, the ones that met the objective.
    pub met: u32,
    /// 95th percentile of their time to first token; `None` when none finished.
    pub ttft_p95: Option<Duration>,
    /// Requests held at the gateway because no replica is ready.
    pub held: u32,
    /// Requests waiting inside engines.
    pub waiting: u32,
    /// Requests running.
    pub running: u32,
    /// Replicas that take requests.
    pub ready_replicas: u32,
    /// Pods that hold their GPUs, ready or not.
    pub bound_pods: u32,
}

impl Sample {
    /// Returns the arrival rate, requests per simulated second.
    pub fn rate(&self) -> f64 {
        f64::from(self.sent) / self.span.as_secs_f64().max(f64::EPSILON)
    }

    /// Returns all requests without a place in a batch, at the gateway and inside engines.
    pub const fn queue_length(&self) -> u32 {
        self.held + self.waiting
    }
}

/// What a load came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Requests sent.
    pub sent: u64,
    /// Requests finished.
    pub completed: u64,
    /// Of these, the ones that met the objective.
    pub met: u64,
    /// Requests refused because they can never fit into a KV cache.
    pub refused: u64,
    /// Requests sent once more because their pod was lost.
    pub resent: u64,
    /// Requests not finished yet that already missed the objective: they wait longer than it allows.
    pub overdue: u64,
    /// Median time to first token.
    pub ttft_p50: Duration,
    /// 95th percentile of the time to first token.
    pub ttft_p95: Duration,
    /// 99th percentile of the time to first token.
    pub ttft_p99: Duration,
    /// 95th percentile of the mean time per output token.
    pub tpot_p95: Duration,
    /// Time of ready replicas, seconds.
    pub ready_replica_seconds: f64,
    /// Time of pods that hold their GPUs, ready or not, seconds.
    pub bound_pod_seconds: f64,
}

impl Summary {
    /// Returns the share of requests that met the objective, 0 to 1; refused and overdue ones did not.
    pub fn attainment(&self) -> f64 {
        let judged = self.completed + self.refused + self.overdue;
        if judged == 0 { 1.0 } else { ratio(self.met, judged) }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} finished, {:.1} % within the objective, time to first token p50 {:.2} s, p95 {:.2} s, \
             p99 {:.2} s, time per token p95 {:.0} ms, {} sent again, {} refused",
            self.sent,
            self.completed,
            self.attainment() * 100.0,
            self.ttft_p50.as_secs_f64(),
            self.ttft_p95.as_secs_f64(),
            self.ttft_p99.as_secs_f64(),
            self.tpot_p95.as_secs_f64() * 1000.0,
            self.resent,
            self.refused,
        )
    }
}

/// Everything kept about one load.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) refused: u64,
    pub(super) resent: u64,
    sent: Vec<SimTime>,
    completions: Vec<Completion>,
    ready_replica_seconds: f64,
    bound_pod_seconds: f64,
    sampled: Sampled,
}

/// Where the last sample stood.
#[derive(Clone, Copy, Debug, Default)]
struct Sampled {
    at: SimTime,
    sent: usize,
    completions: usize,
}

/// What is true now, for a sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Present {
    pub(super) held: u32,
    pub(super) waiting: u32,
    pub(super) running: u32,
    pub(super) ready_replicas: u32,
    pub(super) bound_pods: u32,
}

impl Record {
    pub(super) fn new(now: SimTime) -> Self {
        Self { sampled: Sampled { at: now, ..Sampled::default() }, ..Self::default() }
    }

    /// Notes a request's sending; times never go back.
    pub(super) fn send(&mut self, at: SimTime) {
        self.sent.push(at);
    }

    /// Returns how many requests were sent.
    pub(super) fn sent(&self) -> u64 {
        u64::try_from(self.sent.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn complete(&mut self, completion: Completion) {
        self.completions.push(completion);
    }

    /// Counts the time that passed with that many replicas and pods.
    pub(super) fn pass(&mut self, span: Duration, present: &Present) {
        self.ready_replica_seconds += span.as_secs_f64() * f64::from(present.ready_replicas);
        self.bound_pod_seconds += span.as_secs_f64() * f64::from(present.bound_pods);
    }

    pub(super) fn sample(&mut self, now: SimTime, present: &Present) -> Sample {
        let recent = self.completions.get(self.sampled.completions..).unwrap_or_default();
        let met = recent.iter().filter(|completion| completion.meets_objective()).count();
        let mut ttfts: Vec<Duration> = recent.iter().map(Completion::ttft).collect();
        ttfts.sort_unstable();
        let sample = Sample {
            at: now,
            span: now.since(self.sampled.at),
            sent: count(self.sent.len() - self.sampled.sent),
            completed: count(recent.len()),
            met: count(met),
            ttft_p95: quantile(&ttfts, 95),
            held: present.held,
            waiting: present.waiting,
            running: present.running,
            ready_replicas: present.ready_replicas,
            bound_pods: present.bound_pods,
        };
        self.sampled = Sampled { at: now, sent: self.sent.len(), completions: self.completions.len() };
        sample
    }

    /// Sums up the requests sent at or after `from`; refused and resent ones, replica and pod times are of the whole load.
    pub(super) fn summary(&self, from: SimTime, overdue: u64) -> Summary {
        let judged: Vec<&Completion> =
            self.completions.iter().filter(|completion| completion.request.sent >= from).collect();
        let mut ttfts: Vec<Duration> = judged.iter().map(|completion| completion.ttft()).collect();
        let mut tpots: Vec<Duration> = judged.iter().map(|completion| completion.tpot()).collect();
        ttfts.sort_unstable();
        tpots.sort_unstable();
        let met = judged.iter().filter(|completion| completion.meets_objective()).count();
        Summary {
            sent: large(self.sent.len() - self.sent.partition_point(|sent| *sent < from)),
            completed: large(judged.len()),
            met: large(met),
            refused: self.refused,
            resent: self.resent,
            overdue,
            ttft_p50: quantile(&ttfts, 50).unwrap_or_default(),
            ttft_p95: quantile(&ttfts, 95).unwrap_or_default(),
            ttft_p99: quantile(&ttfts, 99).unwrap_or_default(),
            tpot_p95: quantile(&tpots, 95).unwrap_or_default(),
            ready_replica_seconds: self.ready_replica_seconds,
            bound_pod_seconds: self.bound_pod_seconds,
        }
    }
}

/// The nearest-rank percentile of sorted values.
fn quantile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn large(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a share for people to read")]
const fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::request::Request;

    fn completion(sent: f64, ttft: f64) -> Completion {
        let sent = SimTime::from_seconds(sent);
        let first_token = sent.plus(Duration::from_secs_f64(ttft));
        let request = Request { id: 0, load: 0, sent, input_tokens: 100, output_tokens: 11 };
        Completion { request, first_token, finished: first_token.plus(Duration::from_millis(500)) }
    }

    #[test]
    fn samples_cover_the_time_since_the_last_one() {
        let mut record = Record::new(SimTime::ZERO);
        let present = Present { held: 1, waiting: 2, running: 3, ready_replicas: 4, bound_pods: 16 };
        for _ in 0..7 {
            record.send(SimTime::ZERO);
        }
        record.complete(completion(0.0, 0.5));
        record.complete(completion(0.0, 4.0));
        let sample = record.sample(SimTime::from_seconds(2.0), &present);
        assert_eq!((sample.sent, sample.completed, sample.met, sample.queue_length()), (7, 2, 1, 3));
        assert_eq!(sample.ttft_p95, Some(Duration::from_secs(4)));
        assert!((sample.rate() - 3.5).abs() < 1e-9);
        let sample = record.sample(SimTime::from_seconds(3.0), &present);
        assert_eq!((sample.sent, sample.completed, sample.ttft_p95), (0, 0, None));
    }

    #[test]
    fn attainment_counts_refused_and_overdue_requests_as_missed() {
        let mut record = Record::new(SimTime::ZERO);
        for index in 0..8 {
            record.complete(completion(f64::from(index), 0.5));
        }
        record.refused = 1;
        let summary = record.summary(SimTime::from_seconds(1.0), 2);
        assert_eq!((summary.completed, summary.met), (7, 7));
        assert!((summary.attainment() - 0.7).abs() < 1e-9, "{}", summary.attainment());
        assert!((Summary::default().attainment() - 1.0).abs() < 1e-9, "nothing sent, nothing missed");
    }
}
