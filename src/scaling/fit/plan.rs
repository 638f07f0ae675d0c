//! [`Plan`]: which of the wanted gangs fit, placed one after another.
//!
//! A gang is placed whole or not at all, together with the gangs that other roles need beside it: raising the rich side
//! of a ratio brings the gangs along that its poor sides then lack, in one bundle. The role that is furthest behind what it
//! wants goes next; of equals, the first in the alphabet. A bundle that found no room is tried again when others brought
//! part of it along; the same pods would find no more room than before.

use std::cmp::Ordering;

use super::{need::Need, room::Room, shortage};
use crate::{
    scaling::{observation::Reservation, ratio::Demand},
    units::{GangSize, Replicas},
};

/// How often another place is tried for the pods of one bundle.
const PATIENCE: u32 = 512;

/// More pods than this are not placed in one decision.
const MOST_PODS: usize = 100_000;

/// The growth that one role wants.
#[derive(Clone, Debug)]
pub(super) struct Growth<'a> {
    /// The role, by its place in the policy.
    pub role: usize,
    pub name: &'a str,
    pub from: Replicas,
    pub to: Replicas,
    pub gang: GangSize,
    /// The kinds of pods of one replica, by place in [`Plan::needs`], and how many there are of each.
    pub pods: Vec<(u32, usize)>,
}

/// What came of one role's growth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub role: usize,
    /// The count up to which gangs were placed.
    pub replicas: Replicas,
    /// Why it is not more.
    pub refusal: Option<String>,
    /// Where the pods were put: those of replicas below the count.
    pub placed: Vec<(Replicas, Reservation)>,
}

/// Placing gangs until nothing more fits.
#[derive(Debug)]
pub(super) struct Plan<'p, 'a> {
    pub room: &'p mut Room<'a>,
    pub needs: &'p mut [Need<'a>],
    pub growths: &'p [Growth<'a>],
    pub demands: &'p [Demand],
}

impl Plan<'_, '_> {
    /// Places what fits. `counts` are the final numbers of the roles that do not grow, by place in the policy.
    pub fn run(&mut self, counts: &[Replicas]) -> Vec<Grant> {
        let mut counts = counts.to_vec();
        let mut grants: Vec<Grant> = Vec::with_capacity(self.growths.len());
        for growth in self.growths {
            set(&mut counts, growth.role, growth.from);
            grants.push(Grant {
                role: growth.role,
                replicas: growth.from,
                refusal: None,
                placed: Vec::new(),
            });
        }
        // By growth: the bundle that found no room.
        let mut refused: Vec<Option<Vec<u32>>> = vec![None; grants.len()];
        let mut total = 0;
        while let Some(seed) = self.next(&grants) {
            let after = self.bundle(seed, &counts);
            match self.place(&counts, &after, total) {
                Ok(placed) => {
                    counts = after;
                    total += placed.len();
                    for (grant, growth) in grants.iter_mut().zip(self.growths) {
                        grant.replicas = count(&counts, growth.role);
                    }
                    for (growth, top, reservation) in placed {
                        if let Some(grant) = grants.get_mut(growth) {
                            grant.placed.push((top, reservation));
                        }
                    }
                    for (index, (grant, refused)) in grants.iter_mut().zip(&refused).enumerate() {
                        if grant.refusal.is_some()
                            && *refused != Some(more(&counts, &self.bundle(index, &counts)))
                        {
                            grant.refusal = None;
                        }
                    }
                }
                Err(why) => {
                    if let (Some(grant), Some(refused)) = (grants.get_mut(seed), refused.get_mut(seed)) {
                        grant.refusal = Some(why);
                        *refused = Some(more(&counts, &after));
                    }
                }
            }
        }
        for (grant, growth) in grants.iter_mut().zip(self.growths) {
            grant.refusal = grant.refusal.take().filter(|_| grant.replicas < growth.to);
        }
        grants
    }

    /// The growth that is furthest behind, among those not refused.
    fn next(&self, grants: &[Grant]) -> Option<usize> {
        let open = self.growths.iter().zip(grants).enumerate();
        let open = open.filter(|(_, (growth, grant))| grant.refusal.is_none() && grant.replicas < growth.to);
        let share = |growth: &Growth<'_>, grant: &Grant| {
            let done = grant.replicas.get().saturating_sub(growth.from.get());
            (u64::from(done), u64::from(growth.to.get().saturating_sub(growth.from.get())))
        };
        let by_share = |(done, all): (u64, u64), (other_done, other_all): (u64, u64)| -> Ordering {
            (done * other_all).cmp(&(other_done * all))
        };
        open.min_by(|(_, (a, a_grant)), (_, (b, b_grant))| {
            by_share(share(a, a_grant), share(b, b_grant)).then_with(|| a.name.cmp(b.name))
        })
        .map(|(index, _)| index)
    }

    /// The counts after one more gang of the seed, and the gangs that its poor partners then lack.
    fn bundle(&self, seed: usize, counts: &[Replicas]) -> Vec<Replicas> {
        let mut after = counts.to_vec();
        let Some(growth) = self.growths.get(seed) else { return after };
        let next = count(counts, growth.role).get().saturating_add(growth.gang.get());
        set(&mut after, growth.role, growth.gang.floor_to_gang(Replicas::new(next)).min(growth.to));
        loop {
            let mut changed = false;
            for demand in self.demands {
                let (poor, rich) = (count(&after, demand.poor), count(&after, demand.rich));
                if rich <= count(counts, demand.rich) || demand.holds(poor, rich) {
                    continue;
                }
                let Some(partner) = self.growths.iter().find(|growth| growth.role == demand.poor) else {
                    continue;
                };
                let to = partner.gang.ceil_to_gang(demand.needed(rich)).min(partner.to);
                if to > poor {
                    set(&mut after, demand.poor, to);
                    changed = true;
                }
            }
            if !changed {
                return after;
            }
        }
    }

    /// Places the pods between two vectors of counts, all of them or none.
    fn place(
        &mut self,
        before: &[Replicas],
        after: &[Replicas],
        total: usize,
    ) -> Result<Vec<(usize, Replicas, Reservation)>, String> {
        let mut owners = Vec::new();
        let mut pods: Vec<usize> = Vec::new();
        for (index, growth) in self.growths.iter().enumerate() {
            let each: u64 = growth.pods.iter().map(|(number, _)| u64::from(*number)).sum();
            let replicas = count(after, growth.role).get().saturating_sub(count(before, growth.role).get());
            let more = usize::try_from(each.saturating_mul(replicas.into())).unwrap_or(usize::MAX);
            if more.saturating_add(total).saturating_add(pods.len()) > MOST_PODS {
                return Err(format!("no more than {MOST_PODS} pods are placed at once"));
            }
            for ordinal in count(before, growth.role).get()..count(after, growth.role).get() {
                for (number, kind) in &growth.pods {
                    for _ in 0..*number {
                        owners.push((index, Replicas::new(ordinal.saturating_add(1))));
                        pods.push(*kind);
                    }
                }
            }
        }
        let Some(placed) = self.room.put_all(self.needs, &pods, PATIENCE) else {
            return Err(self.shortage(&pods));
        };
        let reservation = |(pod, at): (usize, usize)| {
            let (index, top) = *owners.get(pod)?;
            Some((index, top, self.room.reservation(at, self.needs.get(*pods.get(pod)?)?)))
        };
        Ok(placed.into_iter().filter_map(reservation).collect())
    }

    /// What the first pod lacks that finds no room once the others are placed.
    fn shortage(&mut self, pods: &[usize]) -> String {
        let before = self.room.all_free();
        let mut placed = Vec::new();
        let mut words = None;
        for kind in pods {
            let Some(need) = self.needs.get_mut(*kind) else { continue };
            if let Some(at) = self.room.put(need) {
                placed.push((at, *kind));
                continue;
            }
            let alike = pods.iter().filter(|other| *other == kind).count();
            words = Some(shortage::words(&before, self.room, need, alike));
            break;
        }
        for (at, kind) in placed {
            if let Some(need) = self.needs.get(kind) {
                self.room.remove(at, need);
            }
        }
        words.unwrap_or_else(|| "its pods do not fit together".to_owned())
    }
}

/// By how much each count rises.
fn more(before: &[Replicas], after: &[Replicas]) -> Vec<u32> {
    after.iter().zip(before).map(|(after, before)| after.get().saturating_sub(before.get())).collect()
}

fn count(counts: &[Replicas], role: usize) -> Replicas {
    counts.get(role).copied().unwrap_or_default()
}

fn set(counts: &mut [Replicas], role: usize, replicas: Replicas) {
    if let Some(slot) = counts.get_mut(role) {
        *slot = replicas;
    }
}
