//! [`News`]: whether what was decided is worth an errand.

use jiff::Timestamp;
use rbg_autoscaler::api::{autoscaler::RoleBasedGroupAutoscalerStatus, snapshot::ScalingSnapshot};

use super::{Judged, asked, errand::Report};
use crate::{
    cache::store::ObjectKey,
    live::Questions,
    memory::{PolicyMemory, QUIET},
    report,
    telemetry::Figures,
};

/// Who is to know of a decision.
pub(super) struct News<'a> {
    pub figures: &'a Figures,
    pub questions: &'a mut Questions,
    pub memory: &'a mut PolicyMemory,
    pub now: Timestamp,
}

impl News<'_> {
    /// Tells those in this process of a decision, and returns what is left for the API server; `seen` is the decision's
    /// document, if somebody asked for it.
    pub(super) fn judge(self, key: &ObjectKey, report: Report, seen: Option<ScalingSnapshot>) -> Judged {
        let Self { figures, questions, memory, now } = self;
        let is_quiet_time =
            memory.written_at.is_some_and(|at| now < at.checked_add(QUIET).unwrap_or(Timestamp::MAX));
        let mut outcome = None;
        if let Some(decided) = &report.decided {
            memory.follow(&decided.policy, &decided.observed.observation, &decided.decision, now);
            outcome = report.outcome();
            let is_told = outcome.as_ref().is_some_and(|outcome| memory.is_told(outcome, is_quiet_time));
            if is_told && !questions.is_asked(&report.key) {
                debug_assert!(!is_worth_an_errand(&report, &report.status(&[], now), is_quiet_time));
                figures.measured(key, &decided.decision);
                memory.keep(decided.histories(&[]));
                return Judged::Nothing;
            }
        }
        let status = report.status(&[], now);
        if let Some(decided) = &report.decided {
            figures.note(key, &decided.policy, &decided.decision, &status.roles);
        }
        questions.answer(&report.key, || {
            let decided = report.decided.as_ref().map(|decided| (&*decided.policy, &decided.decision));
            asked::answer(&report.key, memory, seen, decided, &status)
        });
        if is_worth_an_errand(&report, &status, is_quiet_time) {
            return Judged::Report(Box::new(report));
        }
        if let Some(decided) = &report.decided {
            let is_as_stored = !report::moved(&report.before, &status);
            memory.told = outcome.filter(|_| is_as_stored).map(|outcome| outcome.stored(&report.before));
            memory.keep(decided.histories(&[]));
        }
        Judged::Nothing
    }
}

/// Whether there is something to write, or to say that may be said now.
fn is_worth_an_errand(report: &Report, status: &RoleBasedGroupAutoscalerStatus, is_quiet_time: bool) -> bool {
    report.decided.as_ref().is_some_and(|decided| !decided.writes.is_empty())
        || report::changed(&report.before, status)
        || (!is_quiet_time && report::moved(&report.before, status))
}
