//! Stage `stabilize`: both windows over raw recommendations.
//!
//! With behavior: out of the current count, up to the lowest recommendation of the up window, then down to the highest
//! of the down window. Without: the highest of the down window. Stored is what the formula said, not what came out.
//! Source: Kubernetes, HPA, stabilization window.

use std::time::Duration;

use super::{
    bounds::ABLE_TO_SCALE,
    decision::{Condition, Stage},
    draft::{RoleDraft, RoleState},
    history::{
        Recommendation,
        recommendations::{Windows, store},
    },
};
use crate::units::Replicas;

/// Runs the stage on one role.
pub(crate) fn apply(draft: &mut RoleDraft<'_>) {
    if draft.state != RoleState::Active || (draft.pass_failed && !draft.in_fallback) {
        return;
    }
    let (current, want, now) = (draft.current(), draft.proposal.replicas, draft.now);
    let windows = windows(draft);
    let mut entries = draft.next.recommendations.take().unwrap_or_default();
    let out = stabilized(current, want, &entries, windows, now);
    if out != want {
        due(draft, &entries, out, windows);
    }
    if !draft.pass_failed {
        let outdated = |entry: &Recommendation| is_outdated(entry, windows, now);
        store(&mut entries, want, now, outdated);
        draft.able = Some(condition(current, want, out, windows));
    }
    draft.next.recommendations = Some(entries);
    let reason = reason(current, want, windows);
    draft.proposal.move_to(Stage::Stabilize, out, reason, || words(want, out, current, windows));
}

/// Returns the windows of a role.
pub(crate) fn windows(draft: &RoleDraft<'_>) -> Windows {
    let default = Duration::from_secs(draft.settings.downscale_stabilization.as_secs());
    match &draft.policy.behavior {
        Some(behavior) => Windows {
            up: Some(behavior.up.stabilization_window.unwrap_or_default()),
            down: behavior.down.stabilization_window.unwrap_or(default),
            down_edge_counts: false,
        },
        None => Windows { up: None, down: draft.settings.downscale_stabilization, down_edge_counts: true },
    }
}

fn stabilized(
    current: Replicas,
    want: Replicas,
    entries: &[Recommendation],
    windows: Windows,
    now: jiff::Timestamp,
) -> Replicas {
    let (mut low, mut high) = (want, want);
    for entry in entries {
        if windows.up_holds(entry, now) {
            low = low.min(entry.replicas);
        }
        if windows.down_holds(entry, now) {
            high = high.max(entry.replicas);
        }
    }
    // The HPA without behavior starts from the recommendation, not from the current count.
    if windows.up.is_none() { high } else { current.max(low).min(high) }
}

fn is_outdated(entry: &Recommendation, windows: Windows, now: jiff::Timestamp) -> bool {
    let older = |window: Duration| now.checked_sub(window).is_ok_and(|edge| entry.time < edge);
    older(windows.up.unwrap_or_default()) && older(windows.down)
}

/// When the windows let go: once none of them holds an entry that keeps the number where it came out.
fn due(draft: &mut RoleDraft<'_>, entries: &[Recommendation], out: Replicas, windows: Windows) {
    let now = draft.now;
    let newest = |holds: &dyn Fn(&Recommendation) -> bool| {
        entries.iter().filter(|entry| holds(entry)).map(|entry| entry.time).max()
    };
    if draft.proposal.replicas < out {
        let holding = newest(&|entry| windows.down_holds(entry, now) && entry.replicas >= out);
        if let Some(time) = holding {
            let edge = Duration::from_millis(u64::from(windows.down_edge_counts));
            draft.due.after(time, windows.down.saturating_add(edge));
        }
    } else if let (Some(time), Some(window)) =
        (newest(&|entry| windows.up_holds(entry, now) && entry.replicas <= out), windows.up)
    {
        draft.due.after(time, window);
    }
}

const fn is_up(current: Replicas, want: Replicas, windows: Windows) -> bool {
    windows.up.is_some() && want.get() >= current.get()
}

const fn reason(current: Replicas, want: Replicas, windows: Windows) -> &'static str {
    if is_up(current, want, windows) { "ScaleUpStabilized" } else { "ScaleDownStabilized" }
}

fn condition(current: Replicas, want: Replicas, out: Replicas, windows: Windows) -> Condition {
    if out == want {
        return Condition::new(ABLE_TO_SCALE, true, "ReadyForNewScale", "no window holds the count back");
    }
    let message = if is_up(current, want, windows) {
        "recent recommendations were lower than the current one, applying the lowest recent recommendation"
    } else {
        "recent recommendations were higher than the current one, applying the highest recent recommendation"
    };
    Condition::new(ABLE_TO_SCALE, true, reason(current, want, windows), message)
}

fn words(want: Replicas, out: Replicas, current: Replicas, windows: Windows) -> String {
    let (extreme, window) = if is_up(current, want, windows) {
        ("lowest", windows.up.unwrap_or_default())
    } else {
        ("highest", windows.down)
    };
    format!("{extreme} recommendation of the last {} s holds: {want} → {out}", window.as_secs())
}

#[cfg(test)]
mod vectors;
