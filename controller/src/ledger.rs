//! [`Ledger`]: room that was given away and that nobody sees taken yet.
//!
//! Groups are decided on one after another. What one was given counts for the next ones until its pods are seen, bound
//! or waiting, since then they count themselves; at most a minute, since pods may never come.

mod owed;

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use rbg_autoscaler::{
    scaling::{Placement, Reservation},
    units::Replicas,
};

pub use self::owed::Owed;
use crate::cache::{store::ObjectKey, tenants::Tenants};

/// Pods that do not come within this time are not waited for.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// Room that was given away and that nobody sees taken yet.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: HashMap<(ObjectKey, String), Entry>,
}

/// What one role was given.
#[derive(Debug)]
struct Entry {
    /// By the count that they belong to, the least first.
    placed: Vec<(Replicas, Reservation)>,
    /// Pods of the role once all are there.
    pods: u32,
    until: Timestamp,
}

/// A raise of a role's count.
#[derive(Clone, Copy, Debug)]
pub struct Raise<'a> {
    /// The group.
    pub group: &'a ObjectKey,
    /// The role's name.
    pub role: &'a str,
    /// The count before.
    pub from: Replicas,
    /// The count after.
    pub to: Replicas,
    /// Pods of one replica.
    pub pods_per_replica: u32,
}

impl Ledger {
    /// Notes what a role is given, beside what it was given before.
    pub fn give<'p>(
        &mut self,
        raise: Raise<'_>,
        placements: impl IntoIterator<Item = &'p Placement>,
        now: Timestamp,
    ) {
        let key = (raise.group.clone(), raise.role.to_owned());
        self.take_back(raise.group, raise.role, raise.from);
        let mut entry =
            self.entries.remove(&key).unwrap_or(Entry { placed: Vec::new(), pods: 0, until: now });
        entry.placed.extend(placements.into_iter().map(|placed| (placed.replicas, placed.room.clone())));
        entry.placed.sort_by_key(|(replicas, _)| *replicas);
        entry.pods = raise.to.get().saturating_mul(raise.pods_per_replica);
        entry.until = now.checked_add(PATIENCE).unwrap_or(Timestamp::MAX);
        if !entry.placed.is_empty() {
            self.entries.insert(key, entry);
        }
    }

    /// Takes back what a role was given beyond a count: it was not written, or lowered since.
    pub fn take_back(&mut self, group: &ObjectKey, role: &str, beyond: Replicas) {
        let key = (group.clone(), role.to_owned());
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let before = entry.placed.len();
        entry.placed.retain(|(replicas, _)| *replicas <= beyond);
        let gone = u32::try_from(before - entry.placed.len()).unwrap_or(u32::MAX);
        entry.pods = entry.pods.saturating_sub(gone);
        if entry.placed.is_empty() {
            self.entries.remove(&key);
        }
    }

    /// Returns what nobody sees taken yet, and forgets the rest.
    pub fn open(&mut self, tenants: &Tenants, now: Timestamp) -> Vec<Reservation> {
        self.entries.retain(|(group, role), entry| {
            // Pods come in the order of their replicas, so it is the last that are missing.
            let missing = entry.pods.saturating_sub(tenants.of_role(group, role).0);
            let missing = usize::try_from(missing).unwrap_or(usize::MAX);
            entry.placed.drain(..entry.placed.len().saturating_sub(missing));
            now < entry.until && !entry.placed.is_empty()
        });
        let mut open: Vec<_> = self.entries.iter().collect();
        open.sort_by_key(|(key, _)| *key);
        open.into_iter().flat_map(|(_, entry)| entry.placed.iter().map(|(_, room)| room.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use rbg_autoscaler::units::MilliValue;

    use super::*;
    use crate::cache::occupant::{Occupant, Place};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    fn key() -> ObjectKey {
        ObjectKey::new("a", "demo")
    }

    /// One pod of each replica above `from`, on a node of the replica's number.
    fn give(ledger: &mut Ledger, from: u32, to: u32, second: i64) {
        let placements: Vec<_> = (from..to)
            .map(|ordinal| Placement {
                role: 0,
                replicas: Replicas::new(ordinal + 1),
                room: Reservation {
                    node: format!("n{ordinal}"),
                    requests: vec![("nvidia.com/gpu".to_owned(), MilliValue::from_whole(8))],
                    ports: Vec::new(),
                },
            })
            .collect();
        let group = key();
        let (from, to) = (Replicas::new(from), Replicas::new(to));
        let raise = Raise { group: &group, role: "decode", from, to, pods_per_replica: 1 };
        ledger.give(raise, placements.iter().rev(), at(second));
    }

    fn see(tenants: &mut Tenants, pod: u32) {
        let pod = Occupant {
            key: ObjectKey::new("a", format!("demo-decode-{pod}")),
            home: Some(("demo".to_owned(), "decode".to_owned())),
            leaving: false,
            priority: None,
            place: Place::Nowhere,
        };
        tenants.take(Event::Apply(pod));
    }

    fn open(ledger: &mut Ledger, tenants: &Tenants, second: i64) -> Vec<String> {
        ledger.open(tenants, at(second)).into_iter().map(|room| room.node).collect()
    }

    #[test]
    fn what_was_given_counts_until_its_pods_are_seen() {
        let (mut ledger, mut tenants) = (Ledger::default(), Tenants::default());
        (0..2).for_each(|pod| see(&mut tenants, pod));
        give(&mut ledger, 2, 5, 0);
        assert_eq!(open(&mut ledger, &tenants, 1), ["n2", "n3", "n4"]);
        see(&mut tenants, 2);
        assert_eq!(open(&mut ledger, &tenants, 2), ["n3", "n4"], "the first came");
        give(&mut ledger, 5, 6, 50);
        assert_eq!(open(&mut ledger, &tenants, 61), ["n3", "n4", "n5"], "more was given");
        assert_eq!(open(&mut ledger, &tenants, 110), [""; 0], "they never came");
    }

    #[test]
    fn what_was_not_written_is_taken_back() {
        let (mut ledger, tenants) = (Ledger::default(), Tenants::default());
        give(&mut ledger, 0, 2, 0);
        give(&mut ledger, 2, 4, 1);
        ledger.take_back(&key(), "decode", Replicas::new(2));
        assert_eq!(open(&mut ledger, &tenants, 2), ["n0", "n1"]);
        give(&mut ledger, 2, 3, 3);
        assert_eq!(open(&mut ledger, &tenants, 4), ["n0", "n1", "n2"]);
        give(&mut ledger, 2, 4, 5);
        assert_eq!(open(&mut ledger, &tenants, 6), ["n0", "n1", "n2", "n3"], "given again instead");
        ledger.take_back(&key(), "decode", Replicas::new(0));
        assert_eq!(open(&mut ledger, &tenants, 7), [""; 0]);
    }
}
