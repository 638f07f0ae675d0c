//! [`InUse`]: the signals that policies use, known without looking at every policy.

use std::collections::BTreeSet;

use crate::observe::Metrics;

/// The signals that policies use.
#[derive(Debug, Default)]
pub(super) struct InUse {
    signals: BTreeSet<String>,
    /// Whether a policy that used some of them may not any more.
    outdated: bool,
    /// Whether any of them awaits its first answer, and what that was found in.
    awaited: Option<(Metrics, bool)>,
}

impl InUse {
    /// Takes in the signals of a policy that is new or may have changed.
    pub(super) fn add<'s>(&mut self, signals: impl Iterator<Item = &'s str>) {
        self.outdated();
        for signal in signals {
            if !self.signals.contains(signal) {
                self.signals.insert(signal.to_owned());
            }
        }
    }

    /// Says that some policy may not use its signals any more.
    pub(super) fn outdated(&mut self) {
        (self.outdated, self.awaited) = (true, None);
    }

    /// Returns the signals; `all` are those of every policy.
    pub(super) fn count<'s>(&mut self, all: impl Iterator<Item = &'s str>) -> &BTreeSet<String> {
        if std::mem::take(&mut self.outdated) {
            let all: BTreeSet<&str> = all.collect();
            self.signals = all.into_iter().map(str::to_owned).collect();
        }
        &self.signals
    }

    /// Returns whether any signal exists that has not answered or failed for the first time.
    pub(super) fn is_any_awaited(&mut self, metrics: &Metrics) -> bool {
        match &self.awaited {
            Some((seen, awaited)) if seen.is_same(metrics) => *awaited,
            _ => {
                let awaited = self.signals.iter().any(|signal| metrics.is_awaited(signal));
                self.awaited = Some((metrics.clone(), awaited));
                awaited
            }
        }
    }
}
