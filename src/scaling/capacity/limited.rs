//! [`Limited`]: the condition `CapacityLimited` in the making.

use super::{NO_FIT, ROLLED_BACK};
use crate::scaling::decision::Condition;

const CAPACITY_LIMITED: &str = "CapacityLimited";
pub(super) const PARTIAL_GANG: &str = "PartialGang";
pub(super) const UNKNOWN: &str = "Unknown";

/// What the cluster's room kept from happening, role by role.
#[derive(Clone, Debug, Default)]
pub(super) struct Limited {
    rolled_back: Vec<String>,
    no_fit: Vec<String>,
    partial: Vec<String>,
    unknown: Vec<String>,
    waiting: Vec<String>,
}

impl Limited {
    /// Gangs were taken back, or the wait after that is not over.
    pub fn rolled_back(&mut self, text: String) {
        self.rolled_back.push(text);
    }

    /// Gangs were not asked for, since they do not fit.
    pub fn no_fit(&mut self, text: String) {
        self.no_fit.push(text);
    }

    /// A gang is stuck and stays.
    pub fn partial(&mut self, text: String) {
        self.partial.push(text);
    }

    /// Gangs were taken as fitting.
    pub fn unknown(&mut self, text: String) {
        self.unknown.push(text);
    }

    /// Replicas wait for a node, and it is too early to take them back.
    pub fn waits(&mut self, text: String) {
        self.waiting.push(text);
    }

    /// The condition: the gravest reason there is, and the texts of that reason and all below it, by role.
    pub fn condition(mut self) -> Condition {
        let reasons = [
            (ROLLED_BACK, &mut self.rolled_back),
            (NO_FIT, &mut self.no_fit),
            (PARTIAL_GANG, &mut self.partial),
            (UNKNOWN, &mut self.unknown),
        ];
        let mut gravest = None;
        let mut texts: Vec<String> = Vec::new();
        for (reason, own) in reasons {
            own.sort_unstable();
            if !own.is_empty() {
                gravest.get_or_insert(reason);
            }
            texts.append(own);
        }
        let text = texts.join("; ");
        match gravest {
            None if !self.waiting.is_empty() => {
                Condition::new(CAPACITY_LIMITED, false, "WaitingForNodes", self.waiting.join("; "))
            }
            None => {
                Condition::new(CAPACITY_LIMITED, false, "NotLimited", "nothing is kept back for want of room")
            }
            Some(UNKNOWN) => Condition::unknown(CAPACITY_LIMITED, UNKNOWN, text),
            Some(reason) => Condition::new(CAPACITY_LIMITED, true, reason, text),
        }
    }
}
