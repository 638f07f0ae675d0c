//! [`Trend`]: how the token work of a role moved over the last two minutes.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;
use rbg_autoscaler::{policy::Throughput, scaling::TokenReading, units::MilliValue};

/// How far back the trend looks.
const SPAN: Duration = Duration::from_secs(120);
/// A trend over less than this says nothing yet.
const LEAST: Duration = Duration::from_secs(60);
/// Over how many seconds the backlog is to be worked off, as the decision counts it.
const BACKLOG_SECONDS: f64 = 60.0;

/// The work of a role over the last two minutes.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    /// Work in replicas' worth, oldest first.
    points: VecDeque<(Timestamp, f64)>,
}

impl Trend {
    /// Takes the work of a reading in and returns the slope in billionths of a replica's worth per second.
    ///
    /// `None` while too little is known. Least squares over all points, so that one odd scrape does not make a trend.
    pub fn follow(&mut self, reading: &TokenReading, throughput: Throughput, ready: usize) -> Option<i64> {
        let time = reading.time?;
        let is_new = self.points.back().is_none_or(|(last, _)| *last < time);
        if is_new && let Some(work) = work(reading, throughput, ready) {
            self.points.push_back((time, work));
        }
        let since = time.checked_sub(SPAN).unwrap_or(Timestamp::MIN);
        self.points.retain(|(at, _)| *at >= since);
        self.slope()
    }

    fn slope(&self) -> Option<i64> {
        let ((first, _), (last, _)) = (self.points.front()?, self.points.back()?);
        if Duration::try_from(last.duration_since(*first)).ok()? < LEAST {
            return None;
        }
        let at = |time: &Timestamp| time.duration_since(*first).as_secs_f64();
        let (mut n, mut t, mut w, mut tt, mut tw) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (time, work) in &self.points {
            let time = at(time);
            n += 1.0;
            t += time;
            w += work;
            tt += time * time;
            tw += time * work;
        }
        let slope = (n * tw - t * w) / (n * tt - t * t);
        // A billionth is a million thousandths of a thousandth: the conversion through milli-values saturates.
        MilliValue::from_f64_truncated(slope * 1e6).map(MilliValue::milli)
    }
}

/// The work of a reading without its trend: the larger window, and the backlog.
fn work(reading: &TokenReading, throughput: Throughput, ready: usize) -> Option<f64> {
    let terms = [(throughput.prompt, reading.prompt), (throughput.generation, reading.generation)];
    let window = |of: fn(&rbg_autoscaler::scaling::RatePair) -> Option<MilliValue>| {
        terms
            .iter()
            .filter_map(|(throughput, rates)| Some((throughput.as_ref()?, rates)))
            .try_fold(0.0, |sum, (throughput, rates)| Some(sum + of(rates)?.as_f64() / throughput.as_f64()))
    };
    let rates = match (window(|rates| rates.short), window(|rates| rates.long)) {
        (Some(short), Some(long)) => short.max(long),
        (one, other) => one.or(other)?,
    };
    let (Some(prompt), Some(pending)) = (throughput.prompt, reading.pending_tokens) else {
        return Some(rates);
    };
    let at_once = prompt.as_f64() * f64::from(u32::try_from(ready).unwrap_or(u32::MAX));
    Some(rates + (pending.as_f64() - at_once).max(0.0) / prompt.as_f64() / BACKLOG_SECONDS)
}

#[cfg(test)]
mod tests {
    use rbg_autoscaler::scaling::RatePair;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    fn reading(second: i64, tokens: i64) -> TokenReading {
        let rate = Some(MilliValue::from_whole(tokens));
        TokenReading {
            prompt: RatePair { short: rate, long: rate },
            pending_tokens: Some(MilliValue::from_whole(1000)),
            time: Some(at(second)),
            ..TokenReading::default()
        }
    }

    fn throughput() -> Throughput {
        Throughput { prompt: Some(MilliValue::from_whole(1000)), generation: None }
    }

    #[test]
    fn a_steady_rise_is_a_slope_and_a_young_one_is_none() {
        let mut trend = Trend::default();
        let mut slope = None;
        for step in 0..=30 {
            let second = step * 10;
            slope = trend.follow(&reading(second, 1000 + second * 10), throughput(), 1);
            assert_eq!(slope.is_some(), second >= 60, "after {second} s");
        }
        // 10 tokens per second more each second, of 1000 per replica: a hundredth of a replica per second.
        let slope = slope.expect("a slope");
        assert!((slope - 10_000_000).abs() <= 1, "{slope}");
        assert!(trend.points.len() <= 13, "only two minutes are kept");
    }

    #[test]
    fn the_same_reading_twice_counts_once() {
        let mut trend = Trend::default();
        trend.follow(&reading(0, 1000), throughput(), 1);
        trend.follow(&reading(0, 9000), throughput(), 1);
        assert_eq!(trend.points.len(), 1);
    }

    #[test]
    fn a_backlog_is_work_beyond_one_second_per_ready_replica() {
        let mut backlog = reading(0, 1000);
        backlog.pending_tokens = Some(MilliValue::from_whole(62_000));
        let found = work(&backlog, throughput(), 2).expect("work");
        assert!((found - 2.0).abs() < 1e-9, "1 of rate and 60000 ÷ 1000 ÷ 60 of backlog: {found}");
    }
}
