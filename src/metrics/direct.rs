//! Signals without Prometheus: the pods are scraped by ourselves, and just enough history is kept for rates and quantiles.
//!
//! Parsing, history and evaluation are pure; scraping needs the `io` feature.

mod evaluate;
mod exposition;
mod history;

pub use exposition::{Line, Parser};
pub use history::{History, PodHistory, SeriesTable};

#[cfg(test)]
mod tests;
