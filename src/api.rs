//! The objects that other programs write and read.

pub mod autoscaler;
pub mod rbg;
pub mod snapshot;
