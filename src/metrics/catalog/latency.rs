//! How long requests and tokens take. For people and dashboards; refused as scaling targets.

use crate::metrics::{
    EngineQuery,
    expression::{
        Expression::{Add, Divide, Over, Quantile, Rate},
        Series,
    },
};

pub(super) const TTFT: &[EngineQuery] = &[
    EngineQuery::new("vllm", Quantile(Series::new("vllm:time_to_first_token_seconds"))),
    EngineQuery::new("sglang", Quantile(Series::new("sglang:time_to_first_token_seconds"))),
    EngineQuery::new("trtllm-serve", Quantile(Series::new("trtllm_time_to_first_token_seconds"))),
    // Four buckets only, so coarse.
    EngineQuery::new(
        "triton-trtllm",
        Over(&Quantile(Series::new("nv_inference_first_response_histogram_ms")), 1000.0),
    ),
    EngineQuery::new("dynamo", Quantile(Series::new("dynamo_frontend_time_to_first_token_seconds"))),
    // Queue plus prefill: an upper estimate.
    EngineQuery::new(
        "tgi",
        Add(
            &Quantile(Series::new("tgi_request_queue_duration")),
            &Quantile(Series::with("tgi_batch_inference_duration", &[("method", &["prefill"])])),
        ),
    ),
    EngineQuery::new("lmdeploy", Quantile(Series::new("lmdeploy:time_to_first_token_seconds"))),
    EngineQuery::new("ray-serve-llm", Quantile(Series::new("ray_vllm_time_to_first_token_seconds"))),
    EngineQuery::new("sglang-router", Quantile(Series::new("smg_router_ttft_seconds"))),
    EngineQuery::new("gie-epp", Quantile(Series::new("inference_objective_request_ttft_seconds"))),
];

pub(super) const TPOT: &[EngineQuery] = &[
    EngineQuery::new("vllm", Quantile(Series::new("vllm:inter_token_latency_seconds"))),
    EngineQuery::new("vllm-legacy", Quantile(Series::new("vllm:time_per_output_token_seconds"))),
    EngineQuery::new("sglang", Quantile(Series::new("sglang:inter_token_latency_seconds"))),
    EngineQuery::new("trtllm-serve", Quantile(Series::new("trtllm_time_per_output_token_seconds"))),
    EngineQuery::new("dynamo", Quantile(Series::new("dynamo_frontend_inter_token_latency_seconds"))),
    EngineQuery::new("tgi", Quantile(Series::new("tgi_request_mean_time_per_token_duration"))),
    // The mean: there is no histogram.
    EngineQuery::new(
        "llamacpp",
        Divide(
            &Rate(Series::new("llamacpp:tokens_predicted_seconds_total")),
            &Rate(Series::new("llamacpp:tokens_predicted_total")),
        ),
    ),
    EngineQuery::new("lmdeploy", Quantile(Series::new("lmdeploy:iter_token_latency"))),
    EngineQuery::new("ray-serve-llm", Quantile(Series::new("ray_vllm_inter_token_latency_seconds"))),
];

pub(super) const END_TO_END: &[EngineQuery] = &[
    EngineQuery::new("vllm", Quantile(Series::new("vllm:e2e_request_latency_seconds"))),
    EngineQuery::new("sglang", Quantile(Series::new("sglang:e2e_request_latency_seconds"))),
    EngineQuery::new("trtllm-serve", Quantile(Series::new("trtllm_e2e_request_latency_seconds"))),
    // The mean: there is no histogram. One model, since an ensemble counts each request once per member.
    EngineQuery::new(
        "triton-trtllm",
        Over(
            &Divide(
                &Rate(Series::with("nv_inference_request_duration_us", &[("model", &["tensorrt_llm"])])),
                &Rate(Series::with("nv_inference_request_success", &[("model", &["tensorrt_llm"])])),
            ),
            1e6,
        ),
    ),
    EngineQuery::new("dynamo", Quantile(Series::new("dynamo_frontend_request_duration_seconds"))),
    EngineQuery::new("tgi", Quantile(Series::new("tgi_request_duration"))),
    EngineQuery::new("lmdeploy", Quantile(Series::new("lmdeploy:e2e_request_latency_seconds"))),
    EngineQuery::new(
        "ray-serve-llm",
        Over(&Quantile(Series::new("ray_serve_deployment_processing_latency_ms")), 1000.0),
    ),
    EngineQuery::new("kserve-hf", Quantile(Series::new("request_predict_seconds"))),
    EngineQuery::new("sglang-router", Quantile(Series::new("smg_http_request_duration_seconds"))),
    EngineQuery::new("gie-epp", Quantile(Series::new("inference_objective_request_duration_seconds"))),
];
