//! [`RuleId`]: how a rule is named to people, by its place in the file.

use std::fmt;

use serde::{Serialize, Serializer};

/// A rule's place in the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleId {
    /// Something of the file that is no rule, by its key.
    Key(String),
    /// `rules[n]`
    Custom(usize),
    /// `externalRules[n]`
    External(usize),
    /// `resourceRules`
    Usage,
}

/// Something to tell about a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: RuleId,
    /// What there is to tell.
    pub message: String,
}

impl Finding {
    /// Returns a finding.
    pub fn new(rule: &RuleId, message: impl Into<String>) -> Self {
        Self { rule: rule.clone(), message: message.into() }
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Custom(place) => write!(f, "rules[{place}]"),
            Self::External(place) => write!(f, "externalRules[{place}]"),
            Self::Usage => f.write_str("resourceRules"),
        }
    }
}

impl Serialize for RuleId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.message)
    }
}
