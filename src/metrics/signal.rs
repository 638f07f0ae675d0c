//! [`Signal`]: a named LLM metric, what its numbers mean and the query that answers it for the whole cluster.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    metrics::{
        expression::{Expression, Grouping},
        matcher::{Matcher, with_matchers},
    },
    units::MilliValue,
};

/// A named LLM metric over all engines.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The name in policies, HPAs and URLs, such as `queue_length`.
    pub name: String,
    /// What one of it is.
    pub unit: Unit,
    /// The time its numbers are taken over; zero for a gauge read at one moment.
    pub window: Duration,
    /// How the values of several pods of one replica become one.
    pub fold: Fold,
    /// What an engine without traffic answers; `None`: it is left out, because no number would be true.
    pub idle: Option<MilliValue>,
    /// The meaning in one sentence.
    pub meaning: String,
    /// How it is computed.
    pub definition: Definition,
}

/// How a signal is computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    /// One expression per engine; a pod is answered by the first that fits it.
    Engines(&'static [EngineQuery]),
    /// The same, over those series only that fulfil every condition.
    Narrowed(&'static [EngineQuery], Vec<Matcher>),
    /// A user's PromQL; its answer carries the labels `namespace` and `pod`.
    Query(String),
}

/// How one engine's metrics give a signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineQuery {
    /// The engine's short name, such as `vllm`.
    pub engine: &'static str,
    /// The value of one pod.
    pub expression: Expression,
}

impl EngineQuery {
    /// Returns an engine's expression.
    pub const fn new(engine: &'static str, expression: Expression) -> Self {
        Self { engine, expression }
    }
}

/// What one of a signal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Requests.
    #[serde(rename = "requests")]
    Requests,
    /// Requests per second.
    #[serde(rename = "requests/s")]
    RequestsPerSecond,
    /// Tokens.
    #[serde(rename = "tokens")]
    Tokens,
    /// Tokens per second.
    #[serde(rename = "tokens/s")]
    TokensPerSecond,
    /// A share, 0 to 1.
    #[serde(rename = "ratio")]
    Ratio,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Whatever the user's query gives.
    #[serde(rename = "")]
    Unknown,
}

/// How the values of several pods, or engines, of one replica become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fold {
    /// Additive figures: the sum.
    Sum,
    /// Shares and times: the worst.
    Max,
}

/// The label that tells the two halves of a signal's answer apart: `value` and `time`.
pub const PART_LABEL: &str = "rbga_part";

impl Unit {
    /// Returns the unit as people write it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::RequestsPerSecond => "requests/s",
            Self::Tokens => "tokens",
            Self::TokensPerSecond => "tokens/s",
            Self::Ratio => "ratio",
            Self::Seconds => "s",
            Self::Unknown => "",
        }
    }
}

impl Signal {
    /// Returns the PromQL that gives the value of every pod of the cluster, one series per namespace and pod.
    pub fn value_query(&self) -> String {
        match &self.definition {
            Definition::Engines(engines) => {
                join_by_or(engines.iter().map(|engine| engine.expression.promql(Grouping::Pod, self.window)))
            }
            Definition::Narrowed(engines, only) => {
                narrowed_text(&self.of_all(engines).value_query(), engines, only)
            }
            Definition::Query(query) => query.clone(),
        }
    }

    /// Returns the PromQL that a recording rule keeps, grouped by role too: of every pod, or of every role for quantiles, which
    /// must not be added up from pods. Undefined values (0 ÷ 0) are left out.
    ///
    /// Needs the labels `rbg_group` and `rbg_role` on the series; `None` for a user's query.
    pub fn recorded_query(&self) -> Option<String> {
        let Definition::Engines(engines) = &self.definition else { return None };
        let queries = engines.iter().map(|engine| engine.expression.promql(self.recorded_by(), self.window));
        Some(format!("({}) >= 0", join_by_or(queries)))
    }

    /// Returns the name of the recording rule, such as `rbg:queue_length:pod`.
    pub fn recorded_name(&self) -> String {
        let level = if self.recorded_by() == Grouping::Role { "role" } else { "pod" };
        format!("rbg:{}:{level}", self.name)
    }

    fn recorded_by(&self) -> Grouping {
        if self.unit == Unit::Seconds { Grouping::Role } else { Grouping::PodOfRole }
    }

    /// Returns the one query that is sent per interval: values and the times of their samples, told apart by [`PART_LABEL`].
    ///
    /// The time is that of the scrape (`timestamp()` of the series the value is computed from), so a source that lags or has
    /// stopped scraping is noticed although it still answers: an instant query looks back up to five minutes. A user's query has
    /// no known series behind it; its samples are taken to be as old as the evaluation.
    pub fn query(&self) -> String {
        let value = self.value_query();
        let marked = |query: &str, part: &str| {
            format!("label_replace({query}, \"{PART_LABEL}\", \"{part}\", \"\", \"\")")
        };
        match &self.definition {
            Definition::Engines(engines) => {
                let times =
                    join_by_or(engines.iter().map(|engine| engine.expression.time_promql(Grouping::Pod)));
                format!("{} or {}", marked(&value, "value"), marked(&times, "time"))
            }
            Definition::Narrowed(engines, only) => {
                narrowed_text(&self.of_all(engines).query(), engines, only)
            }
            Definition::Query(_) => value,
        }
    }

    /// Returns the signal over those series only that fulfil every condition, such as `model_name="m"`; `None` for a user's query,
    /// whose series are not known. No policy can name it: `{` is in no name.
    pub fn narrowed(&self, only: Vec<Matcher>) -> Option<Self> {
        let Definition::Engines(engines) = &self.definition else { return None };
        let name = format!("{}{{{}}}", self.name, Matcher::join(&only));
        Some(Self { name, definition: Definition::Narrowed(engines, only), ..self.clone() })
    }

    fn of_all(&self, engines: &'static [EngineQuery]) -> Self {
        Self { definition: Definition::Engines(engines), ..self.clone() }
    }

    /// Returns what an undefined value (0 ÷ 0) of a live target stands for: the idle value of a latency, else nothing.
    pub fn undefined_value(&self) -> Option<MilliValue> {
        if self.unit == Unit::Seconds { self.idle } else { None }
    }
}

fn narrowed_text(query: &str, engines: &[EngineQuery], only: &[Matcher]) -> String {
    let mut names = BTreeSet::new();
    for engine in engines {
        engine.expression.each_name(&mut |name| {
            names.insert(name);
        });
    }
    with_matchers(query, &names, &Matcher::join(only))
}

fn join_by_or(queries: impl Iterator<Item = String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for query in queries {
        if !distinct.contains(&query) {
            distinct.push(query);
        }
    }
    distinct.join(" or ")
}

/// Says why a signal of this name is refused as a scaling target, if it is.
///
/// Latencies are for people and dashboards: a proportional rule on them is unstable, since latency hardly moves with the number
/// of replicas until the engine saturates and then explodes.
pub fn refused_as_target(name: &str) -> Option<&'static str> {
    name.ends_with("_p95").then_some(
        "is a latency, which does not move in proportion to replicas; scale on queue_length, pending_tokens or \
         token_utilization and watch latency on a dashboard",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{expression::Series, matcher::Comparison};

    #[test]
    fn engines_are_joined_and_repeats_left_out() {
        const ENGINES: &[EngineQuery] = &[
            EngineQuery { engine: "a", expression: Expression::Sum(Series::new("a_waiting")) },
            EngineQuery { engine: "a-old", expression: Expression::Sum(Series::new("a_waiting")) },
            EngineQuery { engine: "b", expression: Expression::Rate(Series::new("b_total")) },
        ];
        let signal = Signal {
            name: "x".to_owned(),
            unit: Unit::Requests,
            window: Duration::from_secs(60),
            fold: Fold::Sum,
            idle: Some(MilliValue::ZERO),
            meaning: String::new(),
            definition: Definition::Engines(ENGINES),
        };
        assert_eq!(
            signal.value_query(),
            "sum by (namespace, pod) (a_waiting) or sum by (namespace, pod) (rate(b_total[1m]))"
        );
        assert_eq!(
            signal.query(),
            "label_replace(sum by (namespace, pod) (a_waiting) or sum by (namespace, pod) (rate(b_total[1m])), \
             \"rbga_part\", \"value\", \"\", \"\") or label_replace(min by (namespace, pod) (timestamp(a_waiting)) or \
             min by (namespace, pod) (timestamp(b_total)), \"rbga_part\", \"time\", \"\", \"\")"
        );
    }

    #[test]
    fn narrowed_to_some_of_its_series() {
        const ENGINES: &[EngineQuery] = &[
            EngineQuery::new("a", Expression::Sum(Series::with("a:waiting", &[("state", &["a:waiting"])]))),
            EngineQuery::new("b", Expression::Quantile(Series::new("b_seconds"))),
        ];
        let signal = Signal {
            name: "x".to_owned(),
            unit: Unit::Seconds,
            window: Duration::from_secs(60),
            fold: Fold::Max,
            idle: Some(MilliValue::ZERO),
            meaning: String::new(),
            definition: Definition::Engines(ENGINES),
        };
        let comparison = Comparison::Equal("m".to_owned());
        let only = || {
            vec![Matcher { label: "model".to_owned(), comparison: comparison.clone(), is_negative: false }]
        };
        let narrowed = signal.narrowed(only()).expect("an engines' signal");
        assert_eq!(narrowed.name, r#"x{model="m"}"#);
        assert_eq!(
            narrowed.query(),
            "label_replace(sum by (namespace, pod) (a:waiting{model=\"m\",state=\"a:waiting\"}) or histogram_quantile(0.95, sum by (le, \
             namespace, pod) (rate(b_seconds_bucket{model=\"m\"}[1m]))), \"rbga_part\", \"value\", \"\", \"\") or label_replace(min by (namespace, \
             pod) (timestamp(a:waiting{model=\"m\",state=\"a:waiting\"})) or min by (namespace, pod) (timestamp(b_seconds_count{model=\"m\"})), \
             \"rbga_part\", \"time\", \"\", \"\")"
        );
        assert_eq!(narrowed.narrowed(only()), None);
    }

    #[test]
    fn latencies_are_refused_as_targets() {
        assert!(refused_as_target("ttft_p95").is_some());
        assert_eq!(refused_as_target("queue_length"), None);
    }
}
