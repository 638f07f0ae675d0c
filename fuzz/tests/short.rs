//! The short form: every target with its real inputs, whole and broken.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rbg_autoscaler_fuzz::{TARGETS, Target, mutate::Mutator};

/// Bytes fed to each target: a second or so of a debug build.
const BYTES: usize = 1 << 20;

fn feed(target: &Target, bytes: &[u8]) {
    let fed = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    assert!(fed.is_ok(), "{} panics on {:?}", target.name, String::from_utf8_lossy(bytes));
}

#[test]
fn nothing_panics() {
    for target in TARGETS {
        let seeds = (target.seeds)().unwrap_or_else(|error| panic!("{}: {error}", target.name));
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for seed in &seeds {
            feed(target, seed);
        }
        let (mut mutator, mut fed, mut inputs) = (Mutator::new(1), 0, 0);
        while fed < BYTES && inputs < 5_000 {
            let input = mutator.next(&seeds);
            feed(target, &input);
            fed += input.len();
            inputs += 1;
        }
    }
}
