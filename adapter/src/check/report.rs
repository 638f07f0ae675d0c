//! [`Report`]: what `check` prints, in the order in which it is written.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    check::{Output, table},
    request::RequestError,
    rules::{
        id::{Finding, RuleId},
        registry::Exposed,
        rulebook::Rulebook,
    },
};

/// All that there is to say about a configuration.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// The metrics.
    pub exposed: Vec<Exposed>,
    /// What is wrong: these rules are left out.
    pub errors: Vec<Finding>,
    /// What surely misleads.
    pub warnings: Vec<Finding>,
    /// What the requests become.
    pub requests: Vec<RequestReport>,
    /// Sound rules that no given series has made a metric of; for people only.
    #[serde(skip)]
    pub idle: Vec<RuleId>,
}

/// What one request becomes.
#[derive(Debug, Serialize)]
pub(super) struct RequestReport {
    /// The path as it was given.
    pub path: String,
    /// Queries or an error.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Queries or an error.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    /// The request is answered.
    Planned {
        /// The rule that answers.
        rule: RuleId,
        /// What prometheus-adapter would send.
        queries: Vec<String>,
        /// The one query over all objects that is used instead.
        #[serde(skip_serializing_if = "Option::is_none")]
        batch: Option<String>,
    },
    /// The request is refused.
    Failed {
        /// The answer.
        error: ErrorReport,
    },
}

/// The part of a `Status` that tells.
#[derive(Debug, Serialize)]
pub(super) struct ErrorReport {
    code: u16,
    reason: &'static str,
    message: String,
}

impl From<RequestError> for ErrorReport {
    fn from(error: RequestError) -> Self {
        Self { code: error.code, reason: error.reason, message: error.message }
    }
}

impl ErrorReport {
    /// Returns the error in one line.
    pub(super) fn line(&self) -> String {
        format!("{} {}: {}", self.code, self.reason, self.message)
    }
}

/// The rules without a metric.
pub(super) fn idle(book: &Rulebook) -> Vec<RuleId> {
    let exposed = book.registry().exposed();
    let rules = book.rules();
    let ids = rules.custom.iter().chain(&rules.external).map(|rule| &rule.rule.id);
    ids.filter(|id| exposed.iter().all(|metric| metric.rule != **id)).cloned().collect()
}

impl Report {
    /// Writes the report.
    pub(super) fn write(&self, output: Output, out: &mut dyn Write) -> io::Result<()> {
        match output {
            Output::Json => {
                serde_json::to_writer_pretty(&mut *out, self)?;
                writeln!(out)
            }
            Output::Table => out.write_all(table::table(self).as_bytes()),
        }
    }
}
