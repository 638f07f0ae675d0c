//! The value of an [`Expression`] for one pod, computed from its history as PromQL would.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::{
    metrics::{
        Definition, STALE_AFTER, Sample, Signal,
        direct::history::{History, PodHistory, Point, SeriesInfo, SeriesTable},
        expression::{DEFAULT_PROMPT_TOKENS, Expression, QUANTILE, Series},
    },
    units::MilliValue,
};

/// What an expression is evaluated against.
struct Scope<'a> {
    table: &'a SeriesTable,
    pod: &'a PodHistory,
    at: i64,
    window: i64,
}

impl History {
    /// Returns the sample of one pod at an instant; `None` when no engine's expression fits.
    pub fn sample(&self, signal: &Signal, pod: &PodHistory, at: Timestamp) -> Option<Sample> {
        let Definition::Engines(engines) = &signal.definition else { return None };
        let window = milliseconds(signal.window);
        let scope = Scope { table: &self.table, pod, at: at.as_millisecond(), window };
        for engine in *engines {
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
                for (info, value) in self.current(series) {
                    let known = largest.entry(info.label(label)).or_insert(value);
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
        self.points(series, ending).filter_map(|(_, points)| points.last().map(|point| point.at)).min()
    }

    fn fold(&self, series: &Series, fold: impl Fn(&[f64]) -> f64) -> Option<f64> {
        let values: Vec<f64> = self.current(series).map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| fold(&values))
    }

    fn current(&self, series: &Series) -> impl Iterator<Item = (&SeriesInfo, f64)> {
        self.points(series, "").filter_map(|(info, points)| points.last().map(|point| (info, point.value)))
    }

    /// The points of the matching series that are not over: no longer exposed means no longer there.
    fn points(&self, series: &Series, ending: &str) -> impl Iterator<Item = (&SeriesInfo, Vec<Point>)> {
        let stale = self.at.saturating_sub(milliseconds(STALE_AFTER));
        let (at, last_page) = (self.at, self.pod.scraped_at);
        let name = format!("{}{ending}", series.name);
        let wanted = series.labels;
        self.table.named(&name).collect::<Vec<_>>().into_iter().filter_map(move |(number, info)| {
            let matches = |(label, values): &(&str, &[&str])| values.contains(&info.label(label));
            if !wanted.iter().all(matches) {
                return None;
            }
            let history = self.pod.series(number)?;
            // A series that the newest page lacks has ended, unless that page is newer than the instant asked for.
            let has_ended =
                last_page.is_some_and(|page| page.as_millisecond() <= at && history.seen_at < page);
            let points: Vec<Point> = history.points.iter().filter(|point| point.at <= at).copied().collect();
            (points.last()?.at >= stale && !has_ended).then_some((info.as_ref(), points))
        })
    }

    /// The increase per second of each matching counter over the window; at least two points are needed.
    fn rates(&self, series: &Series, ending: &str) -> impl Iterator<Item = (&SeriesInfo, f64)> {
        let from = self.at.saturating_sub(self.window);
        self.points(series, ending).filter_map(move |(info, points)| {
            let within: Vec<&Point> = points.iter().filter(|point| point.at >= from).collect();
            let (first, last) = (within.first()?, within.last()?);
            let span = seconds(last.at - first.at);
            if span <= 0.0 {
                return None;
            }
            let increase: f64 = within
                .windows(2)
                .map(|pair| {
                    if pair[1].value < pair[0].value { pair[1].value } else { pair[1].value - pair[0].value }
                })
                .sum();
            Some((info, increase / span))
        })
    }

    /// The quantile of summed buckets, linear inside a bucket; NaN without events.
    /// Source: Prometheus documentation, `histogram_quantile`.
    fn quantile(&self, series: &Series) -> Option<f64> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (info, rate) in self.rates(series, "_bucket") {
            let bound = match info.label("le") {
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

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn seconds(milliseconds: i64) -> f64 {
    MilliValue::from_milli(milliseconds).as_f64()
}
