//! What the GPUs do, from the DCGM exporter (scraped with honorLabels, so that `pod` is the user of the GPU) or Triton.

use crate::metrics::{
    EngineQuery,
    expression::{
        Expression::{Mean, Over},
        Series,
    },
};

pub(super) const UTILIZATION: &[EngineQuery] = &[
    EngineQuery::new("dcgm", Over(&Mean(Series::new("DCGM_FI_DEV_GPU_UTIL")), 100.0)),
    EngineQuery::new("triton-trtllm", Mean(Series::new("nv_gpu_utilization"))),
];
