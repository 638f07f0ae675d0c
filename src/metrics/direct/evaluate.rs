//! The value of an [`Expression`] for one pod, computed from its history as PromQL would.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::{
    metrics::{
        Definition, PodSamples, STALE_AFTER, Sample, Signal,
        direct::history::{History, Labels, PodHistory, SeriesHistory, Totals},
        expression::{DEFAULT_PROMPT_TOKENS, Expression, QUANTILE, Series},
        matcher::Matcher,
    },
    units::MilliValue,
};

/// What an expression is evaluated against.
struct Scope<'a> {
    pod: &'a PodHistory,
    at: i64,
    window: i64,
    only: &'a [Matcher],
}

impl History {
    /// Returns the samples of a signal at an instant, of the pods that have one.
    pub fn samples(&self, signal: &Signal, at: Timestamp) -> PodSamples {
        self.pods()
            .filter(|(_, _, history)| !history.is_failing())
            .filter_map(|(namespace, pod, history)| Some((namespace, pod, history.sample(signal, at)?)))
            .collect()
    }
}

impl PodHistory {
    /// Returns the sample of the pod at an instant; `None` when no engine's expression fits.
    pub fn sample(&self, signal: &Signal, at: Timestamp) -> Option<Sample> {
        let (engines, only) = match &signal.definition {
            Definition::Engines(engines) => (*engines, &[][..]),
            Definition::Narrowed(engines, only) => (*engines, only.as_slice()),
            Definition::Query(_) => return None,
        };
        let window = milliseconds(signal.window);
        let scope = Scope { pod: self, at: at.as_millisecond(), window, only };
        for engine in engines {
            let Some(value) = scope.value(&engine.expression) else { continue };
            let time = scope.time(engine.expression.clock())?;
            let value =
                if value.is_nan() { signal.undefined_value() } else { MilliValue::from_f64_truncated(value) };
            return Some(Sample { value: value?, time: Timestamp::from_millisecond(time).ok()? });
        }
        None
    }
}

impl Scope<'_> {
    /// The value, NaN where PromQL gives NaN, `None` where it gives nothing.
    fn value(&self, expression: &Expression) -> Option<f64> {
        match expression {
            Expression::Sum(series) => self.fold(series, |values| values.iter().sum()),
            Expression::Mean(series) => self.fold(series, |values| {
                values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap_or(1))
            }),
            Expression::SumOfMax(series, label) => {
                let mut largest: BTreeMap<&str, f64> = BTreeMap::new();
                for (labels, value) in self.current(series) {
                    let known = largest.entry(labels.get(label)).or_insert(value);
                    *known = known.max(value);
                }
                (!largest.is_empty()).then(|| largest.values().sum())
            }
            Expression::Rate(series) => {
                let rates: Vec<f64> = self.rates(series, "").map(|(_, rate)| rate).collect();
                (!rates.is_empty()).then(|| rates.iter().sum())
            }
            Expression::Quantile(series) => self.quantile(series),
            Expression::Divide(dividend, divisor) => Some(self.value(dividend)? / self.value(divisor)?),
            Expression::Add(left, right) => Some(self.value(left)? + self.value(right)?),
            Expression::Over(expression, divisor) => Some(self.value(expression)? / divisor),
            Expression::Times(expression, factor) => Some(self.value(expression)? * f64::from(*factor)),
            Expression::Backlog { waiting, tokens, requests } => {
                let waiting = self.value(waiting)?;
                let mean = self
                    .value(requests)
                    .filter(|requests| *requests > 0.0)
                    .and_then(|requests| Some(self.value(tokens)? / requests));
                Some(waiting * mean.unwrap_or(f64::from(DEFAULT_PROMPT_TOKENS)))
            }
            Expression::Awake(expression, awake) => {
                let mut states = self.current(awake).map(|(_, value)| value).peekable();
                let sleeps = states.peek().is_some() && states.all(|state| state <= 0.0);
                if sleeps { None } else { self.value(expression) }
            }
        }
    }

    /// The time of the oldest of these series.
    fn time(&self, (series, ending): (&Series, &str)) -> Option<i64> {
        self.series(series, ending).map(|series| series.at).min()
    }

    fn fold(&self, series: &Series, fold: impl Fn(&[f64]) -> f64) -> Option<f64> {
        let values: Vec<f64> = self.current(series).map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| fold(&values))
    }

    fn current(&self, series: &Series) -> impl Iterator<Item = (&Labels, f64)> {
        self.series(series, "").map(|series| (series.labels.as_ref(), series.value))
    }

    /// The matching series that are fresh.
    fn series(&self, series: &Series, ending: &str) -> impl Iterator<Item = &SeriesHistory> {
        let stale = self.at.saturating_sub(milliseconds(STALE_AFTER));
        let wanted = series.labels;
        let named = if ending.is_empty() {
            self.pod.named(series.name)
        } else {
            self.pod.named(&format!("{}{ending}", series.name))
        };
        named.iter().filter(move |series| {
            let matches = |(label, values): &(&str, &[&str])| values.contains(&series.labels.get(label));
            series.at >= stale
                && series.at <= self.at
                && wanted.iter().all(matches)
                && self.only.iter().all(|only| only.matches(series.labels.get(&only.label)))
        })
    }

    /// The increase per second of each matching counter over the window; at least two points are needed.
    fn rates(&self, series: &Series, ending: &str) -> impl Iterator<Item = (&Labels, f64)> {
        let from = self.at.saturating_sub(self.window);
        self.series(series, ending).filter_map(move |series| {
            let totals = self.pod.totals(series, from, self.at);
            Some((series.labels.as_ref(), rate(&totals, from, self.at)?))
        })
    }

    /// The quantile of summed buckets, linear inside a bucket; NaN without events.
    /// Source: Prometheus documentation, `histogram_quantile`.
    fn quantile(&self, series: &Series) -> Option<f64> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (labels, rate) in self.rates(series, "_bucket") {
            let bound = match labels.get("le") {
                "+Inf" => f64::INFINITY,
                text => text.parse().ok()?,
            };
            match buckets.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                Some((_, sum)) => *sum += rate,
                None => buckets.push((bound, rate)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Counts are cumulative; sums of floats may dip a little.
        let mut most = 0.0_f64;
        for (_, count) in &mut buckets {
            most = most.max(*count);
            *count = most;
        }
        let (last, total) = *buckets.last()?;
        if last.is_finite() || buckets.len() < 2 || total <= 0.0 {
            return Some(f64::NAN);
        }
        let rank = QUANTILE * total;
        let index = buckets.iter().position(|(_, count)| *count >= rank)?;
        let (bound, count) = buckets[index];
        if bound.is_infinite() {
            return Some(buckets[index - 1].0);
        }
        let (start, below) = if index > 0 { buckets[index - 1] } else { (0.0, 0.0) };
        if index == 0 && bound <= 0.0 {
            return Some(bound);
        }
        Some(start + (bound - start) * ((rank - below) / (count - below)))
    }
}

/// The increase per second of totals at times within a window, extended to its edges where the points come close to them.
/// Source: Prometheus documentation, `rate`: extrapolation to the ends of the range, never below zero.
fn rate(within: &Totals<'_>, from: i64, at: i64) -> Option<f64> {
    let Totals { times, values, has_older } = *within;
    let (first, last) = (*times.first()?, *times.last()?);
    let intervals = u32::try_from(times.len().checked_sub(1)?).ok()?;
    let span = seconds(last.saturating_sub(first));
    if span <= 0.0 {
        return None;
    }
    let (begun, grown) = (*values.first()?, values.last()? - values.first()?);
    let between = span / f64::from(intervals);
    let reach = |gap: f64| if gap >= between * 1.1 { between / 2.0 } else { gap };
    let begins = seconds(first.saturating_sub(from));
    // Pages may have been left out between this one and an older one.
    let mut before = if has_older { begins } else { reach(begins) };
    if grown > 0.0 && begun >= 0.0 {
        // It cannot have begun below zero.
        before = before.min(span * (begun / grown));
    }
    let after = reach(seconds(at.saturating_sub(last)));
    Some(grown * ((span + before + after) / span) / seconds(at.saturating_sub(from)))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn seconds(milliseconds: i64) -> f64 {
    MilliValue::from_milli(milliseconds).as_f64()
}
