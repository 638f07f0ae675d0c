//! The laws of a decision, over random groups: gangs, ratios, windows, limits, sleep, capacity and failures mixed.
//!
//! A few hundred cases each by default, always the same, so that a test run says something of the change under test;
//! `RBGA_LAW_CASES=100000` (or `make laws`) runs as many new ones as it says, those of `PROPTEST_RNG_SEED` when it is set.

mod case;
mod document;
mod group;
mod load;
mod reach;
mod silence;

use proptest::test_runner::{Config, TestCaseError, TestRng, TestRunner};

use self::case::GroupCase;
use crate::{
    api::snapshot::{DecisionDocument, DecisionInput, ScalingSnapshot},
    scaling::Decision,
    vectors::now,
};

/// Runs a law over random groups; the law returns why it is broken.
fn hold(
    cases: impl proptest::strategy::Strategy<Value = GroupCase>,
    law: impl Fn(&GroupCase) -> Result<(), String>,
) {
    let asked = std::env::var("RBGA_LAW_CASES").ok().and_then(|text| text.parse().ok());
    let config = Config {
        cases: asked.unwrap_or(256),
        failure_persistence: None,
        max_shrink_iters: 4_000,
        // Some laws look at few of the cases; a long run must not end for that.
        max_local_rejects: u32::MAX,
        ..Config::default()
    };
    let mut runner = if asked.is_some() {
        TestRunner::new(config)
    } else {
        let same = TestRng::deterministic_rng(config.rng_algorithm);
        TestRunner::new_with_rng(config, same)
    };
    let broken = runner.run(&cases, |case| law(&case).map_err(TestCaseError::fail));
    if let Err(broken) = broken {
        panic!("{broken}");
    }
}

/// Reads a case as a document and decides on it.
fn decide(case: &GroupCase) -> (DecisionInput, Decision) {
    decide_document(&document::of(case))
}

fn decide_document(document: &serde_json::Value) -> (DecisionInput, Decision) {
    let snapshot: ScalingSnapshot =
        serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{error}\n{document}"));
    let input = snapshot
        .into_input(now())
        .unwrap_or_else(|error| panic!("a generated document is wrong: {error}\n{document}"));
    let decision = input.decide();
    (input, decision)
}

/// The desired counts by role.
fn desired(case: &GroupCase) -> Vec<u32> {
    let (_, decision) = decide(case);
    decision.roles.iter().flatten().map(|role| role.desired_replicas.get()).collect()
}

/// The answer as text, for a broken law.
fn answer(input: &DecisionInput, decision: &Decision) -> String {
    let document = DecisionDocument::new(&input.policy, decision.clone());
    serde_json::to_string_pretty(&document).unwrap_or_default()
}
