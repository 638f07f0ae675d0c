//! [`Trace`]: when requests arrive and how long they are; read from a file, then made larger or bent to a rate curve.

use std::{io::Read, time::Duration};

use super::{random::Random, time::SimTime};

/// A sequence of requests, sorted by arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    arrivals: Vec<Arrival>,
    span: Duration,
}

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrives.
    pub at: SimTime,
    /// Prompt length, tokens, at least 1.
    pub input_tokens: u32,
    /// Answer length, tokens, at least 1.
    pub output_tokens: u32,
}

/// A rate over time: straight lines between points (time, requests per second), constant before and after.
pub type Curve = [(Duration, f64)];

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file is not gzip-compressed text.
    #[error("the trace is not gzip-compressed text")]
    Unpack(#[source] std::io::Error),
    /// A row is not three numbers.
    #[error("line {line} of the trace is not arrival_seconds,input_tokens,output_tokens: {text:?}")]
    Row {
        /// Line number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// No row at all.
    #[error("the trace holds no request")]
    Empty,
}

impl Trace {
    /// Reads the trace of an hour of a production chat service (Azure, 2023; see `tests/traces/README.md`).
    pub fn azure_conversation() -> Result<Self, TraceError> {
        Self::unpack(include_bytes!("../../traces/azure2023_conv.csv.gz"))
    }

    /// Reads the trace of an hour of a production code-completion service (Azure, 2023).
    pub fn azure_code() -> Result<Self, TraceError> {
        Self::unpack(include_bytes!("../../traces/azure2023_code.csv.gz"))
    }

    /// Reads the trace of an hour of a long-context chat service (Mooncake).
    pub fn mooncake_conversation() -> Result<Self, TraceError> {
        Self::unpack(include_bytes!("../../traces/mooncake_conversation.csv.gz"))
    }

    /// Reads the synthetic long-context trace of Mooncake.
    pub fn mooncake_synthetic() -> Result<Self, TraceError> {
        Self::unpack(include_bytes!("../../traces/mooncake_synthetic.csv.gz"))
    }

    /// Reads gzip-compressed CSV.
    pub fn unpack(gzip: &[u8]) -> Result<Self, TraceError> {
        let mut text = String::new();
        flate2::read::GzDecoder::new(gzip).read_to_string(&mut text).map_err(TraceError::Unpack)?;
        Self::parse(&text)
    }

    /// Parses CSV with a header line; the requests need not be sorted.
    pub fn parse(csv: &str) -> Result<Self, TraceError> {
        let mut arrivals = Vec::new();
        for (index, text) in csv.lines().enumerate().skip(1) {
            let row = parse_row(text);
            arrivals.push(row.ok_or_else(|| TraceError::Row { line: index + 1, text: text.to_owned() })?);
        }
        Self::new(arrivals)
    }

    fn new(mut arrivals: Vec<Arrival>) -> Result<Self, TraceError> {
        arrivals.sort_by_key(|arrival| arrival.at);
        let last = arrivals.last().ok_or(TraceError::Empty)?.at;
        Ok(Self { arrivals, span: last.since(SimTime::ZERO) })
    }

    /// Returns the requests.
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    /// Returns the time from the beginning to the last arrival, or the length of the curve it was bent to.
    pub const fn span(&self) -> Duration {
        self.span
    }

    /// Returns the mean arrival rate, requests per second.
    pub fn mean_rate(&self) -> f64 {
        let count = u32::try_from(self.arrivals.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.span.as_secs_f64().max(0.001)
    }

    /// Returns the trace with `factor` times as many requests and its own bursts kept.
    ///
    /// Each request becomes `factor` requests on average, spread over the next four seconds; the copies take the lengths
    /// of neighbours in the trace.
    #[must_use]
    pub fn amplified(&self, factor: f64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut arrivals = Vec::new();
        for (index, arrival) in self.arrivals.iter().enumerate() {
            let mut wanted = factor;
            let mut copy = 0;
            while random.unit() < wanted {
                let delay = if copy == 0 { 0.0 } else { random.unit() * 4.0 };
                let sizes = self.arrivals.get((index + copy * 7) % self.arrivals.len()).unwrap_or(arrival);
                arrivals.push(Arrival { at: arrival.at.plus(Duration::from_secs_f64(delay)), ..*sizes });
                wanted -= 1.0;
                copy += 1;
            }
        }
        arrivals.sort_by_key(|arrival| arrival.at);
        Self { arrivals, span: self.span }
    }

    /// Returns the trace bent to a rate curve: its lengths and second-scale clumps stay, its minute-scale rate is the curve's.
    ///
    /// Shifted copies of the trace, end joined to beginning, are laid over each other until they exceed the curve's peak,
    /// then thinned at random to the curve. The result is as long as the curve.
    #[must_use]
    pub fn shaped(&self, curve: &Curve, seed: u64) -> Self {
        let span = curve.last().map_or(Duration::ZERO, |(at, _)| *at);
        let peak = curve.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        let mut copies = 1_u32;
        while self.mean_rate() * f64::from(copies) < peak * 1.25 {
            copies += 1;
        }
        let full_rate = self.mean_rate() * f64::from(copies);
        let period = self.span.as_secs_f64().max(0.001);
        let mut random = Random::new(seed);
        let mut arrivals = Vec::new();
        for copy in 0..copies {
            let shift = period * f64::from(copy) / f64::from(copies);
            for arrival in &self.arrivals {
                let mut at = (arrival.at.seconds() + shift) % period;
                while at < span.as_secs_f64() {
                    if random.unit() < rate_at(curve, at) / full_rate {
                        arrivals.push(Arrival { at: SimTime::from_seconds(at), ..*arrival });
                    }
                    at += period;
                }
            }
        }
        arrivals.sort_by_key(|arrival| arrival.at);
        Self { arrivals, span }
    }
}

fn parse_row(text: &str) -> Option<Arrival> {
    let mut fields = text.split(',');
    let seconds: f64 = fields.next()?.parse().ok()?;
    let input_tokens: u32 = fields.next()?.parse().ok()?;
    let output_tokens: u32 = fields.next()?.trim_end().parse().ok()?;
    (fields.next().is_none() && seconds >= 0.0).then(|| Arrival {
        at: SimTime::from_seconds(seconds),
        input_tokens: input_tokens.max(1),
        output_tokens: output_tokens.max(1),
    })
}

/// Returns the curve's rate at that many seconds; 0 for an empty curve.
fn rate_at(curve: &Curve, seconds: f64) -> f64 {
    let mut before: Option<(f64, f64)> = None;
    for (at, rate) in curve {
        let at = at.as_secs_f64();
        if seconds < at {
            let Some((from, from_rate)) = before else { return *rate };
            return from_rate + (rate - from_rate) * (seconds - from) / (at - from);
        }
        before = Some((at, *rate));
    }
    before.map_or(0.0, |(_, rate)| rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn rate_between(trace: &Trace, from: f64, to: f64) -> f64 {
        let inside = |arrival: &&Arrival| (from..to).contains(&arrival.at.seconds());
        let count = u32::try_from(trace.arrivals().iter().filter(inside).count()).expect("small");
        f64::from(count) / (to - from)
    }

    #[test]
    fn the_files_are_what_the_readme_says() {
        for (name, trace, requests, rate) in [
            ("azure2023_conv", Trace::azure_conversation(), 19_366, 5.53),
            ("azure2023_code", Trace::azure_code(), 8819, 2.57),
            ("mooncake_conversation", Trace::mooncake_conversation(), 12_031, 3.40),
            ("mooncake_synthetic", Trace::mooncake_synthetic(), 3993, 3.91),
        ] {
            let trace = trace.expect(name);
            assert_eq!(trace.arrivals().len(), requests, "{name}");
            assert!((trace.mean_rate() - rate).abs() < 0.01, "{name}: {}", trace.mean_rate());
        }
    }

    #[test]
    fn a_bad_row_is_named() {
        let error = Trace::parse("header\n0.0,1,2\n1.0,x,2\n").expect_err("x is no number");
        assert_eq!(
            error.to_string(),
            "line 3 of the trace is not arrival_seconds,input_tokens,output_tokens: \"1.0,x,2\""
        );
        assert!(matches!(Trace::parse("header\n"), Err(TraceError::Empty)));
    }

    #[test]
    fn amplified_keeps_the_sizes_and_multiplies_the_rate() {
        let trace = Trace::azure_conversation().expect("a trace");
        let mean_input = |trace: &Trace| {
            trace.arrivals().iter().map(|arrival| f64::from(arrival.input_tokens)).sum::<f64>()
                / f64::from(u32::try_from(trace.arrivals().len()).expect("small"))
        };
        for factor in [0.4, 1.0, 7.0] {
            let larger = trace.amplified(factor, 1);
            let ratio = larger.mean_rate() / trace.mean_rate();
            assert!((ratio / factor - 1.0).abs() < 0.03, "{factor}: {ratio}");
            assert!((mean_input(&larger) / mean_input(&trace) - 1.0).abs() < 0.03, "{factor}");
            assert!(larger.arrivals().is_sorted_by_key(|arrival| arrival.at));
        }
    }

    #[test]
    fn shaped_follows_the_curve() {
        let trace = Trace::azure_conversation().expect("a trace");
        let curve = [(seconds(0), 2.0), (seconds(1000), 2.0), (seconds(2000), 40.0), (seconds(6000), 40.0)];
        let shaped = trace.shaped(&curve, 1);
        assert_eq!(shaped.span(), seconds(6000));
        for (from, to, want) in [(0.0, 1000.0, 2.0), (1250.0, 1750.0, 21.0), (2000.0, 6000.0, 40.0)] {
            let rate = rate_between(&shaped, from, to);
            assert!((rate / want - 1.0).abs() < 0.1, "{from} to {to}: {rate}, not {want}");
        }
        assert!(shaped.arrivals().iter().all(|arrival| arrival.at < SimTime::from_seconds(6000.0)));
    }
}
