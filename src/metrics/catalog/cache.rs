//! How full the KV cache is and how much of the prompts it already holds.

use super::traffic::VLLM_AWAKE;
use crate::metrics::{
    EngineQuery,
    expression::{
        Expression,
        Expression::{Add, Awake, Divide, Mean, Rate, Sum},
        Series,
    },
};

pub(super) const KV_USAGE: &[EngineQuery] = &[
    EngineQuery::new("vllm", Awake(&Mean(Series::new("vllm:kv_cache_usage_perc")), VLLM_AWAKE)),
    EngineQuery::new("vllm-legacy", Mean(Series::new("vllm:gpu_cache_usage_perc"))),
    EngineQuery::new("sglang", Mean(Series::new("sglang:token_usage"))),
    EngineQuery::new("trtllm-serve", Mean(Series::new("trtllm_kv_cache_utilization"))),
    EngineQuery::new(
        "triton-trtllm",
        Mean(Series::with("nv_trt_llm_kv_cache_block_metrics", &[("kv_cache_block_type", &["fraction"])])),
    ),
    EngineQuery::new("dynamo-worker", Mean(Series::new("dynamo_component_gpu_cache_usage_percent"))),
    EngineQuery::new("dynamo-worker", Mean(Series::new("dynamo_component_kvstats_gpu_cache_usage_percent"))),
    // Reserved token budget, not used blocks.
    EngineQuery::new(
        "tgi",
        Divide(
            &Sum(Series::new("tgi_batch_current_max_tokens")),
            &Sum(Series::new("tgi_batch_max_total_tokens")),
        ),
    ),
    EngineQuery::new("llamacpp", Mean(Series::new("llamacpp:kv_cache_usage_ratio"))),
    EngineQuery::new("lmdeploy", Mean(Series::new("lmdeploy:gpu_cache_usage_perc"))),
    EngineQuery::new("ray-serve-llm", Mean(Series::new("ray_vllm_kv_cache_usage_perc"))),
    EngineQuery::new("gie-epp", Mean(Series::new("inference_pool_average_kv_cache_utilization"))),
];

const TRTLLM_REUSED: Expression = Rate(Series::new("trtllm_kv_cache_reused_blocks_total"));
const LLAMACPP_CACHED: Expression = Rate(Series::new("llamacpp:prompt_tokens_cached_total"));

pub(super) const PREFIX_HIT_RATE: &[EngineQuery] = &[
    EngineQuery::new(
        "vllm",
        Divide(
            &Rate(Series::new("vllm:prefix_cache_hits_total")),
            &Rate(Series::new("vllm:prefix_cache_queries_total")),
        ),
    ),
    EngineQuery::new(
        "vllm-legacy",
        Divide(
            &Rate(Series::new("vllm:gpu_prefix_cache_hits_total")),
            &Rate(Series::new("vllm:gpu_prefix_cache_queries_total")),
        ),
    ),
    EngineQuery::new("vllm-legacy", Mean(Series::new("vllm:gpu_prefix_cache_hit_rate"))),
    EngineQuery::new(
        "sglang",
        Divide(
            &Rate(Series::with("sglang:realtime_tokens_total", &[("mode", &["prefill_cache"])])),
            &Rate(Series::with(
                "sglang:realtime_tokens_total",
                &[("mode", &["prefill_compute", "prefill_cache"])],
            )),
        ),
    ),
    EngineQuery::new(
        "sglang",
        Divide(
            &Rate(Series::new("sglang:cached_tokens_total")),
            &Rate(Series::new("sglang:prompt_tokens_total")),
        ),
    ),
    EngineQuery::new(
        "trtllm-serve",
        Divide(
            &TRTLLM_REUSED,
            &Add(&TRTLLM_REUSED, &Rate(Series::new("trtllm_kv_cache_missed_blocks_total"))),
        ),
    ),
    EngineQuery::new("trtllm-serve", Mean(Series::new("trtllm_kv_cache_hit_rate"))),
    EngineQuery::new(
        "dynamo",
        Divide(
            &Rate(Series::new("dynamo_frontend_cached_tokens_sum")),
            &Rate(Series::new("dynamo_frontend_input_sequence_tokens_sum")),
        ),
    ),
    EngineQuery::new(
        "llamacpp",
        Divide(&LLAMACPP_CACHED, &Add(&LLAMACPP_CACHED, &Rate(Series::new("llamacpp:prompt_tokens_total")))),
    ),
    EngineQuery::new(
        "lmdeploy",
        Divide(
            &Rate(Series::new("lmdeploy:cached_tokens_total")),
            &Rate(Series::new("lmdeploy:prompt_tokens_total")),
        ),
    ),
];
