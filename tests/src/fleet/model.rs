//! [`Model`]: what one replica of a model server can do, as a handful of constants.

/// The constants of one replica.
///
/// They follow from public hardware figures of an H100 (989 TFLOP/s dense bf16, 3.35 TB/s of memory bandwidth) at about
/// 50 % and 70 % efficiency; they are assumptions, not measurements of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Name in the pod annotation that selects it.
    pub name: &'static str,
    /// Value of the `model_name` label of its metrics.
    pub model_name: &'static str,
    /// Prefill, nanoseconds per prompt token.
    pub prefill_nanos: u64,
    /// Fixed part of every step, nanoseconds: reading the weights once, launching the kernels.
    pub step_nanos: u64,
    /// Part of a step per running sequence, nanoseconds.
    pub sequence_nanos: u64,
    /// Part of a step per KV-cache token held, nanoseconds.
    pub kv_nanos: u64,
    /// KV-cache capacity, tokens.
    pub kv_capacity: u32,
    /// Prompt tokens a step takes on while sequences are decoding (chunked prefill).
    pub mixed_chunk: u32,
    /// Prompt tokens a step takes on while nothing is decoding.
    pub prefill_chunk: u32,
    /// Most sequences running at once.
    pub max_running: u32,
}

impl Model {
    /// A 70-billion-parameter model in bf16, tensor parallel over four H100.
    pub const LLAMA_70B_TP4: Self = Self {
        name: "70b-tp4",
        model_name: "meta-llama/Llama-3.3-70B-Instruct",
        prefill_nanos: 100_000,
        step_nanos: 22_000_000,
        sequence_nanos: 100_000,
        kv_nanos: 35,
        kv_capacity: 430_000,
        mixed_chunk: 512,
        prefill_chunk: 2048,
        max_running: 256,
    };

    /// An 8-billion-parameter model in bf16 on one H100.
    pub const LLAMA_8B: Self = Self {
        name: "8b",
        model_name: "Qwen/Qwen3-8B",
        prefill_nanos: 33_333,
        step_nanos: 9_000_000,
        sequence_nanos: 30_000,
        kv_nanos: 56,
        kv_capacity: 420_000,
        mixed_chunk: 1024,
        prefill_chunk: 4096,
        max_running: 256,
    };

    /// Returns the model of that annotation value.
    pub fn named(name: &str) -> Option<Self> {
        [Self::LLAMA_70B_TP4, Self::LLAMA_8B].into_iter().find(|model| model.name == name)
    }

    /// Returns the time a replica will roughly spend on that much outstanding work, nanoseconds.
    ///
    /// A linear fit: prompt tokens at two thirds of the prefill rate, output tokens at their share of a step of 128.
    pub const fn work_nanos(&self, prompt_tokens: u64, output_tokens: u64) -> u64 {
        prompt_tokens
            .saturating_mul(self.prefill_nanos + self.prefill_nanos / 2)
            .saturating_add(output_tokens.saturating_mul(self.step_nanos / 128 + self.sequence_nanos))
    }
}
