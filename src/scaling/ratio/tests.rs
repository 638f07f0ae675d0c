use proptest::prelude::*;

use super::*;
use crate::scaling::{
    RoleObservation,
    sketch::{Sketch, loading, numbers, propose, ready, steps, unschedulable},
};

struct Case {
    name: &'static str,
    sketch: Sketch,
    proposals: &'static [u32],
    prepare: fn(&mut GroupDraft<'_>),
    want: &'static [u32],
    steps: &'static [&'static str],
    condition: (&'static str, &'static str),
}

const SATISFIED: (&str, &str) = ("True", "every ratio holds");

fn cases() -> [Case; 7] {
    let pair = || Sketch::of(&[("prefill", 20, 1), ("decode", 20, 4)]).ratio(0, 1, "1:4", "1:1");
    [
        Case {
            name: "decode is raised beside prefill",
            sketch: pair(),
            proposals: &[22, 20],
            prepare: |_| {},
            want: &[22, 24],
            steps: &["Ratio 20→24 RatioRaised: ratio prefill:decode at most 1:1: decode 20 → 24"],
            condition: SATISFIED,
        },
        Case {
            name: "decode is at its maximum, so prefill grows less",
            sketch: pair().bounds(1, 0, 24),
            proposals: &[40, 24],
            prepare: |_| {},
            want: &[24, 24],
            steps: &["Ratio 40→24 RatioLowered: ratio prefill:decode at most 1:1: prefill 40 → 24"],
            condition: SATISFIED,
        },
        Case {
            name: "raised, but not as far as was needed",
            sketch: pair().bounds(1, 0, 28),
            proposals: &[40, 24],
            prepare: |_| {},
            want: &[28, 28],
            steps: &[
                "Ratio 40→28 RatioLowered: ratio prefill:decode at most 1:1: prefill 40 → 28",
                "Ratio 24→28 RatioRaised: ratio prefill:decode at most 1:1: decode 24 → 28",
            ],
            condition: SATISFIED,
        },
        Case {
            name: "running replicas stay, and the condition says so",
            sketch: pair().bounds(1, 0, 12),
            proposals: &[20, 12],
            prepare: |_| {},
            want: &[20, 12],
            steps: &[],
            condition: (
                "False",
                "ratio prefill:decode at most 1:1 misses at 20:12: decode is at its maximum 12, prefill has 20 running replicas",
            ),
        },
        Case {
            name: "a barred role stays",
            sketch: pair().bounds(1, 0, 12),
            proposals: &[40, 12],
            prepare: |group| {
                group.roles[0].as_mut().expect("prefill").proposal.bar_lowering(Replicas::new(30));
            },
            want: &[30, 12],
            steps: &["Ratio 40→30 RatioLowered: ratio prefill:decode at most 1:1: prefill 40 → 30"],
            condition: (
                "False",
                "ratio prefill:decode at most 1:1 misses at 30:12: decode is at its maximum 12, prefill may not be lowered",
            ),
        },
        Case {
            name: "a disabled role suspends its ratio",
            sketch: pair().bounds(1, 4, 12),
            proposals: &[40, 0],
            prepare: |group| group.roles[1].as_mut().expect("decode").state = RoleState::Disabled,
            want: &[40, 0],
            steps: &[],
            condition: (
                "False",
                "ratio prefill:decode at most 1:1 misses at 40:0: suspended, decode is scaled to zero by hand",
            ),
        },
        Case {
            name: "both asleep",
            sketch: pair(),
            proposals: &[0, 0],
            prepare: |_| {},
            want: &[0, 0],
            steps: &[],
            condition: SATISFIED,
        },
    ]
}

#[test]
fn proposals_are_mended_and_the_condition_says_what_stays_broken() {
    for Case { name, sketch, proposals, prepare, want, steps: texts, condition } in cases() {
        let mut group = sketch.draft();
        propose(&mut group, proposals);
        prepare(&mut group);
        apply(&mut group);
        refit(&mut group);
        judge(&mut group);
        assert_eq!(numbers(&group), want, "{name}");
        let found: Vec<_> =
            group.roles.iter().flatten().flat_map(steps).filter(|step| step.starts_with("Ratio")).collect();
        assert_eq!(found, texts, "{name}");
        let last = group.conditions.last().expect("a condition");
        assert_eq!((&*last.status, &*last.message), condition, "{name}");
    }
}

#[test]
fn running_replicas_are_those_that_would_go_with_the_highest_ordinals() {
    let deleted = |ordinal| {
        let mut replica = ready("decode", ordinal);
        replica.deleted = true;
        replica
    };
    let nameless = |mut replica: crate::scaling::ReplicaObservation| {
        replica.ordinal = None;
        replica
    };
    for (name, spec, status, replicas, want) in [
        ("all ready", 2, 2, vec![ready("decode", 0), ready("decode", 1)], 2),
        ("loading ones run", 2, 2, vec![ready("decode", 0), loading("decode", 1)], 2),
        ("pending ones do not", 2, 2, vec![ready("decode", 0), unschedulable("decode", 1, 9)], 1),
        ("one below a running one stays", 2, 2, vec![unschedulable("decode", 0, 9), ready("decode", 1)], 2),
        ("terminating ones do not", 2, 2, vec![ready("decode", 0), deleted(1)], 1),
        ("beyond the count", 2, 4, vec![ready("decode", 0), ready("decode", 3)], 1),
        (
            "without ordinals they are counted",
            3,
            3,
            vec![
                nameless(unschedulable("decode", 0, 9)),
                nameless(ready("decode", 1)),
                nameless(ready("decode", 2)),
            ],
            2,
        ),
        ("no pods are known", 3, 2, Vec::new(), 2),
    ] {
        let seen = RoleObservation {
            status_replicas: Replicas::new(status),
            replicas,
            ..RoleObservation::default()
        };
        assert_eq!(running(&seen, Replicas::new(spec)).get(), want, "{name}");
    }
}

#[test]
fn running_replicas_that_go_anyway_protect_none_that_wait() {
    let mut sketch = Sketch::of(&[("a", 7, 1), ("b", 1, 1)]).ratio(0, 1, "", "2:1").bounds(1, 1, 1);
    for ordinal in 2..5 {
        sketch.role(0).replicas[ordinal] = unschedulable("a", u32::try_from(ordinal).expect("small"), 9);
    }
    let mut group = sketch.draft();
    propose(&mut group, &[5, 1]);
    apply(&mut group);
    assert_eq!(numbers(&group), [2, 1], "5 and 6 run but are not asked for; 2 to 4 wait");
}

proptest! {
    #[test]
    fn every_ratio_holds_or_the_condition_is_false(
        currents in prop::array::uniform3(0..20_u32), proposals in prop::array::uniform3(0..40_u32),
        maxima in prop::array::uniform3(1..40_u32), bars in prop::array::uniform3(any::<bool>()),
    ) {
        let mut sketch = Sketch::of(&[("a", currents[0], 1), ("b", currents[1], 2), ("c", currents[2], 3)])
            .ratio(0, 1, "1:2", "2:1").ratio(1, 2, "1:1", "").ratio(2, 0, "", "3:1");
        for (role, max) in maxima.iter().enumerate() {
            sketch = sketch.bounds(role, 0, max * 6);
        }
        let mut group = sketch.draft();
        for (draft, bar) in group.roles.iter_mut().flatten().zip(bars) {
            if bar {
                draft.proposal.bar_lowering(draft.current());
            }
        }
        propose(&mut group, &proposals);
        apply(&mut group);
        let once = numbers(&group);
        apply(&mut group);
        prop_assert_eq!(&numbers(&group), &once, "again");
        judge(&mut group);
        let n = once;
        let holds = 2 * n[0] >= n[1] && n[0] <= 2 * n[1] && n[1] >= n[2] && n[2] <= 3 * n[0];
        let condition = group.conditions.last().expect("a condition");
        prop_assert_eq!(holds, condition.status == "True", "{}", condition.message);
    }
}
