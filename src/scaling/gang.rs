//! Stage `gang`: whole gangs only.
//!
//! - A count off the grid counts as the next multiple: five replicas in gangs of four are two gangs, and the second
//!   is completed whatever else is decided.
//! - A number that no rate policy cuts, not even as whole gangs, is rounded up to the grid, in both directions.
//! - A number that a rate policy cuts is rounded towards the current count: raising floors, lowering ceils, so that the
//!   policy is never exceeded. Where gangs are larger than what a policy allows per period that alone would
//!   mean never. So when nothing moves in the direction that was asked for, although the number without the limit is
//!   a whole gang away or more, one gang moves once no event of that direction lies within n periods, where n periods
//!   of the chosen policy add up to a gang. A policy that allows nothing (`Disabled`, or a percentage of zero) moves
//!   nothing; the HPA's built-in limit, used without `behavior`, knows no period and always lets one gang move.
//!   Whole gangs are what the policy looks at: were three to seven rounded up to nine although seven is the limit, while
//!   eight were cut to seven and so to six, more load would give fewer replicas.
//! - Completing a gang (five to eight) is a move upwards; one more gang has to wait its turn.
//! - A gang of one changes nothing at all: these are the HPA's numbers.

use jiff::Timestamp;

use super::{
    decision::Stage,
    draft::{Allowance, RateLimit, RoleDraft},
};
use crate::units::{GangSize, GatewayDuration, Replicas};

/// Whole gangs only.
const WHOLE_GANGS: &str = "WholeGangs";

/// Runs the stage on one role.
pub(crate) fn apply(draft: &mut RoleDraft<'_>) {
    let gang = draft.policy.gang;
    if gang == GangSize::ONE {
        return;
    }
    let (current, number) = (draft.current(), draft.proposal.replicas);
    let counted = gang.ceil_to_gang(current);
    let rounded = gang.ceil_to_gang(number);
    let (number, unlimited, allowance) = match draft.rate {
        RateLimit::Held { unlimited, allowance } => (number, unlimited, allowance),
        RateLimit::Within { limit, allowance } if rounded > limit.max(counted) => {
            super::limit::due(draft, true);
            (limit, rounded, allowance)
        }
        _ => {
            draft.proposal.move_to(Stage::Gang, rounded, WHOLE_GANGS, || {
                format!("gang of {gang}: {number} → {rounded}")
            });
            return;
        }
    };
    let up = unlimited > current;
    let whole =
        if up { gang.floor_to_gang(number).max(counted) } else { gang.ceil_to_gang(number).min(counted) };
    let moves = if up { whole > current } else { whole < current };
    if moves || counted.get().abs_diff(unlimited.get()) < gang.get() || (unlimited > counted) != up {
        draft
            .proposal
            .move_to(Stage::Gang, whole, WHOLE_GANGS, || format!("gang of {gang}: {number} → {whole}"));
        return;
    }
    let turn = turn(draft, gang, allowance, up);
    let (to, why) = match turn {
        Turn::Now(why) if up => (Replicas::new(counted.get().saturating_add(gang.get())), why),
        Turn::Now(why) => (Replicas::new(counted.get().saturating_sub(gang.get())), why),
        Turn::Later(time, why) => {
            draft.due.at(time);
            (whole, why)
        }
        Turn::Never => (whole, String::new()),
    };
    draft.proposal.move_to(Stage::Gang, to, WHOLE_GANGS, || format!("gang of {gang}: {number} → {to}{why}"));
}

/// Whether one gang may move although a rate policy allows less.
enum Turn {
    Now(String),
    Later(Timestamp, String),
    Never,
}

fn turn(draft: &RoleDraft<'_>, gang: GangSize, allowance: Allowance, up: bool) -> Turn {
    let (replicas, period) = match allowance {
        Allowance::Disabled | Allowance::PerPeriod { replicas: 0, .. } => return Turn::Never,
        Allowance::BuiltIn => return Turn::Now(", one gang although the limit is less".to_owned()),
        Allowance::PerPeriod { replicas, period } => (replicas, period),
    };
    let wait = period.saturating_mul(gang.get().div_ceil(replicas));
    let words = GatewayDuration::from(wait);
    let per_period = format!("the policy allows {replicas} per {}", GatewayDuration::from(period));
    let events = draft.past.scale_events.iter().filter(|event| (event.to > event.from) == up);
    let free = events.filter_map(|event| event.time.checked_add(wait).ok()).max();
    match free {
        Some(time) if time > draft.now => {
            Turn::Later(time, format!(", the next gang at {time}: {per_period}, a gang per {words}"))
        }
        _ => Turn::Now(format!(", one gang: {per_period}, a gang per {words}, and none moved within that")),
    }
}

#[cfg(test)]
mod tests;
