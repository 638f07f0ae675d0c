//! [`Expression`]: how the value of one pod follows from the series its engine exposes.
//!
//! A small closed language instead of PromQL text, because it is read in two ways: rendered as PromQL for one query over the
//! whole cluster, and evaluated by ourselves when the pods are scraped directly.

use std::{fmt::Write as _, time::Duration};

/// The share of requests that a latency signal covers.
pub const QUANTILE: f64 = 0.95;

/// The prompt length assumed while no request has finished within the window.
pub const DEFAULT_PROMPT_TOKENS: u32 = 512;

/// The series of one name, narrowed by label values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    /// The metric's name as exposed.
    pub name: &'static str,
    /// Each label must have one of the values.
    pub labels: &'static [(&'static str, &'static [&'static str])],
}

/// The value of one pod (or role); every part is summed over the pod's series unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expression {
    /// A gauge, summed.
    Sum(Series),
    /// A gauge, the mean of its series: for shares, where several engines of a pod each have their own.
    Mean(Series),
    /// A gauge that several processes may report alike: the largest per value of the label, then the sum.
    SumOfMax(Series, &'static str),
    /// The increase of a counter per second.
    Rate(Series),
    /// The quantile [`QUANTILE`] of a histogram, whose series name is given without `_bucket`.
    Quantile(Series),
    /// One over the other.
    Divide(&'static Expression, &'static Expression),
    /// One and the other; absent unless both are there.
    Add(&'static Expression, &'static Expression),
    /// Divided by a plain number: for other units.
    Over(&'static Expression, f64),
    /// Multiplied by a plain number.
    Times(&'static Expression, u32),
    /// Waiting requests × their mean prompt length: tokens ÷ requests, or [`DEFAULT_PROMPT_TOKENS`] when none finished.
    Backlog {
        /// The number of waiting requests.
        waiting: &'static Expression,
        /// The prompt tokens per second of finished (or arrived) requests.
        tokens: &'static Expression,
        /// Those requests per second.
        requests: &'static Expression,
    },
    /// The expression, unless the engine of the pod says that it sleeps: a sleeping engine reports zeros, not an idle replica.
    Awake(&'static Expression, Series),
}

/// What values are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// One value per pod.
    Pod,
    /// One value per pod, with the pod's group and role, from series that carry `rbg_group` and `rbg_role`.
    PodOfRole,
    /// One value per role, from series that carry `rbg_group` and `rbg_role`.
    Role,
}

impl Grouping {
    /// Returns the labels as they stand inside `by (…)`.
    pub fn labels(self) -> &'static str {
        match self {
            Self::Pod => "namespace, pod",
            Self::PodOfRole => "namespace, pod, rbg_group, rbg_role",
            Self::Role => "namespace, rbg_group, rbg_role",
        }
    }
}

impl Series {
    /// Returns all series of a name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, labels: &[] }
    }

    /// Returns the series of a name whose labels have one of the values given.
    pub const fn with(
        name: &'static str,
        labels: &'static [(&'static str, &'static [&'static str])],
    ) -> Self {
        Self { name, labels }
    }

    /// Returns the PromQL selector, with an ending added to the name.
    fn selector(&self, ending: &str) -> String {
        let mut text = format!("{}{ending}", self.name);
        if self.labels.is_empty() {
            return text;
        }
        text.push('{');
        for (index, (label, values)) in self.labels.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let operator = if values.len() == 1 { "=" } else { "=~" };
            let _ = write!(text, "{comma}{label}{operator}\"{}\"", values.join("|"));
        }
        text.push('}');
        text
    }
}

impl Expression {
    /// Returns the PromQL of the value, grouped, over every pod of the cluster. An undefined ratio (0 ÷ 0) stays NaN.
    pub fn promql(&self, grouping: Grouping, window: Duration) -> String {
        let by = grouping.labels();
        let range = promql_duration(window);
        let inner = |expression: &Self| expression.operand(grouping, window);
        match self {
            Self::Sum(series) => format!("sum by ({by}) ({})", series.selector("")),
            Self::Mean(series) => format!("avg by ({by}) ({})", series.selector("")),
            Self::SumOfMax(series, label) => {
                // A label that no series has groups them all together, so the pod must stand beside it.
                let pod = if grouping == Grouping::Role { ", pod" } else { "" };
                format!("sum by ({by}) (max by ({by}{pod}, {label}) ({}))", series.selector(""))
            }
            Self::Rate(series) => format!("sum by ({by}) (rate({}[{range}]))", series.selector("")),
            Self::Quantile(series) => {
                format!(
                    "histogram_quantile({QUANTILE}, sum by (le, {by}) (rate({}[{range}])))",
                    series.selector("_bucket")
                )
            }
            Self::Divide(dividend, divisor) => format!("{} / {}", inner(dividend), inner(divisor)),
            Self::Add(left, right) => format!("{} + {}", inner(left), inner(right)),
            Self::Over(expression, divisor) => format!("{} / {divisor}", inner(expression)),
            Self::Times(expression, factor) => format!("{} * {factor}", inner(expression)),
            Self::Backlog { waiting, tokens, requests } => {
                let waiting = inner(waiting);
                format!(
                    "{waiting} * (({} / ({} > 0)) or ({waiting} * 0 + {DEFAULT_PROMPT_TOKENS}))",
                    inner(tokens),
                    inner(requests)
                )
            }
            Self::Awake(expression, awake) => {
                format!("{} unless (max by ({by}) ({}) == 0)", inner(expression), awake.selector(""))
            }
        }
    }

    /// Like [`Self::promql`], in parentheses when it stands beside an operator.
    fn operand(&self, grouping: Grouping, window: Duration) -> String {
        let text = self.promql(grouping, window);
        match self {
            Self::Sum(_) | Self::Mean(_) | Self::SumOfMax(..) | Self::Rate(_) | Self::Quantile(_) => text,
            _ => format!("({text})"),
        }
    }

    /// Returns the PromQL of the time of the oldest sample that the value rests on.
    pub fn time_promql(&self, grouping: Grouping) -> String {
        let (series, ending) = self.clock();
        format!("min by ({}) (timestamp({}))", grouping.labels(), series.selector(ending))
    }

    /// Calls back with the name of every series that is read.
    pub fn each_name(&self, call: &mut impl FnMut(String)) {
        match self {
            Self::Sum(series) | Self::Mean(series) | Self::SumOfMax(series, _) | Self::Rate(series) => {
                call(series.name.to_owned());
            }
            Self::Quantile(series) => {
                call(format!("{}_bucket", series.name));
                call(format!("{}_count", series.name));
            }
            Self::Divide(left, right) | Self::Add(left, right) => {
                left.each_name(call);
                right.each_name(call);
            }
            Self::Over(expression, _) | Self::Times(expression, _) => expression.each_name(call),
            Self::Backlog { waiting, tokens, requests } => {
                for expression in [waiting, tokens, requests] {
                    expression.each_name(call);
                }
            }
            Self::Awake(expression, awake) => {
                expression.each_name(call);
                call(awake.name.to_owned());
            }
        }
    }

    /// The series whose age counts, and an ending of its name: engines expose all their series at once, so one tells for all.
    pub fn clock(&self) -> (&Series, &'static str) {
        match self {
            Self::Sum(series) | Self::Mean(series) | Self::SumOfMax(series, _) | Self::Rate(series) => {
                (series, "")
            }
            Self::Quantile(series) => (series, "_count"),
            Self::Divide(_, expression)
            | Self::Add(expression, _)
            | Self::Over(expression, _)
            | Self::Times(expression, _)
            | Self::Awake(expression, _)
            | Self::Backlog { waiting: expression, .. } => expression.clock(),
        }
    }
}

/// Writes a duration as PromQL does, such as `1m` or `90s`; zero only stands where no range is read.
fn promql_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds.is_multiple_of(60) && seconds > 0 {
        format!("{}m", seconds / 60)
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITING: Expression = Expression::Sum(Series::new("waiting"));
    const TOKENS: Expression = Expression::Rate(Series::new("prompt_sum"));
    const REQUESTS: Expression =
        Expression::Rate(Series::with("prompt_count", &[("model", &["a", "b"]), ("x", &["y"])]));

    #[test]
    fn renders_promql() {
        let minute = Duration::from_secs(60);
        for (expression, want) in [
            (Expression::Mean(Series::new("kv")), "avg by (namespace, pod) (kv)"),
            (
                Expression::SumOfMax(Series::new("q"), "dp_rank"),
                "sum by (namespace, pod) (max by (namespace, pod, dp_rank) (q))",
            ),
            (
                Expression::Quantile(Series::new("ttft")),
                "histogram_quantile(0.95, sum by (le, namespace, pod) (rate(ttft_bucket[1m])))",
            ),
            (
                Expression::Over(&Expression::Divide(&TOKENS, &WAITING), 1000.0),
                "(sum by (namespace, pod) (rate(prompt_sum[1m])) / sum by (namespace, pod) (waiting)) / 1000",
            ),
            (
                Expression::Backlog { waiting: &WAITING, tokens: &TOKENS, requests: &REQUESTS },
                "sum by (namespace, pod) (waiting) * ((sum by (namespace, pod) (rate(prompt_sum[1m])) / (sum by \
                 (namespace, pod) (rate(prompt_count{model=~\"a|b\",x=\"y\"}[1m])) > 0)) or (sum by (namespace, pod) \
                 (waiting) * 0 + 512))",
            ),
            (
                Expression::Awake(&WAITING, Series::with("sleep", &[("sleep_state", &["awake"])])),
                "sum by (namespace, pod) (waiting) unless (max by (namespace, pod) (sleep{sleep_state=\"awake\"}) == 0)",
            ),
        ] {
            assert_eq!(expression.promql(Grouping::Pod, minute), want);
        }
    }

    #[test]
    fn the_age_is_that_of_a_series_which_the_value_needs() {
        let quantile = Expression::Quantile(Series::new("ttft"));
        assert_eq!(quantile.time_promql(Grouping::Pod), "min by (namespace, pod) (timestamp(ttft_count))");
        let backlog = Expression::Backlog { waiting: &WAITING, tokens: &TOKENS, requests: &REQUESTS };
        assert_eq!(
            backlog.time_promql(Grouping::Role),
            "min by (namespace, rbg_group, rbg_role) (timestamp(waiting))"
        );
    }
}
