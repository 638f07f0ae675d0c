//! What users install: the chart, rendered and at work under exactly the accounts, flags and files that it gives.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod containers;
mod documents;
mod each_right;
mod examples;
mod live;
mod others;
mod overlay;
mod release;
mod render;
mod rights;
mod world;
