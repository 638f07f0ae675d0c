//! [`RoleMemory`]: what is remembered of one role between two decisions, besides its history.

use jiff::Timestamp;
use rbg_autoscaler::units::Replicas;

use crate::{trail::Trail, trend::Trend};

/// What is remembered of one role.
#[derive(Clone, Debug, Default)]
pub(super) struct RoleMemory {
    /// The role's name.
    pub name: String,
    /// The count that it was last known to ask for.
    pub count: Option<Replicas>,
    /// When somebody else's edits of the count were last told.
    pub told: Option<Timestamp>,
    /// How its token work moves.
    pub trend: Trend,
    /// How it came where it is.
    pub trail: Trail,
}

impl RoleMemory {
    /// Returns the memory of a role, a new one when there is none; `place` is where it likely is.
    pub fn of<'m>(roles: &'m mut Vec<Self>, place: usize, name: &str) -> &'m mut Self {
        let is_there = roles.get(place).is_some_and(|memory| memory.name == name);
        let place = if is_there { Some(place) } else { roles.iter().position(|memory| memory.name == name) };
        let place = place.unwrap_or_else(|| {
            roles.reserve_exact(1);
            roles.push(Self { name: name.to_owned(), ..Self::default() });
            roles.len() - 1
        });
        &mut roles[place]
    }
}
