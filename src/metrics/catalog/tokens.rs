//! Tokens read and written per second.

use crate::metrics::{
    EngineQuery,
    expression::{Expression::Rate, Series},
};

pub(super) const PROMPT: &[EngineQuery] = &[
    EngineQuery::new("vllm", Rate(Series::new("vllm:prompt_tokens_total"))),
    // Moves while requests run; the plain counters below only when they end.
    EngineQuery::new(
        "sglang",
        Rate(Series::with(
            "sglang:realtime_tokens_total",
            &[("mode", &["prefill_compute", "prefill_cache"])],
        )),
    ),
    EngineQuery::new("sglang", Rate(Series::new("sglang:prompt_tokens_total"))),
    EngineQuery::new("trtllm-serve", Rate(Series::new("trtllm_prompt_tokens_total"))),
    EngineQuery::new("triton-trtllm", Rate(Series::new("nv_llm_input_token_len_sum"))),
    EngineQuery::new("dynamo", Rate(Series::new("dynamo_frontend_input_sequence_tokens_sum"))),
    EngineQuery::new("tgi", Rate(Series::new("tgi_request_input_length_sum"))),
    EngineQuery::new("llamacpp", Rate(Series::new("llamacpp:prompt_tokens_total"))),
    EngineQuery::new("lmdeploy", Rate(Series::new("lmdeploy:prompt_tokens_total"))),
    EngineQuery::new(
        "sglang-router",
        Rate(Series::with("smg_router_tokens_total", &[("token_type", &["input"])])),
    ),
    EngineQuery::new("gie-epp", Rate(Series::new("inference_objective_input_tokens_sum"))),
];

pub(super) const GENERATION: &[EngineQuery] = &[
    EngineQuery::new("vllm", Rate(Series::new("vllm:generation_tokens_total"))),
    EngineQuery::new("sglang", Rate(Series::with("sglang:realtime_tokens_total", &[("mode", &["decode"])]))),
    EngineQuery::new("sglang", Rate(Series::new("sglang:generation_tokens_total"))),
    EngineQuery::new("trtllm-serve", Rate(Series::new("trtllm_generation_tokens_total"))),
    EngineQuery::new("triton-trtllm", Rate(Series::new("nv_llm_output_token_len_sum"))),
    EngineQuery::new("dynamo", Rate(Series::new("dynamo_frontend_output_tokens_total"))),
    EngineQuery::new("tgi", Rate(Series::new("tgi_request_generated_tokens_sum"))),
    EngineQuery::new("llamacpp", Rate(Series::new("llamacpp:tokens_predicted_total"))),
    EngineQuery::new("lmdeploy", Rate(Series::new("lmdeploy:generation_tokens_total"))),
    EngineQuery::new(
        "sglang-router",
        Rate(Series::with("smg_router_tokens_total", &[("token_type", &["output"])])),
    ),
    EngineQuery::new("gie-epp", Rate(Series::new("inference_objective_output_tokens_sum"))),
];
