//! The objects that other programs write and read.

pub mod autoscaler;
#[cfg(feature = "io")]
pub mod crd;
pub mod rbg;
pub mod replica;
pub mod snapshot;
