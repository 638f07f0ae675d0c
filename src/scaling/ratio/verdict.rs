//! The condition `RatioSatisfied`: whether the final numbers keep every ratio, and what stopped those that miss.

use super::{
    balance::{Balance, Demand, Side},
    running, words,
};
use crate::scaling::{
    Stage,
    decision::Condition,
    draft::{GroupDraft, RoleDraft, RoleState},
};

const RATIO_SATISFIED: &str = "RatioSatisfied";
/// At most this many pairs are named.
const MOST_NAMED: usize = 3;

/// Sets the condition; none without ratios.
pub(crate) fn judge(group: &mut GroupDraft<'_>) {
    if group.policy.ratios.is_empty() {
        return;
    }
    let sides = group.roles.iter().map(|role| role.as_ref().map(last)).collect();
    let balance = Balance::new(&group.policy.ratios, sides);
    let unmet: Vec<_> = balance.unmet().collect();
    let condition = if unmet.is_empty() {
        Condition::new(RATIO_SATISFIED, true, "Satisfied", "every ratio holds")
    } else {
        let mut texts: Vec<_> = unmet.iter().map(|demand| text(group, &balance, demand)).collect();
        texts.sort_unstable();
        texts.truncate(MOST_NAMED);
        let suspended = unmet.iter().all(|demand| disabled(group, demand).is_some());
        let reason = if suspended { "Suspended" } else { "Unsatisfied" };
        Condition::new(RATIO_SATISFIED, false, reason, texts.join("; "))
    };
    group.conditions.retain(|earlier| earlier.type_ != RATIO_SATISFIED);
    group.conditions.push(condition);
}

/// The final number, of disabled roles too.
fn last(draft: &RoleDraft<'_>) -> Side {
    let replicas = draft.proposal.replicas;
    Side { replicas, gang: draft.policy.gang, low: replicas, high: replicas }
}

fn disabled<'g>(group: &'g GroupDraft<'_>, demand: &Demand) -> Option<&'g str> {
    [demand.poor, demand.rich].into_iter().find_map(|role| {
        let draft = group.roles.get(role)?.as_ref()?;
        (draft.state == RoleState::Disabled).then_some(draft.policy.name.as_str())
    })
}

/// `ratio prefill:decode at most 1:1 misses at 24:20: decode is at its maximum 20, prefill has 24 running replicas`.
fn text(group: &GroupDraft<'_>, balance: &Balance, demand: &Demand) -> String {
    let draft = |role: usize| group.roles.get(role).and_then(Option::as_ref);
    let (Some(poor), Some(rich)) = (draft(demand.poor), draft(demand.rich)) else { return String::new() };
    let count = |role: usize| balance.side(role).map_or(0, |side| side.replicas.get());
    let (first, second) = if demand.is_min { (demand.poor, demand.rich) } else { (demand.rich, demand.poor) };
    let head = format!("{} misses at {}:{}", words(group.policy, demand), count(first), count(second));
    match disabled(group, demand) {
        Some(role) => format!("{head}: suspended, {role} is scaled to zero by hand"),
        None => format!("{head}: {}, {}", why_not_raised(poor), why_not_lowered(rich)),
    }
}

fn why_not_raised(draft: &RoleDraft<'_>) -> String {
    let (name, number, gang) = (&draft.policy.name, draft.proposal.replicas, draft.policy.gang);
    if number >= gang.floor_to_gang(draft.bounds.max) {
        return format!("{name} is at its maximum {}", draft.bounds.max);
    }
    if let Some(reason) = held_by(draft) {
        return format!("{name} stays at {number} ({reason})");
    }
    format!("{name} stays at {number}")
}

fn why_not_lowered(draft: &RoleDraft<'_>) -> String {
    let (name, number) = (&draft.policy.name, draft.proposal.replicas);
    if number <= draft.policy.gang.ceil_to_gang(draft.bounds.min) {
        return format!("{name} is at its minimum {}", draft.bounds.min);
    }
    if number <= draft.proposal.floor {
        let why = held_by(draft).map(|reason| format!(" ({reason})")).unwrap_or_default();
        return format!("{name} may not be lowered{why}");
    }
    let running = running(draft.seen, number.min(draft.current()));
    if number <= draft.policy.gang.ceil_to_gang(running) {
        return format!("{name} has {running} running replicas");
    }
    format!("{name} stays at {number}")
}

/// The reason that a later stage gave for keeping the number.
fn held_by<'d>(draft: &'d RoleDraft<'_>) -> Option<&'d str> {
    let last =
        draft.proposal.steps.iter().rev().find(|step| matches!(step.stage, Stage::Hold | Stage::Capacity))?;
    Some(&last.reason)
}
