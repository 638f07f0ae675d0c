//! Stage `gang`: whole gangs only.
//!
//! - A count off the grid counts as the next multiple: five replicas in gangs of four are two gangs, and the second
//!   is completed whatever else is decided.
//! - Everything is compared on the grid. What is asked for without a rate limit is rounded up to whole gangs, in both
//!   directions, and that is what the limit is held against. Were seven cut to six and so to four, while six were rounded
//!   up to eight although six is the limit, more load would give fewer replicas.
//! - Whole gangs that the rate policy lets pass are taken as they are. What it cuts is rounded towards the current count:
//!   raising floors the limit, lowering ceils it, so that the policy is never exceeded. Where gangs are larger than what a
//!   policy allows per period that alone would mean never. So when nothing moves in the direction that was asked for,
//!   although what is asked for is a gang away or more, one gang moves once no event of that direction lies within n
//!   periods, where n periods of the chosen policy add up to a gang. "A gang away" is read on the grid too: one replica
//!   more than eight is asked for as a gang more than eight. A policy that allows nothing (`Disabled`, or a percentage of
//!   zero) moves nothing; the HPA's built-in limit, used without `behavior`, knows no period and always lets one gang move.
//! - Completing a gang (five to eight) is a move upwards; one more gang has to wait its turn.
//! - A gang of one changes nothing at all: these are the HPA's numbers.

use jiff::Timestamp;

use super::{
    decision::Stage,
    draft::{Allowance, RateLimit, RoleDraft},
    history::ScaleEvent,
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
    let (limit, unlimited, up, allowance) = match draft.rate {
        RateLimit::Held { unlimited, allowance } => {
            (number, gang.ceil_to_gang(unlimited), unlimited > current, allowance)
        }
        RateLimit::Within { limit, allowance } if rounded > limit.max(counted) => {
            super::limit::due(draft, true);
            (limit, rounded, true, allowance)
        }
        _ => {
            draft.proposal.move_to(Stage::Gang, rounded, WHOLE_GANGS, || {
                format!("gang of {gang}: {number} → {rounded}")
            });
            return;
        }
    };
    let whole = if up { gang.floor_to_gang(limit).max(counted) } else { gang.ceil_to_gang(limit) };
    let stuck = if up { whole <= current } else { whole >= current && unlimited < counted };
    if !stuck {
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
    let moved = |event: &&ScaleEvent| if up { event.to > event.from } else { event.to < event.from };
    let events = draft.past.scale_events.iter().filter(moved);
    let free = events.filter_map(|event| event.time.checked_add(wait).ok()).max();
    match free {
        Some(time) if time > draft.now => {
            Turn::Later(time, format!(", the next gang at {time}: {per_period}, a gang per {words}"))
        }
        _ => Turn::Now(format!(", one gang: {per_period}, a gang per {words}, and none moved within that")),
    }
}

#[cfg(test)]
mod every;
#[cfg(test)]
mod tests;
