//! [`SourceError`]: why a source did not answer a signal.

use std::time::Duration;

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
