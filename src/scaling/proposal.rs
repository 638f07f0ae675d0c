//! [`Proposal`]: the number on its way through the stages, and how far they may still move it.

use std::borrow::Cow;

use super::decision::{Stage, Step};
use crate::units::Replicas;

/// A count with the room that later stages have, and the steps that led to it.
///
/// Invariant: the steps form a chain from the current count to `replicas`. [`Proposal::move_to`] keeps inside
/// `[floor, ceiling]`; only the correction of an out-of-bounds count and a rollback may [`Proposal::force`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The number so far.
    pub replicas: Replicas,
    /// Later stages do not go below this.
    pub floor: Replicas,
    /// Later stages do not go above this.
    pub ceiling: Replicas,
    /// The changes so far.
    pub steps: Vec<Step>,
}

impl Proposal {
    /// Returns the proposal to keep the current count, free to move.
    pub const fn keep(current: Replicas) -> Self {
        Self { replicas: current, floor: Replicas::ZERO, ceiling: Replicas::new(u32::MAX), steps: Vec::new() }
    }

    /// Bars lowering: from here on nothing goes below `current`.
    pub fn bar_lowering(&mut self, current: Replicas) {
        self.floor = self.floor.max(current);
    }

    /// Bars raising: from here on nothing goes above `current`.
    pub fn bar_raising(&mut self, current: Replicas) {
        self.ceiling = self.ceiling.min(current);
    }

    /// Returns the number nearest to `wanted` that the floor and the ceiling allow; the floor wins.
    pub fn allowed(&self, wanted: Replicas) -> Replicas {
        wanted.min(self.ceiling).max(self.floor)
    }

    /// Moves to the number nearest to `wanted` that is allowed; returns whether that changed it.
    pub fn move_to(
        &mut self,
        stage: Stage,
        wanted: Replicas,
        reason: &'static str,
        message: impl FnOnce() -> String,
    ) -> bool {
        let to = self.allowed(wanted);
        self.force(stage, to, reason, message)
    }

    /// Moves to `to` whatever the floor and the ceiling; returns whether that changed the number.
    pub fn force(
        &mut self,
        stage: Stage,
        to: Replicas,
        reason: &'static str,
        message: impl FnOnce() -> String,
    ) -> bool {
        if to == self.replicas {
            return false;
        }
        self.steps.push(Step {
            stage,
            from: self.replicas,
            to,
            reason: Cow::Borrowed(reason),
            message: message(),
        });
        self.replicas = to;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_stay_between_floor_and_ceiling_and_form_a_chain() {
        let mut proposal = Proposal::keep(Replicas::new(4));
        proposal.bar_lowering(Replicas::new(4));
        assert!(
            !proposal.move_to(Stage::Metrics, Replicas::new(2), "Down", String::new),
            "lowering is barred"
        );
        assert!(proposal.move_to(Stage::Metrics, Replicas::new(9), "Up", String::new));
        proposal.bar_raising(Replicas::new(6));
        assert!(proposal.move_to(Stage::Limit, Replicas::new(8), "Limit", String::new));
        assert!(proposal.force(Stage::Capacity, Replicas::new(2), "RolledBack", String::new));
        let chain: Vec<_> = proposal.steps.iter().map(|step| (step.from.get(), step.to.get())).collect();
        assert_eq!(chain, [(4, 9), (9, 6), (6, 2)]);
    }
}
