//! What the random groups reach: a law that never meets a stage proves nothing.

use std::collections::BTreeMap;

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, TestRng, TestRunner},
};

use super::{case::groups, decide};

/// Every reason that a step can have, and the conditions of the group that are not a step's.
const REASONS: [&str; 24] = [
    "BelowMinimum",
    "AboveMaximum",
    "MetricsProposal",
    "FallbackActive",
    "ScaleUpStabilized",
    "ScaleDownStabilized",
    "ScaleUpLimit",
    "ScaleDownLimit",
    "TooFewReplicas",
    "TooManyReplicas",
    "WholeGangs",
    "Idle",
    "Woken",
    "WakeSignalLost",
    "RatioRaised",
    "RatioLowered",
    "HeldUp",
    "HeldDown",
    "RolloutInProgress",
    "NoFit",
    "RolledBack",
    "BackingOff",
    "PartialGang",
    "Unknown",
];

/// How many groups are looked at.
const GROUPS: usize = 1000;
/// How many of them each reason is met in at least.
const AT_LEAST: usize = 4;

#[test]
fn the_groups_meet_every_stage_and_reason() {
    let config = Config::default();
    let same = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, same);
    let groups = groups();
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..GROUPS {
        let case = groups.new_tree(&mut runner).expect("a group").current();
        let (_, decision) = decide(&case);
        let steps = decision.roles.iter().flatten().flat_map(|role| &role.steps);
        let steps = steps.map(|step| step.reason.to_string());
        let limits = decision.conditions.iter().filter(|condition| condition.type_ == "CapacityLimited");
        let limits = limits.map(|condition| condition.reason.to_string());
        let reasons: std::collections::BTreeSet<String> = steps.chain(limits).collect();
        for reason in reasons {
            *met.entry(reason).or_default() += 1;
        }
    }
    println!("of {GROUPS} groups: {met:#?}");
    for reason in REASONS {
        let count = met.get(reason).copied().unwrap_or(0);
        assert!(count >= AT_LEAST, "{reason} is met in {count} of {GROUPS} groups");
    }
}
