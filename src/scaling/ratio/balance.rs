//! [`Balance`]: counts of roles bound by proportions, and the two passes that mend them.
//!
//! Pass [`Balance::raise`] finds the smallest counts at or above the given ones such that the poor side of each pair
//! has enough, or can grow no further. Pass [`Balance::lower`] finds the largest counts at or below the given ones such
//! that the rich side of each pair fits the poor one, or can shrink no further. Both move one role at a time to the
//! number that one pair asks for, until nothing moves. What a role is asked for only grows with its partners' counts, so
//! there is exactly one least (greatest) answer and every order of pairs reaches it.
//!
//! Proportions that contradict each other around a ring could creep one gang at a time for very long.
//! After [`MOST_MOVES`] moves `raise` gives up and leaves the counts as they were (asking for nothing strands no GPUs),
//! and `lower` stops where it is; what is unmet then is told like anything unmet.
//!
//! Plain integers only: knows nothing of policies' other parts, of stages or of messages.

use crate::{
    policy::{Ratio, RatioBound},
    units::{GangSize, Replicas},
};

/// More moves than any sensible policy needs: sixteen roles that each grow by 65,536 gangs.
pub(super) const MOST_MOVES: u32 = 1 << 20;

/// Counts of roles bound by proportions.
#[derive(Clone, Debug)]
pub(crate) struct Balance {
    /// In the order of the policy's roles; `None` for a role that takes no part, which suspends its ratios.
    pub sides: Vec<Option<Side>>,
    /// What one bound asks of one role, given the other.
    demands: Vec<Demand>,
}

/// The count of one role and how far it may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    /// The count.
    pub replicas: Replicas,
    /// The step in which it moves.
    pub gang: GangSize,
    /// It is not lowered below this.
    pub low: Replicas,
    /// It is not raised above this.
    pub high: Replicas,
}

/// One bound of one ratio: `poor` needs at least `rich × numerator ÷ denominator` replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    /// The ratio, by its place in the policy.
    pub ratio: usize,
    /// Whether this is the ratio's least (else its most) proportion.
    pub is_min: bool,
    /// The bound.
    pub bound: RatioBound,
    /// The role that needs enough, by its place in the policy.
    pub poor: usize,
    /// The role that asks for it.
    pub rich: usize,
    numerator: u64,
    denominator: u64,
}

impl Demand {
    /// The two bounds of a ratio, as far as it has them.
    fn of(ratio: usize, pair: &Ratio) -> impl Iterator<Item = Self> {
        let Ratio { first, second, min, max } = *pair;
        let parts = |bound: RatioBound| (u64::from(bound.first), u64::from(bound.second));
        // first ÷ second ≥ p ÷ q: the first needs second × p ÷ q.
        let least = min.map(|bound| {
            let (numerator, denominator) = parts(bound);
            Self { ratio, is_min: true, bound, poor: first, rich: second, numerator, denominator }
        });
        // first ÷ second ≤ p ÷ q: the second needs first × q ÷ p.
        let most = max.map(|bound| {
            let (denominator, numerator) = parts(bound);
            Self { ratio, is_min: false, bound, poor: second, rich: first, numerator, denominator }
        });
        least.into_iter().chain(most)
    }

    /// Whether these counts satisfy the bound. 0:0 does.
    pub fn holds(&self, poor: Replicas, rich: Replicas) -> bool {
        u64::from(poor.get()) * self.denominator >= u64::from(rich.get()) * self.numerator
    }

    /// The least count of the poor side beside that many of the rich one.
    pub fn needed(&self, rich: Replicas) -> Replicas {
        let needed = (u64::from(rich.get()) * self.numerator).div_ceil(self.denominator.max(1));
        Replicas::new(u32::try_from(needed).unwrap_or(u32::MAX))
    }

    /// The largest count of the rich side beside that many of the poor one.
    pub fn supported(&self, poor: Replicas) -> Replicas {
        let supported = u64::from(poor.get()) * self.denominator / self.numerator.max(1);
        Replicas::new(u32::try_from(supported).unwrap_or(u32::MAX))
    }
}

impl Balance {
    /// Returns the counts with the ratios between those of them that take part.
    pub fn new(ratios: &[Ratio], sides: Vec<Option<Side>>) -> Self {
        let takes_part = |role: usize| sides.get(role).is_some_and(Option::is_some);
        let demands = ratios
            .iter()
            .enumerate()
            .flat_map(|(index, pair)| Demand::of(index, pair))
            .filter(|demand| takes_part(demand.poor) && takes_part(demand.rich))
            .collect();
        Self { sides, demands }
    }

    /// What the bounds ask for, ratio by ratio.
    pub fn demands(&self) -> &[Demand] {
        &self.demands
    }

    /// The demands that the counts leave unmet.
    pub fn unmet(&self) -> impl Iterator<Item = &Demand> {
        self.demands.iter().filter(|demand| {
            let (Some(poor), Some(rich)) = (self.side(demand.poor), self.side(demand.rich)) else {
                return false;
            };
            !demand.holds(poor.replicas, rich.replicas)
        })
    }

    /// Raises poor sides: the smallest counts at or above these that leave each poor side satisfied or stuck.
    ///
    /// Returns whether it came to an end; if not, the counts are as they were.
    pub fn raise(&mut self) -> bool {
        let before = self.sides.clone();
        let mut moves = 0;
        loop {
            let mut changed = false;
            for demand in &self.demands {
                let (Some(poor), Some(rich)) = (self.side(demand.poor), self.side(demand.rich)) else {
                    continue;
                };
                let highest = poor.gang.floor_to_gang(poor.high).max(poor.replicas);
                let to = poor.gang.ceil_to_gang(demand.needed(rich.replicas)).min(highest);
                if to > poor.replicas && !demand.holds(poor.replicas, rich.replicas) {
                    set(&mut self.sides, demand.poor, to);
                    changed = true;
                    moves += 1;
                }
            }
            if !changed {
                return true;
            }
            if moves > MOST_MOVES {
                self.sides = before;
                return false;
            }
        }
    }

    /// Lowers rich sides: the largest counts at or below these that leave each rich side fitting or stuck.
    pub fn lower(&mut self) {
        let mut moves = 0;
        loop {
            let mut changed = false;
            for demand in &self.demands {
                let (Some(poor), Some(rich)) = (self.side(demand.poor), self.side(demand.rich)) else {
                    continue;
                };
                let lowest = rich.gang.ceil_to_gang(rich.low).min(rich.replicas);
                let to = rich.gang.floor_to_gang(demand.supported(poor.replicas)).max(lowest);
                if to < rich.replicas && !demand.holds(poor.replicas, rich.replicas) {
                    set(&mut self.sides, demand.rich, to);
                    changed = true;
                    moves += 1;
                }
            }
            if !changed || moves > MOST_MOVES {
                return;
            }
        }
    }

    /// The side of a role that takes part.
    pub fn side(&self, role: usize) -> Option<Side> {
        self.sides.get(role).copied().flatten()
    }
}

fn set(sides: &mut [Option<Side>], role: usize, replicas: Replicas) {
    if let Some(Some(side)) = sides.get_mut(role) {
        side.replicas = replicas;
    }
}

#[cfg(test)]
mod tests;
