//! The library of rbg-autoscaler: what a decision is made of, and how it is made.
//!
//! Dependencies point one way: `scaling → policy → units`, `metrics → units`, `api → policy`. Without the `io`
//! feature there is no kube client, no tokio and no HTTP in the tree.

pub mod api;
pub mod cause;
#[cfg(test)]
mod laws;
pub mod metrics;
pub mod policy;
pub mod scaling;
pub mod units;
#[cfg(test)]
mod vectors;
