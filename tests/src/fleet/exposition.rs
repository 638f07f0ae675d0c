//! What an engine shows at `/metrics`: [`Dialect`] chooses the engine, [`Reading`] holds the values.
//!
//! Counters advance with simulated time while Prometheus counts wall time: at speed 60, rates come out 60 times as high.

mod gateway;
mod page;
mod sglang;
#[cfg(test)]
mod tests;
mod vllm;

use super::statistics::{Buckets, Statistics};

/// The content type of the text format; Prometheus 3 refuses a scrape without it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whose metrics an engine shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// vLLM, V1 engine.
    Vllm,
    /// SGLang with metrics switched on.
    Sglang,
    /// The endpoint picker of a gateway with flow control; it runs no model.
    Gateway,
}

/// The values of one engine at one moment.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Value of the `model_name` label.
    pub model_name: &'static str,
    /// Requests waiting.
    pub queue_length: f64,
    /// Requests running.
    pub running_requests: f64,
    /// Share of the KV cache in use, 0 to 1.
    pub kv_cache_usage: f64,
    /// Capacity of the KV cache, tokens.
    pub kv_capacity: u32,
    /// Prompt tokens waiting.
    pub pending_tokens: f64,
    /// Tokens per simulated second of the step under way.
    pub generation_throughput: f64,
    /// When the engine started, Unix seconds.
    pub created: f64,
    /// Counters and histograms.
    pub statistics: Statistics,
}

impl Dialect {
    /// Returns the dialect of that annotation value.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "vllm" => Some(Self::Vllm),
            "sglang" => Some(Self::Sglang),
            "gie-epp" => Some(Self::Gateway),
            _ => None,
        }
    }

    /// Returns the engine's histogram buckets.
    pub const fn buckets(self) -> &'static Buckets {
        match self {
            // A gateway shows no histogram.
            Self::Vllm | Self::Gateway => &vllm::BUCKETS,
            Self::Sglang => &sglang::BUCKETS,
        }
    }

    /// Returns the name, as in the annotation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::Gateway => "gie-epp",
        }
    }

    /// Returns the page at `/metrics`.
    pub fn metrics(self, reading: &Reading) -> String {
        match self {
            Self::Vllm => vllm::metrics(reading),
            Self::Sglang => sglang::metrics(reading),
            Self::Gateway => gateway::metrics(reading),
        }
    }

    /// Returns the page at `/v1/loads?format=prometheus`, which only SGLang has.
    pub fn loads(self, reading: &Reading) -> Option<String> {
        match self {
            Self::Vllm | Self::Gateway => None,
            Self::Sglang => Some(sglang::loads(reading)),
        }
    }
}
