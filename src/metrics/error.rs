//! [`SourceError`]: why a source did not answer a signal; [`ScrapeError`]: why a pod's own metrics could not be read.

#[cfg(feature = "io")]
use std::error::Error;
use std::time::Duration;

use crate::metrics::direct::TargetError;

/// Why a source did not answer; the text names the source and the cause, never credentials.
///
/// People read it in a condition of an HPA or of a policy, so it says what an operator must look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No connection, or it broke.
    #[error("{source_name}: {cause}")]
    Unreachable {
        /// What was asked, such as `prometheus at http://prometheus:9090`.
        source_name: String,
        /// The innermost cause, such as `connection refused`.
        cause: String,
    },
    /// No answer in time.
    #[error("{source_name}: no answer within {} ms", after.as_millis())]
    Timeout {
        /// What was asked.
        source_name: String,
        /// How long the answer was awaited.
        after: Duration,
    },
    /// The source answered that it will not or cannot answer.
    #[error("{source_name}: {message}")]
    Refused {
        /// What was asked.
        source_name: String,
        /// What it said, such as `bad_data: parse error` or `HTTP status 403`.
        message: String,
    },
    /// The answer makes no sense to us.
    #[error("{source_name}: unreadable answer: {why}")]
    Unreadable {
        /// What was asked.
        source_name: String,
        /// Where reading stopped.
        why: String,
    },
}

impl SourceError {
    /// Returns the kind of failure as a metric label.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::Refused { .. } => "refused",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

/// Why the metrics of a pod could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// It is not known where they are.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// Another status than 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// More bytes than are read.
    #[error("a page of more than {0} bytes")]
    TooLarge(usize),
    /// The answer is no page of metrics.
    #[error("unreadable page: {0}")]
    Unreadable(&'static str),
}

impl ScrapeError {
    /// Returns the kind of failure as a metric label.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Target(_) => "no_target",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout(_) => "timeout",
            Self::Status(_) => "http_status",
            Self::TooLarge(_) => "too_large",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// The innermost cause is what an operator can act on: `connection refused`, not `error sending request`.
#[cfg(feature = "io")]
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
