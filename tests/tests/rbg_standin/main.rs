//! The stand-in controller against a real control plane: what it claims to do like upstream, it does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pods;
mod scaling_adapters;
mod workloads;
mod world;
