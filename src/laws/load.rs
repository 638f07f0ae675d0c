//! More load never gives fewer replicas.

use proptest::prelude::*;

use super::{
    case::{GroupCase, smooth_groups},
    desired, hold,
};

/// The same group with more load on everything.
fn with_more(case: &GroupCase, more: u32) -> GroupCase {
    let mut case = case.clone();
    for metric in case.roles.iter_mut().flat_map(|role| &mut role.metrics) {
        metric.values.iter_mut().for_each(|value| *value = value.map(|value| value + more));
    }
    case
}

#[test]
fn more_load_never_gives_fewer_replicas() {
    let steps = [1, 50, 100, 300, 1000, 4000];
    hold(
        smooth_groups().prop_filter("not asleep", |case| case.roles.iter().all(|role| role.zero.is_none())),
        |case| {
            let mut last = desired(case);
            for more in steps {
                let next = desired(&with_more(case, more));
                if next.iter().zip(&last).any(|(next, last)| next < last) {
                    return Err(format!("{more} more: {last:?} → {next:?}"));
                }
                last = next;
            }
            Ok(())
        },
    );
}
