//! The metrics of SGLang: scheduler series carry rank labels, tokenizer series do not, `/v1/loads` has names of its own.

use super::{
    Reading,
    page::{Labels, Page, float},
};
use crate::fleet::statistics::Buckets;

const LATENCY: [f64; 22] = [
    0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0,
    600.0, 1200.0, 1800.0, 2400.0,
];

pub(super) const BUCKETS: Buckets = Buckets {
    first_token: LATENCY.split_at(18).0,
    inter_token: &[
        0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4,
        0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0,
    ],
    whole: &LATENCY,
    queue: &[
        0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0,
        90.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1000.0, 1200.0, 1400.0, 1600.0,
        1800.0, 2000.0, 2500.0, 3000.0,
    ],
    phase: &[],
    tokens: &[],
    step: &[],
};

const PAGE_SIZE: u32 = 64;

pub(super) fn metrics(reading: &Reading) -> String {
    let ranks: Labels<'_> = &[
        ("dp_rank", "0"),
        ("engine_type", "unified"),
        ("model_name", reading.model_name),
        ("moe_ep_rank", "0"),
        ("pp_rank", "0"),
        ("tp_rank", "0"),
    ];
    let plain: Labels<'_> = &[("engine_type", "unified"), ("model_name", reading.model_name)];
    let mut page = Page::default();
    scheduler(&mut page, reading, ranks);
    tokenizer(&mut page, reading, plain);
    let pages = (reading.kv_capacity / PAGE_SIZE).to_string();
    let settings: Labels<'_> = &[("num_pages", &pages), ("page_size", "64")];
    page.gauge("sglang:cache_config_info", "Page settings as labels.", settings, 1.0);
    page.into_text()
}

pub(super) fn loads(reading: &Reading) -> String {
    let labels: Labels<'_> = &[("dp_rank", "0")];
    let mut page = Page::default();
    for (name, help, value) in [
        ("sglang_num_running_reqs", "Running requests.", reading.running_requests),
        ("sglang_num_waiting_reqs", "Waiting requests.", reading.queue_length),
        (
            "sglang_num_waiting_uncached_tokens",
            "Prompt tokens waiting for prefill, cached ones taken off.",
            reading.pending_tokens,
        ),
        (
            "sglang_num_used_tokens",
            "KV tokens in use.",
            reading.kv_cache_usage * f64::from(reading.kv_capacity),
        ),
        ("sglang_max_total_num_tokens", "KV pool size in tokens.", f64::from(reading.kv_capacity)),
        ("sglang_token_usage", "KV token pool usage, 0 to 1.", reading.kv_cache_usage),
        ("sglang_gen_throughput", "Decode tokens per second.", reading.generation_throughput),
        ("sglang_cache_hit_rate", "Prefix hit share.", hit_rate(reading)),
    ] {
        page.gauge(name, help, labels, value);
    }
    page.into_text()
}

fn scheduler(page: &mut Page, reading: &Reading, ranks: Labels<'_>) {
    for (name, help, value) in [
        ("sglang:num_running_reqs", "Running requests.", reading.running_requests),
        (
            "sglang:num_used_tokens",
            "KV tokens in use.",
            reading.kv_cache_usage * f64::from(reading.kv_capacity),
        ),
        ("sglang:token_usage", "KV token pool usage, 0 to 1.", reading.kv_cache_usage),
        (
            "sglang:gen_throughput",
            "Decode tokens per second over the last log window.",
            reading.generation_throughput,
        ),
        ("sglang:num_queue_reqs", "Waiting requests.", reading.queue_length),
        ("sglang:num_grammar_queue_reqs", "Requests waiting for a grammar.", 0.0),
        ("sglang:cache_hit_rate", "Prefix hit share of the last prefill batch.", hit_rate(reading)),
        ("sglang:max_total_num_tokens", "KV pool size in tokens.", f64::from(reading.kv_capacity)),
        ("sglang:num_retracted_reqs", "Requests retracted in the last step.", 0.0),
        ("sglang:num_paused_reqs", "Paused requests.", 0.0),
    ] {
        page.gauge(name, help, ranks, value);
    }
    let statistics = &reading.statistics;
    page.counter("sglang:num_retracted_requests", "Retractions since start.", ranks, 0.0, None);
    let modes = [
        ("prefill_compute", float(statistics.prefilled_tokens)),
        ("prefill_cache", float(statistics.cached_tokens)),
        ("decode", float(statistics.generated_tokens)),
    ];
    page.split_counter(
        "sglang:realtime_tokens",
        "Tokens by work kind, updated per log interval.",
        ranks,
        ("mode", &modes),
        None,
    );
    page.histogram("sglang:queue_time_seconds", "Seconds queued.", ranks, &statistics.queue);
}

/// Token counters of the tokenizer move when a request ends.
fn tokenizer(page: &mut Page, reading: &Reading, plain: Labels<'_>) {
    let statistics = &reading.statistics;
    page.counter(
        "sglang:prompt_tokens",
        "Prompt tokens.",
        plain,
        statistics.request_prompt_tokens.sum(),
        None,
    );
    page.counter(
        "sglang:generation_tokens",
        "Generated tokens.",
        plain,
        statistics.request_generated_tokens.sum(),
        None,
    );
    let sources = [("device", float(statistics.cached_tokens)), ("host", 0.0)];
    page.split_counter(
        "sglang:cached_tokens",
        "Prompt tokens found cached.",
        plain,
        ("cache_source", &sources),
        None,
    );
    page.counter("sglang:num_requests", "Requests.", plain, float(statistics.finished), None);
    page.counter("sglang:num_aborted_requests", "Aborted requests.", plain, 0.0, None);
    for (name, help, histogram) in [
        ("sglang:time_to_first_token_seconds", "Seconds to the first token.", &statistics.first_token),
        ("sglang:inter_token_latency_seconds", "Seconds between tokens.", &statistics.inter_token),
        ("sglang:e2e_request_latency_seconds", "Seconds end to end.", &statistics.whole),
    ] {
        page.histogram(name, help, plain, histogram);
    }
}

fn hit_rate(reading: &Reading) -> f64 {
    let total = reading.statistics.prefilled_tokens + reading.statistics.cached_tokens;
    if total == 0 { 0.0 } else { float(reading.statistics.cached_tokens) / float(total) }
}
