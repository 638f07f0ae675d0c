use std::time::Duration;

use super::*;
use crate::scaling::{
    CapacityObservation, RoleHistory, Rollback, ScaleEvent,
    draft::MetricResult,
    sketch::{Sketch, at, loading, numbers, propose, ready, steps, unschedulable},
};

/// `decode` in gangs of `gang`, with `running` ready replicas and `stuck` ones above that wait since `seconds`.
fn contended(running: u32, stuck: u32, gang: u32, seconds: i64) -> Sketch {
    let mut sketch = Sketch::of(&[("decode", running + stuck, gang)]);
    let waiting = (running..running + stuck).map(|ordinal| unschedulable("decode", ordinal, seconds));
    sketch.role(0).replicas = (0..running).map(|ordinal| ready("decode", ordinal)).chain(waiting).collect();
    sketch
}

fn rolled_back(attempts: u32, until: i64, replicas: u32) -> RoleHistory {
    let rollback =
        Rollback { attempts, at: at(-30), until: at(until), replicas: Replicas::new(replicas), room: 0 };
    RoleHistory { rollback: Some(rollback), ..RoleHistory::default() }
}

/// Runs the stage on a group whose roles want so many replicas.
fn run<'s>(sketch: &'s Sketch, wanted: &[u32]) -> GroupDraft<'s> {
    let mut group = sketch.draft();
    propose(&mut group, wanted);
    for draft in group.roles.iter_mut().flatten() {
        draft.results = draft.policy.metrics.iter().map(|_| MetricResult::default()).collect();
    }
    apply(&mut group);
    group
}

fn reason<'g>(group: &'g GroupDraft<'_>) -> (&'g str, &'g str, &'g str) {
    let condition = group.conditions.last().expect("a condition");
    (&condition.status, &condition.reason, &condition.message)
}

#[test]
fn stuck_gangs_are_taken_back_and_remembered() {
    let mut sketch = contended(8, 8, 4, 700);
    sketch.policy.hold_down = true;
    let mut group = sketch.draft();
    group.roles[0].as_mut().expect("decode").proposal.bar_lowering(Replicas::new(16));
    propose(&mut group, &[40]);
    apply(&mut group);
    assert_eq!(numbers(&group), [8], "under a floor too, and however many are wanted");
    let draft = group.roles[0].as_ref().expect("decode");
    assert_eq!(
        steps(draft).last().expect("a step"),
        "Capacity 40→8 RolledBack: replicas 8 to 11 unschedulable for 700 s (0/3 nodes are available: 3 Insufficient \
         nvidia.com/gpu): 40 → 8"
    );
    let (status, reason, message) = reason(&group);
    assert_eq!((status, reason), ("True", "RolledBack"));
    assert!(message.starts_with("decode: replicas 8 to 11"), "{message}");
    let expected = Rollback { attempts: 1, at: at(0), until: at(60), replicas: Replicas::new(16), room: 0 };
    assert_eq!(draft.next.rollback, Some(expected));
    assert_eq!(draft.due.time(), Some(at(60)));
}

#[test]
fn a_ratio_does_not_undo_a_rollback() {
    // Decode's metric failed, so lowering it is barred; what is taken back stays taken back beside its partner.
    let mut sketch = Sketch::of(&[("prefill", 4, 1), ("decode", 8, 4)]).ratio(0, 1, "1:2", "1:1");
    for ordinal in 4..8 {
        sketch.role(1).replicas[ordinal] =
            unschedulable("decode", u32::try_from(ordinal).expect("small"), 700);
    }
    let mut group = sketch.draft();
    group.roles[1].as_mut().expect("decode").proposal.bar_lowering(Replicas::new(8));
    apply(&mut group);
    assert_eq!(numbers(&group), [4, 4]);
}

#[test]
fn the_backoff_doubles_up_to_its_maximum() {
    for (attempts, wait) in [(0, 60), (1, 120), (2, 240), (4, 960), (5, 1800), (40, 1800)] {
        let mut sketch = contended(8, 8, 4, 700);
        if attempts > 0 {
            sketch.past[0] = rolled_back(attempts, -1, 24);
        }
        let group = run(&sketch, &[16]);
        let rollback = group.roles[0].as_ref().and_then(|draft| draft.next.rollback).expect("remembered");
        assert_eq!((rollback.attempts, rollback.until), (attempts + 1, at(wait)), "after {attempts}");
    }
}

#[test]
fn modes_that_do_not_write_remember_nothing() {
    for (mode, want, status) in [(Mode::Recommend, 8, "True"), (Mode::Disabled, 16, "False")] {
        let mut sketch = contended(8, 8, 4, 700);
        sketch.policy.mode = mode;
        let group = run(&sketch, &[16]);
        assert_eq!(numbers(&group), [want], "{mode:?}");
        assert_eq!(reason(&group).0, status, "{mode:?}");
        let decision = crate::scaling::finish::finish(group);
        let decode = decision.roles[0].as_ref().expect("decode");
        assert_eq!((decode.history.rollback, decision.recheck_at), (None, None), "{mode:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn after_a_rollback_less_is_asked_for() {
    struct Case {
        name: &'static str,
        sketch: Sketch,
        past: RoleHistory,
        wanted: u32,
        want: u32,
        step: Option<&'static str>,
        remembered: bool,
        /// In milliseconds.
        due: Option<i64>,
    }
    let six = || Sketch::of(&[("decode", 6, 1)]);
    let case = |name, past, wanted, want, step| Case {
        name,
        sketch: six(),
        past,
        wanted,
        want,
        step,
        remembered: true,
        due: None,
    };
    let unlucky = |at: i64, count: u32| {
        let mut sketch = contended(6, 0, 1, 0);
        sketch.role(0).spec_replicas = Replicas::new(6 + count);
        sketch.role(0).replicas.extend((6..6 + count).map(|ordinal| unschedulable("decode", ordinal, at)));
        sketch
    };
    let cases = [
        Case {
            due: Some(30_000),
            ..case(
                "waits",
                rolled_back(1, 30, 26),
                26,
                6,
                Some(
                    "Capacity 26→6 BackingOff: after 1 rollback, nothing more until 2026-11-21T10:00:30Z: 26 did not \
                     fit: 26 → 6",
                ),
            )
        },
        case(
            "then asks for half",
            rolled_back(2, 0, 26),
            26,
            16,
            Some(
                "Capacity 26→16 BackingOff: after 2 rollbacks, half of what did not fit (20 gangs up to 26): 26 → 16",
            ),
        ),
        case("less than half is free to go", rolled_back(1, 0, 26), 9, 9, None),
        case(
            "half of one is one",
            rolled_back(1, 0, 7),
            26,
            7,
            Some(
                "Capacity 26→7 BackingOff: after 1 rollback, half of what did not fit (1 gang up to 7): 26 → 7",
            ),
        ),
        case(
            "half of three is one",
            rolled_back(1, 0, 9),
            9,
            7,
            Some(
                "Capacity 9→7 BackingOff: after 1 rollback, half of what did not fit (3 gangs up to 9): 9 → 7",
            ),
        ),
        case("lowering is free", rolled_back(1, 30, 26), 2, 2, None),
        Case {
            sketch: unlucky(5, 4),
            // A millisecond after the timeout of those that wait.
            due: Some(595_001),
            ..case(
                "no more while pods wait",
                rolled_back(1, 0, 26),
                26,
                10,
                Some("Capacity 26→10 BackingOff: after 1 rollback, 4 replicas wait for a node: 26 → 10"),
            )
        },
        Case {
            remembered: false,
            ..case("forgotten once that many have nodes", rolled_back(1, 0, 6), 26, 26, None)
        },
        Case {
            sketch: six().cluster(&[0, 8], &[(1, 1)]),
            ..case(
                "new room ends the wait",
                rolled_back(1, 30, 26),
                26,
                14,
                Some(
                    "Capacity 26→14 BackingOff: after 1 rollback, there is new room: half of what did not fit (20 \
                     gangs up to 26): 26 → 14",
                ),
            )
        },
        Case {
            sketch: six().cluster(&[0, 8], &[(1, 9)]),
            due: Some(30_000),
            ..case("room for nothing does not", rolled_back(1, 30, 26), 26, 6, None)
        },
    ];
    for Case { name, mut sketch, past, wanted, want, step, remembered, due } in cases {
        let due = due.map(|due| at(0) + jiff::SignedDuration::from_millis(due));
        sketch.past = vec![past];
        let group = run(&sketch, &[wanted]);
        assert_eq!(numbers(&group), [want], "{name}");
        let draft = group.roles[0].as_ref().expect("decode");
        if step.is_some() {
            assert_eq!(steps(draft).last().map(String::as_str), step, "{name}");
            assert_eq!(reason(&group).1, "RolledBack", "{name}");
        }
        assert_eq!(draft.next.rollback.is_some(), remembered, "{name}");
        assert_eq!(draft.due.time(), due, "{name}: due");
    }
}

#[test]
fn room_that_was_there_all_along_is_no_news() {
    // The nodes had room for two gangs when all were taken back: a scheduler that wants all at once refused them.
    let mut sketch = contended(4, 8, 4, 700).cluster(&[4, 4], &[(1, 1)]);
    let group = run(&sketch, &[12]);
    let rollback = group.roles[0].as_ref().and_then(|draft| draft.next.rollback).expect("remembered");
    assert_eq!((rollback.replicas.get(), rollback.room), (12, 2));
    sketch.role(0).spec_replicas = Replicas::new(4);
    sketch.role(0).replicas.truncate(4);
    sketch.past = vec![RoleHistory { rollback: Some(rollback), ..RoleHistory::default() }];
    assert_eq!(numbers(&run(&sketch, &[12])), [4]);
}

#[test]
fn pending_gangs_go_first_when_demand_falls() {
    for (name, stuck, wanted, number, floor, want) in [
        ("demand falls by a gang", 8, 12, 16, 0, 12),
        ("demand falls to nothing: what runs stays for the windows", 8, 0, 16, 0, 8),
        ("demand falls, nothing waits", 0, 4, 8, 0, 8),
        ("demand does not fall", 8, 16, 16, 0, 16),
        ("lowering is barred", 8, 0, 16, 16, 16),
    ] {
        let sketch = contended(8, stuck, 4, 10).metric(0);
        let mut group = sketch.draft();
        let draft = group.roles[0].as_mut().expect("decode");
        draft.recommended = Replicas::new(wanted);
        draft.results = vec![MetricResult::default()];
        draft.proposal.bar_lowering(Replicas::new(floor));
        assert_eq!(draft.proposal.replicas.get(), number, "{name}: the windows keep the number");
        apply(&mut group);
        assert_eq!(numbers(&group), [want], "{name}");
    }
    // Without behavior the window may ask for more than there is, although the formula asks for less.
    let sketch = contended(8, 0, 1, 10).metric(0);
    let mut group = sketch.draft();
    let draft = group.roles[0].as_mut().expect("decode");
    draft.recommended = Replicas::new(3);
    draft.results = vec![MetricResult::default()];
    draft.proposal.move_to(Stage::Stabilize, Replicas::new(10), "ScaleDownStabilized", String::new);
    apply(&mut group);
    assert_eq!(numbers(&group), [10], "nothing waits: the number is the HPA's");
}

#[test]
fn pending_gangs_that_a_partner_needs_stay() {
    let mut sketch = contended(4, 4, 4, 10);
    let prefill = Sketch::of(&[("prefill", 4, 1)]);
    sketch.policy.roles.push(prefill.policy.roles[0].clone());
    sketch.seen.roles.push(prefill.seen.roles[0].clone());
    sketch.past.push(RoleHistory::default());
    let sketch = sketch.ratio(1, 0, "1:2", "1:2").metric(0).metric(1);
    for (wanted, want) in [([4, 4], [8, 4]), ([4, 2], [8, 4])] {
        let mut group = sketch.draft();
        for (draft, wanted) in group.roles.iter_mut().flatten().zip(wanted) {
            draft.recommended = Replicas::new(wanted);
            draft.results = vec![MetricResult::default()];
        }
        apply(&mut group);
        assert_eq!(numbers(&group), want, "prefill runs 4, so decode keeps 8");
    }
}

#[test]
fn partners_of_what_is_taken_back_or_does_not_fit_follow() {
    // Prefill is stuck at 2 of 4; decode was raised beside it and is not running yet.
    let mut sketch = Sketch::of(&[("prefill", 4, 1), ("decode", 8, 1)]).ratio(0, 1, "1:2", "1:2");
    for ordinal in 2..4 {
        sketch.role(0).replicas[ordinal] =
            unschedulable("prefill", u32::try_from(ordinal).expect("small"), 700);
    }
    for ordinal in 4..8 {
        sketch.role(1).replicas[ordinal] =
            unschedulable("decode", u32::try_from(ordinal).expect("small"), 10);
    }
    let group = run(&sketch, &[4, 8]);
    assert_eq!(numbers(&group), [2, 4]);
    sketch.role(1).replicas[5] = loading("decode", 5);
    let group = run(&sketch, &[4, 8]);
    assert_eq!(numbers(&group), [2, 6], "what runs stays");
    let ratio = &group.conditions[0];
    assert_eq!((&*ratio.type_, &*ratio.status), ("RatioSatisfied", "False"));
}

#[test]
fn a_role_in_backoff_asks_for_no_more_than_it_may_have() {
    // The formula asks for four; two wait for a node, and go since b is at its maximum.
    let sketch = |current: u32| {
        let mut sketch = Sketch::of(&[("a", current, 2), ("b", 3, 1)]).ratio(0, 1, "", "1:1").bounds(1, 1, 3);
        for ordinal in 1..current {
            let place = usize::try_from(ordinal).expect("small");
            sketch.role(0).replicas[place] = unschedulable("a", ordinal, 10);
        }
        sketch.past[0] = rolled_back(1, 0, 2);
        sketch
    };
    for current in [4, 2] {
        let sketch = sketch(current);
        let mut group = sketch.draft();
        propose(&mut group, &[4, 1]);
        ratio::apply(&mut group);
        apply(&mut group);
        assert_eq!(numbers(&group), [2, 2], "from {current}");
    }
}

#[test]
fn replicas_that_were_waited_for_and_go_are_a_rollback() {
    // a asks for three and is raised to four for b's eight, but its third waits for a node. Beside three b gets four, and
    // beside four a keeps two: nothing waits any more, and yet nothing more is asked for at once.
    let mut sketch = Sketch::of(&[("a", 3, 1), ("b", 0, 4)]).ratio(0, 1, "1:2", "2:3").bounds(1, 0, 8);
    sketch.role(0).replicas[2] = unschedulable("a", 2, 10);
    sketch.past[0] = rolled_back(1, 0, 6);
    let decided = |sketch: &Sketch, wanted: &[u32]| {
        let mut group = sketch.draft();
        propose(&mut group, wanted);
        ratio::apply(&mut group);
        assert_eq!(numbers(&group), [4, 8]);
        apply(&mut group);
        (numbers(&group), group.roles[0].as_ref().expect("a").next.rollback)
    };
    let (found, rollback) = decided(&sketch, &[3, 0]);
    assert_eq!(found, [2, 4]);
    let expected = Rollback { attempts: 2, at: at(0), until: at(120), replicas: Replicas::new(3), room: 0 };
    assert_eq!(rollback, Some(expected));

    sketch.role(0).spec_replicas = Replicas::new(2);
    sketch.role(1).spec_replicas = Replicas::new(4);
    sketch.past[0] = RoleHistory { rollback, ..RoleHistory::default() };
    assert_eq!(decided(&sketch, &[3, 4]), (vec![2, 4], rollback), "again");
}

#[test]
fn a_count_that_was_reported_before_it_was_asked_for_is_not_settled() {
    // Nobody listed pods, and the workload still reports one that was to go: half of what did not fit is tried, and no more.
    let mut sketch = Sketch::of(&[("a", 0, 1)]);
    sketch.role(0).status_replicas = Replicas::new(1);
    sketch.past[0] = rolled_back(1, 0, 1);
    assert_eq!(numbers(&run(&sketch, &[2])), [1]);
    sketch.role(0).spec_replicas = Replicas::new(1);
    for (seconds, want) in [(0, 1), (-1, 2)] {
        sketch.past[0].scale_events =
            vec![ScaleEvent { from: Replicas::ZERO, to: Replicas::new(1), time: at(seconds) }];
        assert_eq!(numbers(&run(&sketch, &[2])), [want], "asked for {seconds} s ago");
    }
}

#[test]
fn fit_refuses_what_has_no_room() {
    let mut sketch = Sketch::of(&[("decode", 8, 8)]).cluster(&[8, 8, 4], &[(1, 1)]);
    sketch.policy.capacity.mode = CapacityMode::Fit;
    sketch.policy.capacity.pending_timeout = Duration::from_secs(60);
    let group = run(&sketch, &[40]);
    assert_eq!(numbers(&group), [24]);
    let draft = group.roles[0].as_ref().expect("decode");
    assert_eq!(
        steps(draft).last().expect("a step"),
        "Capacity 40→24 NoFit: 2 of 4 new gangs of 8 do not fit: nvidia.com/gpu is short: 8 pods need 1 each, n1 has 4, \
         n0 has 0: 40 → 24"
    );
    assert_eq!(reason(&group).1, "NoFit");
    assert_eq!(draft.next.refused_since, Some(at(0)));
    assert_eq!(draft.placed.len(), 16, "pods placed");

    sketch.past[0].refused_since = Some(at(-50));
    let since = |group: &GroupDraft<'_>| group.roles[0].as_ref().and_then(|draft| draft.next.refused_since);
    assert_eq!(since(&run(&sketch, &[40])), Some(at(-50)), "refused for longer");
    assert_eq!(since(&run(&sketch, &[24])), None, "no longer refused");
    assert_eq!(
        reason(&run(&sketch, &[24])),
        ("False", "NotLimited", "nothing is kept back for want of room")
    );

    let unknown = Some("the controller may not list nodes".to_owned());
    sketch.seen.capacity = Some(CapacityObservation { unknown, ..CapacityObservation::default() }.into());
    let want = ("Unknown", "Unknown", "the controller may not list nodes: new gangs are taken as fitting");
    assert_eq!(reason(&run(&sketch, &[40])), want);
    assert_eq!(reason(&run(&sketch, &[24])), want, "also while nothing grows");

    sketch.seen.capacity = None;
    let group = run(&sketch, &[40]);
    assert_eq!(numbers(&group), [40]);
    assert_eq!(reason(&group), ("Unknown", "Unknown", "decode: the nodes are not known, taken as fitting"));
    sketch.policy.capacity.mode = CapacityMode::Optimistic;
    assert_eq!(reason(&run(&sketch, &[40])).1, "NotLimited", "nobody asked");
}
