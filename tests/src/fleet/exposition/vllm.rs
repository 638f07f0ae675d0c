//! The metrics of vLLM's V1 engine.

use super::{
    Reading,
    page::{Labels, Page, float},
};
use crate::fleet::statistics::Buckets;

const TOKENS: [f64; 14] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0];
const SECONDS: [f64; 23] = [
    0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];

pub(super) const BUCKETS: Buckets = Buckets {
    first_token: &[
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
        40.0, 80.0, 160.0, 640.0, 2560.0,
    ],
    inter_token: &[
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
        80.0,
    ],
    whole: &SECONDS,
    queue: &SECONDS,
    phase: &SECONDS,
    tokens: &TOKENS,
    step: &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0],
};

const BLOCK_SIZE: u32 = 16;

pub(super) fn metrics(reading: &Reading) -> String {
    let labels: Labels<'_> = &[("engine", "0"), ("model_name", reading.model_name)];
    let mut page = Page::default();
    gauges(&mut page, reading, labels);
    counters(&mut page, reading, labels);
    histograms(&mut page, reading, labels);
    let blocks = (reading.kv_capacity / BLOCK_SIZE).to_string();
    let settings: Labels<'_> = &[
        ("block_size", "16"),
        ("cache_dtype", "auto"),
        ("enable_prefix_caching", "True"),
        ("engine", "0"),
        ("gpu_memory_utilization", "0.9"),
        ("num_gpu_blocks", &blocks),
    ];
    page.gauge("vllm:cache_config_info", "Cache settings carried as labels.", settings, 1.0);
    let chat: Labels<'_> = &[("handler", "/v1/chat/completions"), ("method", "POST"), ("status", "2xx")];
    page.counter(
        "http_requests",
        "HTTP requests by handler, method and status class.",
        chat,
        float(reading.statistics.finished),
        Some(reading.created),
    );
    page.into_text()
}

fn gauges(page: &mut Page, reading: &Reading, labels: Labels<'_>) {
    page.gauge(
        "vllm:num_requests_running",
        "Requests inside the current execution batches.",
        labels,
        reading.running_requests,
    );
    page.gauge(
        "vllm:num_requests_waiting",
        "Requests queued for the scheduler.",
        labels,
        reading.queue_length,
    );
    page.split_gauge(
        "vllm:num_requests_waiting_by_reason",
        "Waiting requests split by cause.",
        labels,
        "reason",
        &[("capacity", reading.queue_length), ("deferred", 0.0)],
    );
    page.split_gauge(
        "vllm:engine_sleep_state",
        "Sleep mode flag per state; one state is 1.",
        labels,
        "sleep_state",
        &[("awake", 1.0), ("weights_offloaded", 0.0), ("discard_all", 0.0)],
    );
    page.gauge(
        "vllm:kv_cache_usage_perc",
        "Share of KV blocks in use, 0 to 1.",
        labels,
        reading.kv_cache_usage,
    );
}

fn counters(page: &mut Page, reading: &Reading, labels: Labels<'_>) {
    let statistics = &reading.statistics;
    let created = Some(reading.created);
    for (name, help, value) in [
        (
            "vllm:prefix_cache_queries",
            "Prompt tokens looked up in the prefix cache.",
            statistics.prompt_tokens,
        ),
        ("vllm:prefix_cache_hits", "Prompt tokens found in the prefix cache.", statistics.cached_tokens),
        ("vllm:num_preemptions", "Preempted requests since start.", 0),
        ("vllm:prompt_tokens", "Prompt tokens handled.", statistics.prompt_tokens),
    ] {
        page.counter(name, help, labels, float(value), created);
    }
    let computed = statistics.prompt_tokens.saturating_sub(statistics.cached_tokens);
    page.split_counter(
        "vllm:prompt_tokens_by_source",
        "Prompt tokens by where their KV came from.",
        labels,
        (
            "source",
            &[
                ("local_compute", float(computed)),
                ("local_cache_hit", float(statistics.cached_tokens)),
                ("external_kv_transfer", 0.0),
            ],
        ),
        created,
    );
    page.counter(
        "vllm:generation_tokens",
        "Tokens generated.",
        labels,
        float(statistics.generated_tokens),
        created,
    );
    page.split_counter(
        "vllm:request_success",
        "Finished requests by finish reason.",
        labels,
        (
            "finished_reason",
            &[("stop", float(statistics.finished)), ("length", 0.0), ("abort", 0.0), ("error", 0.0)],
        ),
        created,
    );
}

fn histograms(page: &mut Page, reading: &Reading, labels: Labels<'_>) {
    let statistics = &reading.statistics;
    for (name, help, histogram) in [
        (
            "vllm:request_prompt_tokens",
            "Prompt length of finished requests.",
            &statistics.request_prompt_tokens,
        ),
        (
            "vllm:request_generation_tokens",
            "Output length of finished requests.",
            &statistics.request_generated_tokens,
        ),
        ("vllm:iteration_tokens_total", "Tokens per engine step.", &statistics.step_tokens),
        ("vllm:time_to_first_token_seconds", "Seconds from arrival to first token.", &statistics.first_token),
        ("vllm:inter_token_latency_seconds", "Seconds between successive tokens.", &statistics.inter_token),
        (
            "vllm:request_time_per_output_token_seconds",
            "Mean seconds per output token of a request.",
            &statistics.mean_inter_token,
        ),
        ("vllm:e2e_request_latency_seconds", "Seconds from arrival to last token.", &statistics.whole),
        ("vllm:request_queue_time_seconds", "Seconds in the waiting queue.", &statistics.queue),
        ("vllm:request_prefill_time_seconds", "Seconds of prefill.", &statistics.prefill),
        ("vllm:request_decode_time_seconds", "Seconds of decode.", &statistics.decode),
        ("vllm:request_inference_time_seconds", "Seconds of prefill plus decode.", &statistics.inference),
    ] {
        page.histogram(name, help, labels, histogram);
    }
}
