//! Stage `fallback`: what holds when no metric answers.
//!
//! Longer than `after` without an answer from any metric: at least `replicas`, never less than the current count.
//! A role that never had an answer counts from when it was first looked at. The windows and rate limits apply as to
//! any raise, but nothing is stored: it is no recommendation.

use super::{
    decision::Stage,
    draft::{RoleDraft, RoleState},
};

/// Runs the stage on one role.
pub(crate) fn apply(draft: &mut RoleDraft<'_>) {
    let Some(fallback) = draft.policy.fallback else { return };
    let silent = !draft.results.is_empty() && draft.results.iter().all(|result| result.failure.is_some());
    let (RoleState::Active, true, Some(answered_at)) = (draft.state, silent, draft.next.answered_at) else {
        return;
    };
    let Ok(due) = answered_at.checked_add(fallback.after) else { return };
    if draft.now <= due {
        // At `due` itself it is not yet longer than `after`.
        draft.due.after(due, std::time::Duration::from_millis(1));
        return;
    }
    let current = draft.current();
    draft.in_fallback = true;
    draft.proposal.move_to(Stage::Fallback, current.max(fallback.replicas), "FallbackActive", || {
        let silent = draft.now.duration_since(answered_at).as_secs();
        format!(
            "no metric has answered for {silent} s: at least {}, so {current} → {}",
            fallback.replicas, fallback.replicas
        )
    });
}
