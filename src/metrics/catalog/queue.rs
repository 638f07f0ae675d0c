//! Requests and prompt tokens that wait.

use super::traffic::VLLM_AWAKE;
use crate::metrics::{
    EngineQuery,
    expression::{
        DEFAULT_PROMPT_TOKENS, Expression,
        Expression::{Add, Awake, Backlog, Over, Rate, Sum, SumOfMax, Times},
        Series,
    },
};

const VLLM: Expression = Awake(&Sum(Series::new("vllm:num_requests_waiting")), VLLM_AWAKE);
/// Every tensor-parallel rank may report the same queue; data-parallel ranks have queues of their own.
const SGLANG: Expression = SumOfMax(Series::new("sglang:num_queue_reqs"), "dp_rank");
const TRTLLM: Expression = Sum(Series::new("trtllm_num_requests_waiting"));
const TRITON: Expression = Sum(Series::with("nv_trt_llm_request_metrics", &[("request_type", &["waiting"])]));
const TGI: Expression = Sum(Series::new("tgi_queue_size"));
const LLAMACPP: Expression = Sum(Series::new("llamacpp:requests_deferred"));
const LMDEPLOY: Expression = Sum(Series::new("lmdeploy:num_requests_waiting"));
const RAY: Expression = Sum(Series::new("ray_serve_deployment_queued_queries"));
const RAY_VLLM: Expression = Sum(Series::new("ray_vllm_num_requests_waiting"));

pub(super) const LENGTH: &[EngineQuery] = &[
    EngineQuery::new("vllm", VLLM),
    EngineQuery::new("sglang", SGLANG),
    EngineQuery::new("trtllm-serve", TRTLLM),
    EngineQuery::new("triton-trtllm", TRITON),
    EngineQuery::new(
        "dynamo",
        Sum(Series::with(
            "dynamo_frontend_stage_requests",
            &[("stage", &["preprocess", "route", "dispatch"])],
        )),
    ),
    EngineQuery::new("dynamo", Sum(Series::new("dynamo_frontend_queued_requests"))),
    EngineQuery::new("tgi", TGI),
    EngineQuery::new("llamacpp", LLAMACPP),
    EngineQuery::new("lmdeploy", Add(&LMDEPLOY, &Sum(Series::new("lmdeploy:num_api_requests_waiting")))),
    EngineQuery::new("lmdeploy", LMDEPLOY),
    EngineQuery::new("ray-serve-llm", Add(&RAY, &RAY_VLLM)),
    // The proxy's queue and the engine's may be on different pods.
    EngineQuery::new("ray-serve-llm", RAY_VLLM),
    EngineQuery::new("ray-serve-llm", RAY),
    EngineQuery::new("sglang-router", Sum(Series::new("smg_pd_prefill_admission_queued"))),
    EngineQuery::new("gie-epp", Sum(Series::new("inference_extension_flow_control_queue_size"))),
];

pub(super) const PENDING_TOKENS: &[EngineQuery] = &[
    EngineQuery::new(
        "vllm",
        Backlog {
            waiting: &VLLM,
            tokens: &Rate(Series::new("vllm:request_prompt_tokens_sum")),
            requests: &Rate(Series::new("vllm:request_prompt_tokens_count")),
        },
    ),
    // The one engine that tells; its second endpoint, /v1/loads?format=prometheus, must be scraped for it.
    EngineQuery::new("sglang", SumOfMax(Series::new("sglang_num_waiting_uncached_tokens"), "dp_rank")),
    EngineQuery::new(
        "sglang",
        Backlog {
            waiting: &SGLANG,
            tokens: &Rate(Series::new("sglang:prompt_tokens_total")),
            requests: &Rate(Series::new("sglang:num_requests_total")),
        },
    ),
    EngineQuery::new(
        "trtllm-serve",
        Backlog {
            waiting: &TRTLLM,
            tokens: &Rate(Series::new("trtllm_prompt_tokens_total")),
            requests: &Rate(Series::new("trtllm_request_success_total")),
        },
    ),
    EngineQuery::new(
        "triton-trtllm",
        Backlog {
            waiting: &TRITON,
            tokens: &Rate(Series::new("nv_llm_input_token_len_sum")),
            requests: &Rate(Series::new("nv_llm_input_token_len_count")),
        },
    ),
    // On the frontend's pod: the work it has handed to its workers and that they have not begun.
    EngineQuery::new("dynamo", Sum(Series::new("dynamo_frontend_worker_active_prefill_tokens"))),
    EngineQuery::new(
        "tgi",
        Backlog {
            waiting: &TGI,
            tokens: &Rate(Series::new("tgi_request_input_length_sum")),
            requests: &Rate(Series::new("tgi_request_input_length_count")),
        },
    ),
    // Counts no requests, so there is no mean to take.
    EngineQuery::new("llamacpp", Times(&LLAMACPP, DEFAULT_PROMPT_TOKENS)),
    EngineQuery::new(
        "lmdeploy",
        Backlog {
            waiting: &LMDEPLOY,
            tokens: &Rate(Series::new("lmdeploy:request_prompt_tokens_sum")),
            requests: &Rate(Series::new("lmdeploy:request_prompt_tokens_count")),
        },
    ),
    EngineQuery::new(
        "ray-serve-llm",
        Backlog {
            waiting: &RAY_VLLM,
            tokens: &Rate(Series::new("ray_vllm_request_prompt_tokens_sum")),
            requests: &Rate(Series::new("ray_vllm_request_prompt_tokens_count")),
        },
    ),
    // About four bytes of a request's body make a token.
    EngineQuery::new("gie-epp", Over(&Sum(Series::new("inference_extension_flow_control_queue_bytes")), 4.0)),
];
