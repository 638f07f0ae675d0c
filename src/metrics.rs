//! What LLM engines say about their load: named signals, where they come from and what they last said.
//!
//! A [`Signal`] is a name over all engines. A [`Source`](source::Source) answers one signal for every pod of the cluster with one
//! query, the [`Collector`](collector::Collector) asks at instants that are multiples of the interval, and the
//! [`Snapshot`] is what everybody reads. No data is not zero: absent, stale and NaN samples are missing.
//!
//! Signals, snapshots and errors are pure; sources and the collector need the `io` feature.

pub mod catalog;
#[cfg(feature = "io")]
pub mod collector;
pub mod direct;
mod error;
pub mod expression;
pub mod matcher;
pub mod plain;
#[cfg(feature = "io")]
pub mod prometheus;
mod signal;
mod snapshot;
#[cfg(feature = "io")]
pub mod source;

#[cfg(feature = "io")]
use error::innermost;
pub use error::{ScrapeError, SourceError};
pub use signal::{Definition, EngineQuery, Fold, Signal, Unit, refused_as_target};
pub use snapshot::{NamespaceSamples, PodSamples, Reading, STALE_AFTER, Sample, Snapshot};
