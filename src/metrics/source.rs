//! [`Source`]: whatever answers a signal for all pods of the cluster.

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::metrics::{PodSamples, ScrapeError, Signal, SourceError};

/// Answers a signal for all pods of the cluster at an instant.
pub trait Source: Send + Sync {
    /// Returns the samples of a signal as they stood at `at`; pods without data are left out.
    ///
    /// A sample's time is that of the scrape. The caller limits how long this may take.
    fn collect<'a>(&'a self, signal: &'a Signal, at: Timestamp)
    -> BoxFuture<'a, Result<Answer, SourceError>>;

    /// Names the source for errors and logs, without credentials.
    fn name(&self) -> String;

    /// Says why nothing new is known of a pod, if the source reads pods itself and could not read this one.
    fn failure(&self, _namespace: &str, _pod: &str) -> Option<ScrapeError> {
        None
    }
}

/// What a source answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The samples, stale ones included.
    pub samples: PodSamples,
    /// Values that were no numbers, or had no sample behind them any more, and so are missing.
    pub dropped: usize,
    /// What the source warned of, such as a partial answer.
    pub warnings: Vec<String>,
}
