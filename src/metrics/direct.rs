//! Signals without Prometheus: the pods are scraped by ourselves, and just enough history is kept for rates and quantiles.
//!
//! Choosing targets, parsing, history and evaluation are pure; scraping needs the `io` feature.

mod evaluate;
mod exposition;
mod history;
#[cfg(feature = "io")]
mod scrape;
#[cfg(feature = "io")]
mod source;
mod target;

pub use exposition::{Line, Parser};
pub use history::{History, Page, PodHistory, Wanted};
#[cfg(feature = "io")]
pub use source::{DirectSource, OnScrape, Options, Scraped};
pub use target::{Scope, Target, TargetError};

#[cfg(test)]
mod tests;
