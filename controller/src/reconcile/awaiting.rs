//! [`Awaiting`]: what the caches must show before a group is decided on again.
//!
//! A watch lags behind a write by some milliseconds. Deciding on what was seen before the write would decide the same
//! step twice; deciding right after a refused write would repeat the refused number.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    apply::{ApplyError, Target, Version, Written},
    cache::{World, store::ObjectKey},
};

/// A watch that takes longer than this lags or is broken; the group is then decided on as it is seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the caches must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Awaiting {
    signs: Vec<Sign>,
    until: Timestamp,
}

/// One thing that the caches must show.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sign {
    /// The group has reached this generation.
    Generation(i64),
    /// The group is no longer at this version.
    GroupMoved(Option<String>),
    /// The scaling adapter is no longer at this version.
    AdapterMoved(ObjectKey, String),
}

impl Awaiting {
    /// Returns what must be seen after these writes; `None` when nothing.
    ///
    /// `observed` is the version of the group that the decision was made from.
    pub(super) fn after(
        written: &[Written],
        group: &ObjectKey,
        observed: Option<&str>,
        now: Timestamp,
    ) -> Option<Self> {
        let mut signs = Vec::new();
        for written in written {
            match (&written.write.target, &written.outcome) {
                (_, Ok(Version::Generation(generation))) => signs.push(Sign::Generation(*generation)),
                (Target::Group { .. }, Err(ApplyError::Moved(_))) => {
                    signs.push(Sign::GroupMoved(observed.map(str::to_owned)));
                }
                (Target::ScalingAdapter { name, resource_version }, Ok(_) | Err(ApplyError::Moved(_))) => {
                    let adapter = ObjectKey::new(group.namespace.as_str(), name.as_str());
                    signs.push(Sign::AdapterMoved(adapter, resource_version.clone()));
                }
                (Target::Group { .. }, Ok(Version::After(_))) | (_, Err(_)) => {}
            }
        }
        let until = now.checked_add(PATIENCE).unwrap_or(Timestamp::MAX);
        (!signs.is_empty()).then_some(Self { signs, until })
    }

    /// Returns whether all of it is seen, or has been awaited long enough.
    pub(super) fn is_over(&self, world: &World, group: &ObjectKey, now: Timestamp) -> bool {
        now >= self.until
            || self.signs.iter().all(|sign| match sign {
                Sign::Generation(generation) => world
                    .groups
                    .get(group)
                    .is_none_or(|group| group.metadata.generation.is_none_or(|seen| seen >= *generation)),
                Sign::GroupMoved(version) => {
                    world.groups.get(group).is_none_or(|group| group.metadata.resource_version != *version)
                }
                Sign::AdapterMoved(key, version) => world
                    .scaling_adapters
                    .get(key)
                    .is_none_or(|adapter| adapter.metadata.resource_version.as_ref() != Some(version)),
            })
    }
}
