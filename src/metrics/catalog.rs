//! The signals that need no rules: one name over all engines, as data.
//!
//! Where several expressions fit a pod the first one answers: the engine's own figures before those of a framework around it, new
//! names before old ones (some versions expose both), direct figures before derived ones.
//! Source: the engines' documentation and metrics pages; facts per engine, no code of theirs.

use std::{sync::Arc, time::Duration};

use crate::{
    metrics::{Definition, EngineQuery, Fold, Signal, Unit},
    units::MilliValue,
};

mod cache;
mod gpu;
mod latency;
mod queue;
mod tokens;
mod traffic;

/// The window of rates that steer: at least four scrapes long.
pub const RATE_WINDOW: Duration = Duration::from_secs(60);

/// One built-in signal.
struct Row {
    name: &'static str,
    unit: Unit,
    span: Span,
    fold: Fold,
    /// Whether zero is what an engine without traffic answers; else it is left out.
    idles_at_zero: bool,
    meaning: &'static str,
    engines: &'static [EngineQuery],
}

/// What a signal's numbers are taken over.
#[derive(Clone, Copy)]
enum Span {
    Now,
    /// Rates that steer.
    Short,
    /// Ratios and quantiles, which need more events.
    Long,
}

const ROWS: [Row; 12] = [
    Row {
        name: "qps",
        unit: Unit::RequestsPerSecond,
        span: Span::Short,
        fold: Fold::Sum,
        idles_at_zero: true,
        meaning: "requests finished per second",
        engines: traffic::QPS,
    },
    Row {
        name: "running_requests",
        unit: Unit::Requests,
        span: Span::Now,
        fold: Fold::Sum,
        idles_at_zero: true,
        meaning: "requests being processed",
        engines: traffic::RUNNING,
    },
    Row {
        name: "queue_length",
        unit: Unit::Requests,
        span: Span::Now,
        fold: Fold::Sum,
        idles_at_zero: true,
        meaning: "requests waiting for a place in the running batch",
        engines: queue::LENGTH,
    },
    Row {
        name: "pending_tokens",
        unit: Unit::Tokens,
        span: Span::Long,
        fold: Fold::Sum,
        idles_at_zero: true,
        meaning: "prompt tokens of waiting requests; where no engine tells, waiting requests × their mean prompt length",
        engines: queue::PENDING_TOKENS,
    },
    Row {
        name: "kv_cache_usage",
        unit: Unit::Ratio,
        span: Span::Now,
        fold: Fold::Max,
        idles_at_zero: true,
        meaning: "share of the KV cache in use",
        engines: cache::KV_USAGE,
    },
    Row {
        name: "prefix_cache_hit_rate",
        unit: Unit::Ratio,
        span: Span::Long,
        fold: Fold::Max,
        idles_at_zero: false,
        meaning: "share of prompt tokens found in the prefix cache",
        engines: cache::PREFIX_HIT_RATE,
    },
    Row {
        name: "prompt_tokens_per_second",
        unit: Unit::TokensPerSecond,
        span: Span::Short,
        fold: Fold::Sum,
        idles_at_zero: true,
        meaning: "prompt tokens processed per second, cached ones included",
        engines: tokens::PROMPT,
    },
    Row {
        name: "generation_tokens_per_second",
        unit: Unit::TokensPerSecond,
        span: Span::Short,
        fold: Fold::Sum,
        idles_at_zero: true,
        meaning: "tokens generated per second",
        engines: tokens::GENERATION,
    },
    Row {
        name: "ttft_p95",
        unit: Unit::Seconds,
        span: Span::Long,
        fold: Fold::Max,
        idles_at_zero: true,
        meaning: "time to the first token; 95 of 100 requests are faster",
        engines: latency::TTFT,
    },
    Row {
        name: "tpot_p95",
        unit: Unit::Seconds,
        span: Span::Long,
        fold: Fold::Max,
        idles_at_zero: true,
        meaning: "time per output token; 95 of 100 are faster",
        engines: latency::TPOT,
    },
    Row {
        name: "e2e_latency_p95",
        unit: Unit::Seconds,
        span: Span::Long,
        fold: Fold::Max,
        idles_at_zero: true,
        meaning: "time to the last token; 95 of 100 requests are faster",
        engines: latency::END_TO_END,
    },
    Row {
        name: "gpu_utilization",
        unit: Unit::Ratio,
        span: Span::Now,
        fold: Fold::Max,
        idles_at_zero: true,
        meaning: "share of time in which the GPU does anything; near 1 from a small batch on, so a poor target",
        engines: gpu::UTILIZATION,
    },
];

/// Returns the built-in signals in the order in which they are shown; rates are taken over `rate_window`, ratios and quantiles over
/// five times as long.
pub fn built_in(rate_window: Duration) -> Vec<Arc<Signal>> {
    let window = |span| match span {
        Span::Now => Duration::ZERO,
        Span::Short => rate_window,
        Span::Long => rate_window.saturating_mul(5),
    };
    let signal = |row: &Row| Signal {
        name: row.name.to_owned(),
        unit: row.unit,
        window: window(row.span),
        fold: row.fold,
        idle: row.idles_at_zero.then_some(MilliValue::ZERO),
        meaning: row.meaning.to_owned(),
        definition: Definition::Engines(row.engines),
    };
    ROWS.iter().map(|row| Arc::new(signal(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_as_it_is_sent() {
        for signal in built_in(RATE_WINDOW) {
            let readable = signal.query().replace(" or ", "\n  or ");
            insta::assert_snapshot!(signal.name.as_str(), readable);
        }
    }

    #[test]
    fn latencies_are_the_signals_refused_as_targets() {
        for signal in built_in(RATE_WINDOW) {
            let refused = crate::metrics::refused_as_target(&signal.name).is_some();
            assert_eq!(refused, signal.unit == Unit::Seconds, "{}", signal.name);
        }
    }
}
