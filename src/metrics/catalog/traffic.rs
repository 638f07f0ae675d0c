//! Requests coming and being worked on.

use crate::metrics::{
    EngineQuery,
    expression::{Expression, Expression::Rate, Expression::Sum, Series},
};

/// Says whether a vLLM engine is awake; a sleeping one reports zeros.
pub(super) const VLLM_AWAKE: Series = Series::with("vllm:engine_sleep_state", &[("sleep_state", &["awake"])]);

pub(super) const QPS: &[EngineQuery] = &[
    EngineQuery::new("vllm", Rate(Series::new("vllm:request_success_total"))),
    EngineQuery::new("sglang", Rate(Series::new("sglang:num_requests_total"))),
    EngineQuery::new("trtllm-serve", Rate(Series::new("trtllm_request_success_total"))),
    // An ensemble counts each request once per member, so one model is enough.
    EngineQuery::new(
        "triton-trtllm",
        Rate(Series::with("nv_inference_request_success", &[("model", &["tensorrt_llm"])])),
    ),
    EngineQuery::new("dynamo", Rate(Series::new("dynamo_frontend_requests_total"))),
    EngineQuery::new("dynamo-worker", Rate(Series::new("dynamo_component_requests_total"))),
    // Arrivals, not completions.
    EngineQuery::new("tgi", Rate(Series::new("tgi_request_count"))),
    EngineQuery::new("lmdeploy", Rate(Series::new("lmdeploy:request_success_total"))),
    EngineQuery::new("ray-serve-llm", Rate(Series::new("ray_serve_num_router_requests_total"))),
    EngineQuery::new("kserve-hf", Rate(Series::new("request_predict_seconds_count"))),
    EngineQuery::new("sglang-router", Rate(Series::new("smg_router_requests_total"))),
    EngineQuery::new("gie-epp", Rate(Series::new("inference_objective_request_total"))),
];

const SGLANG_RUNNING: Expression = Expression::SumOfMax(Series::new("sglang:num_running_reqs"), "dp_rank");

pub(super) const RUNNING: &[EngineQuery] = &[
    EngineQuery::new("vllm", Expression::Awake(&Sum(Series::new("vllm:num_requests_running")), VLLM_AWAKE)),
    EngineQuery::new("sglang", SGLANG_RUNNING),
    EngineQuery::new("trtllm-serve", Sum(Series::new("trtllm_num_requests_running"))),
    EngineQuery::new(
        "triton-trtllm",
        Sum(Series::with("nv_trt_llm_request_metrics", &[("request_type", &["scheduled"])])),
    ),
    EngineQuery::new("dynamo", Sum(Series::new("dynamo_frontend_active_requests"))),
    EngineQuery::new("dynamo", Sum(Series::new("dynamo_frontend_inflight_requests"))),
    EngineQuery::new("dynamo-worker", Sum(Series::new("dynamo_component_inflight_requests"))),
    EngineQuery::new("tgi", Sum(Series::new("tgi_batch_current_size"))),
    EngineQuery::new("llamacpp", Sum(Series::new("llamacpp:requests_processing"))),
    EngineQuery::new("lmdeploy", Sum(Series::new("lmdeploy:num_requests_running"))),
    EngineQuery::new("ray-serve-llm", Sum(Series::new("ray_serve_num_ongoing_requests_at_replicas"))),
    EngineQuery::new("sglang-router", Sum(Series::new("smg_worker_requests_active"))),
    EngineQuery::new("gie-epp", Sum(Series::new("inference_objective_running_requests"))),
];
