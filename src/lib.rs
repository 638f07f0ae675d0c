//! The library of rbg-autoscaler: what a decision is made of, and how it is made.
//!
//! Dependencies point one way: `scaling → policy → units`, `metrics → units`, `api → policy`. Without the `io`
//! feature there is no kube client, no tokio and no HTTP in the tree.

#![expect(dead_code, reason = "the stages of a decision land one after another")]

pub mod api;
#[cfg(test)]
mod laws;
pub mod metrics;
pub mod policy;
pub mod scaling;
pub mod units;
#[cfg(test)]
mod vectors;
