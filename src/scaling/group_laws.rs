//! Laws of the stages that look at the whole group, over random groups and the whole of [`super::decide`].

use proptest::{prelude::*, test_runner::RngSeed};

use super::{
    Decision, Reading, RoleHistory, Rollback, Total,
    sketch::{Sketch, at, loading, ready, unschedulable},
};
use crate::{
    policy::{Behavior, CapacityMode},
    units::{MilliValue, Replicas},
};

/// One role: gangs of a size, how many gangs there are, its load, and how its replicas stand from the top down.
#[derive(Clone, Debug)]
struct Role {
    gang: u32,
    gangs: u32,
    most: u32,
    load: Option<i64>,
    waiting: u32,
    loading: u32,
    waited: i64,
    rollback: Option<(u32, i64, u32)>,
    rolling_out: bool,
}

fn role() -> impl Strategy<Value = Role> {
    let rollback = prop::option::weighted(0.3, (1..5_u32, -100..100_i64, 1..8_u32));
    (
        (1..4_u32, 1..6_u32, 1..10_u32),
        prop::option::weighted(0.8, 0..40_i64),
        (0..4_u32, 0..4_u32, 0..1200_i64),
        rollback,
        prop::bool::weighted(0.1),
    )
        .prop_map(|((gang, gangs, most), load, (waiting, loading, waited), rollback, rolling_out)| {
            Role { gang, gangs, most, load, waiting, loading, waited, rollback, rolling_out }
        })
}

type Pair = (usize, Option<(u32, u32)>);

fn sketch(
    roles: &[Role],
    pairs: &[Pair],
    nodes: &[u32],
    fit: bool,
    known: bool,
    holds: (bool, bool),
) -> Sketch {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let drawn: Vec<_> =
        roles.iter().zip(NAMES).map(|(role, name)| (name, role.gang * role.gangs, role.gang)).collect();
    let mut sketch = Sketch::of(&drawn);
    for (index, role) in roles.iter().enumerate() {
        sketch = sketch.bounds(index, role.gang, role.gang * role.most).metric(index);
        sketch.policy.roles[index].behavior = Some(Behavior::default());
        sketch.policy.roles[index].metrics[0].source =
            crate::policy::MetricSource::RoleTotal { role: "router".to_owned() };
        let count = role.gang * role.gangs;
        let seen = sketch.role(index);
        seen.rolling_out = role.rolling_out;
        seen.replicas = (0..count)
            .map(|ordinal| match count - ordinal {
                top if top <= role.waiting => unschedulable(NAMES[index], ordinal, role.waited),
                top if top <= role.waiting + role.loading => loading(NAMES[index], ordinal),
                _ => ready(NAMES[index], ordinal),
            })
            .collect();
        let total = |load| Total {
            values: vec![MilliValue::from_whole(load)],
            expected: Some(1),
            reported: Some(1),
            ..Total::default()
        };
        seen.readings = vec![
            role.load
                .map_or_else(|| Reading::Failed("refused".to_owned()), |load| Reading::Total(total(load))),
        ];
        let rollback = role.rollback.map(|(attempts, until, gangs)| Rollback {
            attempts,
            at: at(until - 60),
            until: at(until),
            replicas: Replicas::new(gangs * role.gang),
            room: 0,
        });
        sketch.past[index] =
            RoleHistory { recommendations: Some(Vec::new()), rollback, ..RoleHistory::default() };
    }
    for (first, bound) in pairs {
        if let Some((p, q)) = bound {
            sketch = sketch.ratio(
                *first,
                (first + 1) % roles.len(),
                &format!("{p}:{}", q + 1),
                &format!("{}:{q}", p + 1),
            );
        }
    }
    if known {
        sketch = sketch.cluster(nodes, &[(1, 1), (1, 2), (1, 1)]);
        for (index, role) in roles.iter().enumerate() {
            let top = role.gang * role.gangs;
            for replica in &mut sketch.role(index).replicas {
                if top - replica.ordinal.expect("set") <= role.waiting {
                    replica.bound_pods = 0;
                }
            }
        }
    }
    sketch.policy.capacity.mode = if fit { CapacityMode::Fit } else { CapacityMode::Optimistic };
    (sketch.policy.hold_up, sketch.policy.hold_down) = holds;
    sketch
}

fn condition<'d>(decision: &'d Decision, name: &str) -> Option<&'d str> {
    decision.conditions.iter().find(|condition| condition.type_ == name).map(|condition| &*condition.status)
}

/// The same 600 cases every time, or as many new ones as `RBGA_LAW_CASES` says.
fn cases() -> ProptestConfig {
    let quiet = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var("RBGA_LAW_CASES").ok().and_then(|cases| cases.parse().ok()) {
        Some(cases) => ProptestConfig { cases, ..quiet },
        None => ProptestConfig { cases: 600, rng_seed: RngSeed::Fixed(0), ..quiet },
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn groups_keep_the_laws(
        roles in prop::collection::vec(role(), 3),
        pairs in prop::collection::vec((0..3_usize, prop::option::of((1..3_u32, 1..3_u32))), 0..3),
        nodes in prop::collection::vec(0..9_u32, 0..4), fit in any::<bool>(), known in any::<bool>(),
        holds in (prop::bool::weighted(0.1), prop::bool::weighted(0.1)),
    ) {
        let sketch = sketch(&roles, &pairs, &nodes, fit, known, holds);
        let decision = sketch.decide();
        for write in &decision.writes {
            let gang = sketch.policy.roles[write.role].gang.get();
            prop_assert_eq!(write.to.get() % gang, 0, "whole gangs are written");
        }
        let final_count = |index: usize| decision.roles[index].as_ref().expect("a role").desired_replicas.get();
        for (index, policy) in sketch.policy.roles.iter().enumerate() {
            let (before, after) = (sketch.seen.roles[index].as_ref().expect("a role").spec_replicas.get(), final_count(index));
            let (min, max) = (policy.bounds.min.get(), policy.bounds.max.get());
            prop_assert!(after >= before.min(min) && after <= before.max(max), "not further outside: {} to {}", before, after);
            let silent = roles[index].load.is_none();
            let taken_back = decision.roles[index].as_ref().expect("a role").steps.iter().any(|step| step.reason == "RolledBack");
            if silent && before <= max && !taken_back {
                prop_assert!(after >= before, "missing data never lowers");
            }
        }
        let holds = sketch.policy.ratios.iter().all(|ratio| {
            let (first, second) = (u64::from(final_count(ratio.first)), u64::from(final_count(ratio.second)));
            ratio.min.is_none_or(|bound| first * u64::from(bound.second) >= second * u64::from(bound.first))
                && ratio.max.is_none_or(|bound| first * u64::from(bound.second) <= second * u64::from(bound.first))
        });
        let satisfied = condition(&decision, "RatioSatisfied");
        prop_assert_eq!(satisfied, (!sketch.policy.ratios.is_empty()).then_some(if holds { "True" } else { "False" }));

        // A count outside its bounds goes to the bound first and is looked at afterwards, as the HPA does it.
        if roles.iter().any(|role| role.gangs > role.most) {
            return Ok(());
        }
        let after = sketch.written(&decision);
        let again = after.decide();
        prop_assert!(again.writes.is_empty(), "again: {:?}\nfirst: {:#?}\nthen: {:#?}", again.writes, decision, again);
    }
}

#[test]
fn a_backoff_is_judged_by_what_the_ratio_leaves_to_ask_for() {
    let plain = Role {
        gang: 1,
        gangs: 1,
        most: 1,
        load: None,
        waiting: 0,
        loading: 0,
        waited: 0,
        rollback: None,
        rolling_out: false,
    };
    // Three of a's four wait for a node; b has nothing to do and may not be raised.
    let waits = Role {
        gang: 2,
        gangs: 2,
        most: 2,
        load: Some(21),
        waiting: 3,
        rollback: Some((1, 0, 1)),
        ..plain.clone()
    };
    let idle = Role { gangs: 3, most: 4, load: Some(0), ..plain.clone() };
    let sketch = sketch(&[waits, idle, plain], &[(0, Some((1, 2)))], &[], false, false, (true, false));
    let decision = sketch.decide();
    assert_eq!(sketch.written(&decision).decide().writes, [], "deciding again");
}
