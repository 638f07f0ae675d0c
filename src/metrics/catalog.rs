//! The signals that need no rules: one name over all engines.

use std::{sync::Arc, time::Duration};

use crate::{
    metrics::{
        Definition, EngineQuery, Fold, Signal, Unit,
        expression::{Expression, Series},
    },
    units::MilliValue,
};

/// The window of rates: short, because they steer.
const SHORT: Duration = Duration::from_secs(60);

const QPS: &[EngineQuery] = &[
    EngineQuery { engine: "vllm", expression: Expression::Rate(Series::new("vllm:request_success_total")) },
    EngineQuery { engine: "sglang", expression: Expression::Rate(Series::new("sglang:num_requests_total")) },
];

const VLLM_WAITING: Expression = Expression::Sum(Series::new("vllm:num_requests_waiting"));
/// Every tensor-parallel rank may report the same queue; data-parallel ranks have queues of their own.
const SGLANG_WAITING: Expression = Expression::SumOfMax(Series::new("sglang:num_queue_reqs"), "dp_rank");

const QUEUE_LENGTH: &[EngineQuery] = &[
    EngineQuery { engine: "vllm", expression: VLLM_WAITING },
    EngineQuery { engine: "sglang", expression: SGLANG_WAITING },
];

const PENDING_TOKENS: &[EngineQuery] = &[
    EngineQuery {
        engine: "vllm",
        expression: Expression::Backlog {
            waiting: &VLLM_WAITING,
            tokens: &Expression::Rate(Series::new("vllm:request_prompt_tokens_sum")),
            requests: &Expression::Rate(Series::new("vllm:request_prompt_tokens_count")),
        },
    },
    EngineQuery {
        engine: "sglang",
        expression: Expression::SumOfMax(Series::new("sglang_num_waiting_uncached_tokens"), "dp_rank"),
    },
    EngineQuery {
        engine: "sglang",
        expression: Expression::Backlog {
            waiting: &SGLANG_WAITING,
            tokens: &Expression::Rate(Series::new("sglang:prompt_tokens_total")),
            requests: &Expression::Rate(Series::new("sglang:num_requests_total")),
        },
    },
];

const KV_CACHE_USAGE: &[EngineQuery] = &[
    EngineQuery { engine: "vllm", expression: Expression::Max(Series::new("vllm:kv_cache_usage_perc")) },
    EngineQuery { engine: "sglang", expression: Expression::Max(Series::new("sglang:token_usage")) },
];

/// Returns the built-in signals, in the order in which they are shown.
pub fn built_in() -> Vec<Arc<Signal>> {
    let signal = |name: &str, unit, window, fold, meaning: &str, engines| {
        Arc::new(Signal {
            name: name.to_owned(),
            unit,
            window,
            fold,
            idle: Some(MilliValue::ZERO),
            meaning: meaning.to_owned(),
            definition: Definition::Engines(engines),
        })
    };
    vec![
        signal("qps", Unit::RequestsPerSecond, SHORT, Fold::Sum, "requests finished per second", QPS),
        signal(
            "queue_length",
            Unit::Requests,
            Duration::ZERO,
            Fold::Sum,
            "requests waiting for a place in the running batch",
            QUEUE_LENGTH,
        ),
        signal(
            "pending_tokens",
            Unit::Tokens,
            Duration::from_secs(300),
            Fold::Sum,
            "prompt tokens of waiting requests",
            PENDING_TOKENS,
        ),
        signal(
            "kv_cache_usage",
            Unit::Ratio,
            Duration::ZERO,
            Fold::Max,
            "share of the KV cache in use, the fullest engine of the pod",
            KV_CACHE_USAGE,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = built_in().iter().map(|signal| signal.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), built_in().len());
    }
}
