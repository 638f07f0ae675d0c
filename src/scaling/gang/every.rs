//! Limit and gang together, for every combination of small numbers.

use std::time::Duration;

use super::apply;
use crate::{
    policy::{Behavior, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy},
    scaling::{
        RoleHistory, ScaleEvent,
        history::events,
        limit,
        sketch::{Sketch, at, propose},
    },
    units::{GangSize, Replicas},
};

const PERIOD: Duration = Duration::from_secs(60);
const MOST_GANG: u32 = 4;
const MOST: u32 = 8;

/// A rate policy of one direction; nothing is the HPA's path without behavior.
#[derive(Clone, Copy, Debug)]
enum Rate {
    BuiltIn,
    Disabled,
    Replicas(i32),
    Percent(i32),
}

const RATES: [Rate; 10] = [
    Rate::BuiltIn,
    Rate::Disabled,
    Rate::Replicas(1),
    Rate::Replicas(2),
    Rate::Replicas(3),
    Rate::Replicas(5),
    Rate::Percent(1),
    Rate::Percent(50),
    Rate::Percent(100),
    Rate::Percent(250),
];

/// Changes and their ages in seconds: none, younger than the period, older.
const PASTS: [&[(u32, u32, i64)]; 6] =
    [&[], &[(1, 2, 30)], &[(1, 4, 90)], &[(3, 1, 30)], &[(1, 3, 30), (4, 3, 10)], &[(1, 5, 200), (5, 4, 61)]];

impl Rate {
    fn behavior(self) -> Option<Behavior> {
        let (select, kind, value) = match self {
            Self::BuiltIn => return None,
            Self::Disabled => (SelectPolicy::Disabled, PolicyKind::Replicas, 1),
            Self::Replicas(value) => (SelectPolicy::Max, PolicyKind::Replicas, value),
            Self::Percent(value) => (SelectPolicy::Max, PolicyKind::Percent, value),
        };
        let rules = ScalingRules {
            stabilization_window: None,
            select,
            policies: vec![ScalingPolicy { kind, value, period: PERIOD }],
            tolerance: None,
        };
        Some(Behavior { up: rules.clone(), down: rules })
    }
}

/// The group of one role at that count.
fn role(gang: u32, (min, max): (u32, u32), rate: Rate) -> Sketch {
    let mut sketch = Sketch::of(&[("decode", 0, gang)]).bounds(0, min, max);
    sketch.policy.roles[0].behavior = rate.behavior();
    sketch
}

/// What `limit` lets through, and what `gang` makes of it.
fn decided(sketch: &mut Sketch, current: u32, want: u32) -> (u32, u32) {
    sketch.role(0).spec_replicas = Replicas::new(current);
    let mut group = sketch.draft();
    propose(&mut group, &[want]);
    let draft = group.roles[0].as_mut().expect("a role");
    limit::apply(draft);
    let limited = draft.proposal.replicas.get();
    apply(draft);
    (limited, draft.proposal.replicas.get())
}

fn past(changes: &[(u32, u32, i64)]) -> Vec<RoleHistory> {
    let event = |(from, to, age): &(u32, u32, i64)| ScaleEvent {
        from: Replicas::new(*from),
        to: Replicas::new(*to),
        time: at(-age),
    };
    vec![RoleHistory { scale_events: changes.iter().map(event).collect(), ..RoleHistory::default() }]
}

#[test]
fn every_small_count_moves_in_whole_gangs_as_far_as_the_policy_lets_it() {
    let mut cases = 0;
    for gang in 1..=MOST_GANG {
        let grid = GangSize::new(gang).expect("not zero");
        let ceil = |count: u32| grid.ceil_to_gang(Replicas::new(count)).get();
        for (min, max) in [(0, 2 * gang), (gang, 3 * gang), (gang, gang)] {
            for rate in RATES {
                let mut sketch = role(gang, (min, max), rate);
                for changes in PASTS {
                    sketch.past = past(changes);
                    for current in min..=max.min(MOST) {
                        let counted = ceil(current);
                        let mut last = 0;
                        for want in 0..=max + 2 {
                            let (limited, to) = decided(&mut sketch, current, want);
                            let case = || {
                                format!(
                                    "gang {gang} of {min}..{max}, {rate:?} after {changes:?}, {current} wants {want}: {limited}, {to}"
                                )
                            };
                            assert_eq!(to % gang, 0, "whole gangs: {}", case());
                            assert!((min..=max).contains(&to), "inside the bounds: {}", case());
                            assert!(to >= last, "more load never gives fewer ({last}): {}", case());
                            let wanted = ceil(want.clamp(min, max));
                            let (low, high) = (wanted.min(counted), wanted.max(counted));
                            assert!((low..=high).contains(&to), "on the way to what is wanted: {}", case());
                            if want > current && to > counted {
                                let upper = decided(&mut sketch, current, u32::MAX).0;
                                assert!(
                                    to <= upper || to == counted + gang,
                                    "the limit {upper}, or one gang: {}",
                                    case()
                                );
                            }
                            if want < current && to < counted {
                                let lower = decided(&mut sketch, current, 0).0;
                                assert!(
                                    to >= lower || to + gang == counted,
                                    "the limit {lower}, or one gang: {}",
                                    case()
                                );
                            }
                            if gang == 1 {
                                assert_eq!(to, limited, "a gang of one changes nothing: {}", case());
                            }
                            again(&sketch, current, want, to, &case);
                            last = to;
                            cases += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(cases > 10_000, "{cases}");
}

/// Decides again on the written count at the same time, with the change remembered.
fn again(sketch: &Sketch, current: u32, want: u32, to: u32, case: &dyn Fn() -> String) {
    let Some(behavior) = sketch.policy.roles[0].behavior.clone() else { return };
    let mut after = sketch.clone();
    let history = &mut after.past[0].scale_events;
    let change = ScaleEvent { from: Replicas::new(current), to: Replicas::new(to), time: at(0) };
    events::store(history, change, &behavior);
    events::prune(history, events::retention(&behavior, after.policy.roles[0].gang), at(0));
    let (_, next) = decided(&mut after, to, want);
    assert_eq!(next, to, "deciding again changes nothing: {}", case());
}
