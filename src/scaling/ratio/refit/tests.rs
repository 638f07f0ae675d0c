use std::time::Duration;

use crate::{
    policy::{
        Behavior, CapacityMode, MetricSource, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy, Target,
    },
    scaling::{
        Reading, Recommendation, RoleHistory, Rollback, ScaleEvent, Total, capacity, decide, ratio,
        sketch::{Sketch, at, loading, numbers, propose, steps, unschedulable},
    },
    units::{MilliValue, Replicas},
};

/// Taken back once, and to wait for a minute.
fn rolled_back(replicas: u32) -> RoleHistory {
    let replicas = Replicas::new(replicas);
    let rollback = Rollback { attempts: 1, at: at(-30), until: at(60), replicas, room: 0 };
    RoleHistory { rollback: Some(rollback), ..RoleHistory::default() }
}

#[test]
fn what_was_raised_for_a_partner_that_does_not_come_is_taken_back() {
    struct Case {
        name: &'static str,
        sketch: Sketch,
        floor: u32,
        wanted: [u32; 2],
        want: [u32; 2],
        last: &'static str,
    }

    // Two prefill replicas per three of decode: beside 8 it is raised to 6, beside 6 it needs 4.
    let pair = |prefill: u32, decode: u32| {
        Sketch::of(&[("prefill", prefill, 1), ("decode", decode, 2)]).ratio(0, 1, "2:3", "")
    };
    let stuck = |mut sketch: Sketch, first: u32, count: u32| {
        for ordinal in first..count {
            let place = usize::try_from(ordinal).expect("small");
            sketch.role(1).replicas[place] = unschedulable("decode", ordinal, 700);
        }
        sketch
    };
    let fit = |mut sketch: Sketch, nodes: &[u32]| {
        sketch = sketch.cluster(nodes, &[(1, 1), (1, 1)]);
        sketch.policy.capacity.mode = CapacityMode::Fit;
        sketch
    };
    let backing_off = |mut sketch: Sketch| {
        sketch.past[1] = rolled_back(12);
        sketch
    };
    let case = |name, sketch, wanted, want, last| Case { name, sketch, floor: 0, wanted, want, last };
    for Case { name, sketch, floor, wanted, want, last } in [
        case(
            "a gang that would be completed is rolled back",
            stuck(pair(4, 7), 6, 7),
            [4, 8],
            [4, 6],
            "Ratio 6→4 RatioLowered: decode gets no more than 6: prefill 6 → 4",
        ),
        case(
            "what is left still needs some of it",
            stuck(pair(2, 12), 8, 12),
            [2, 12],
            [6, 8],
            "Ratio 8→6 RatioLowered: decode gets no more than 8: prefill 8 → 6",
        ),
        Case {
            floor: 5,
            ..case(
                "not below its floor",
                stuck(pair(5, 7), 6, 7),
                [4, 8],
                [5, 6],
                "Ratio 6→5 RatioLowered: decode gets no more than 6: prefill 6 → 5",
            )
        },
        case("it asks for that much itself", stuck(pair(6, 7), 6, 7), [6, 8], [6, 6], ""),
        case(
            "a partner that backs off",
            backing_off(pair(4, 6)),
            [4, 12],
            [4, 6],
            "Ratio 8→4 RatioLowered: decode gets no more than 6: prefill 8 → 4",
        ),
        case(
            "a partner that does not fit",
            fit(pair(4, 6), &[2]),
            [4, 8],
            [4, 6],
            "Ratio 6→4 RatioLowered: decode gets no more than 6: prefill 6 → 4",
        ),
        case(
            "both fit",
            fit(pair(4, 6), &[4]),
            [4, 8],
            [6, 8],
            "Ratio 4→6 RatioRaised: ratio prefill:decode at least 2:3: prefill 4 → 6",
        ),
    ] {
        let mut group = sketch.draft();
        propose(&mut group, &wanted);
        group.roles[0].as_mut().expect("prefill").proposal.bar_lowering(Replicas::new(floor));
        ratio::apply(&mut group);
        capacity::apply(&mut group);
        assert_eq!(numbers(&group), want, "{name}");
        let steps = steps(group.roles[0].as_ref().expect("prefill"));
        let found = steps.iter().rfind(|step| step.starts_with("Ratio")).map_or("", String::as_str);
        assert_eq!(found, last, "{name}");
    }
}

#[test]
fn what_a_raised_role_itself_is_kept_from_costs_it_nothing() {
    // Role b, off the grid at 15, is raised to 16 for a, and backs off: it stays where it is.
    let mut sketch = Sketch::of(&[("a", 8, 2), ("b", 15, 4)]).ratio(0, 1, "", "1:2");
    sketch.role(1).replicas[14] = unschedulable("b", 14, 10);
    sketch.past[1] = rolled_back(16);
    let mut group = sketch.draft();
    propose(&mut group, &[8, 4]);
    ratio::apply(&mut group);
    capacity::apply(&mut group);
    assert_eq!(numbers(&group), [8, 15]);
}

#[test]
fn partners_of_what_pass_two_takes_are_not_raised_for_it() {
    // A window keeps three of b, of which two wait for a node and go, since a has one; c is beside what is left.
    let waiting = |kept: u32, wanted: u32| {
        let mut sketch = Sketch::of(&[("a", 1, 1), ("b", 3, 1), ("c", 1, 1)])
            .ratio(1, 0, "", "1:1")
            .ratio(2, 1, "1:1", "");
        sketch = sketch.bounds(0, 1, 1);
        for ordinal in kept..3 {
            let place = usize::try_from(ordinal).expect("small");
            sketch.role(1).replicas[place] = unschedulable("b", ordinal, 10);
        }
        let mut group = sketch.draft();
        propose(&mut group, &[1, 3, 0]);
        group.roles[1].as_mut().expect("b").recommended = Replicas::new(wanted);
        ratio::apply(&mut group);
        capacity::apply(&mut group);
        numbers(&group)
    };
    assert_eq!(waiting(1, 0), [1, 1, 1], "the formula asks for fewer: the next decision keeps one");
    assert_eq!(waiting(1, 3), [1, 1, 3], "the formula asks for three: the next decision does so again");
    assert_eq!(waiting(3, 0), [1, 3, 3], "all run");
}

#[test]
fn partners_are_not_raised_for_what_a_role_may_not_ask_for_again() {
    // a needs three per replica of b and gets seven at most. b keeps three, of which one waits for a node and goes.
    let event = ScaleEvent { from: Replicas::ZERO, to: Replicas::new(3), time: at(-10) };
    let lower = Recommendation { replicas: Replicas::new(2), time: at(-10) };
    let minute = Duration::from_secs(60);
    let up = |up: ScalingRules| Some(Behavior { up, ..Behavior::default() });
    let disabled = ScalingRules { select: SelectPolicy::Disabled, ..Behavior::default().up };
    let window = ScalingRules { stabilization_window: Some(minute), ..Behavior::default().up };
    let one = ScalingPolicy { kind: PolicyKind::Replicas, value: 1, period: minute };
    let one = ScalingRules { policies: vec![one], ..Behavior::default().up };
    for (name, behavior, recommendations, events, want) in [
        ("the HPA's path", None, vec![lower], vec![event], [7, 2]),
        ("nothing keeps it", Some(Behavior::default()), vec![lower], vec![], [7, 2]),
        ("raising is disabled", up(disabled), vec![], vec![], [6, 2]),
        ("an up window", up(window.clone()), vec![lower], vec![], [6, 2]),
        ("an up window that held no less", up(window), vec![], vec![], [7, 2]),
        ("the rate is used up", up(one.clone()), vec![], vec![event], [6, 2]),
        ("the rate has room", up(one), vec![], vec![], [7, 2]),
    ] {
        let mut sketch = Sketch::of(&[("a", 1, 1), ("b", 3, 1)]).ratio(0, 1, "3:1", "").bounds(0, 1, 7);
        sketch.role(1).replicas[2] = unschedulable("b", 2, 10);
        sketch.policy.roles[1].behavior = behavior;
        sketch.past[1].recommendations = Some(recommendations);
        sketch.past[1].scale_events = events;
        let mut group = sketch.draft();
        propose(&mut group, &[1, 3]);
        ratio::apply(&mut group);
        capacity::apply(&mut group);
        assert_eq!(numbers(&group), want, "{name}");
    }
}

#[test]
fn partners_are_not_raised_for_what_the_tolerance_kept() {
    // b's load is right for three, or for two: within the tolerance any count is kept.
    for (name, load, want) in [
        ("on target", 10, [6, 2]),
        ("within the tolerance", 11, [6, 2]),
        ("above: 1.3 times two are three", 13, [7, 2]),
    ] {
        let mut sketch =
            Sketch::of(&[("a", 1, 1), ("b", 3, 1)]).ratio(0, 1, "3:1", "").bounds(0, 1, 7).metric(1);
        sketch.role(1).replicas[2] = unschedulable("b", 2, 10);
        sketch.policy.roles[1].behavior = Some(Behavior::default());
        sketch.past[1].recommendations = Some(Vec::new());
        let total = Total { values: vec![MilliValue::from_whole(load)], ..Total::default() };
        sketch.policy.roles[1].metrics[0].source = MetricSource::External { selector: String::new() };
        sketch.policy.roles[1].metrics[0].target = Target::Value(MilliValue::from_whole(10));
        sketch.role(1).readings = vec![Reading::Total(total)];
        let decision = decide(&sketch.policy, &sketch.seen, &sketch.past, sketch.now);
        let found: Vec<_> = decision.roles.iter().flatten().map(|role| role.desired_replicas.get()).collect();
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn what_a_cut_takes_from_partners_is_cut_from_theirs_too() {
    // b is raised to 2 beside a's 4 and finds no room; so a's waiting one goes, and c is raised for 3 only.
    let mut sketch = Sketch::of(&[("a", 4, 1), ("b", 1, 1), ("c", 3, 1)])
        .ratio(0, 1, "1:2", "2:1")
        .ratio(2, 0, "1:3", "1:1")
        .bounds(0, 1, 4)
        .cluster(&[], &[(1, 1), (1, 1), (1, 1)]);
    sketch.policy.capacity.mode = CapacityMode::Fit;
    sketch.role(0).replicas[3] = unschedulable("a", 3, 10);
    let mut group = sketch.draft();
    propose(&mut group, &[4, 1, 1]);
    ratio::apply(&mut group);
    assert_eq!(numbers(&group), [4, 2, 2]);
    capacity::apply(&mut group);
    assert_eq!(numbers(&group), [3, 1, 1]);
    let steps = steps(group.roles[2].as_ref().expect("c"));
    assert_eq!(steps.last().expect("a step"), "Ratio 2→1 RatioLowered: a gets no more than 3: c 2 → 1");
}

#[test]
fn running_replicas_that_a_role_gives_up_protect_nothing_once_it_is_raised() {
    // a, off the grid at 3, asks for 2 and is raised to 4 beside b's 12. Six of b are taken back, and six need two of a.
    let mut sketch = Sketch::of(&[("a", 3, 2), ("b", 12, 3)])
        .ratio(1, 0, "3:1", "")
        .ratio(1, 0, "", "1:1")
        .bounds(0, 2, 6)
        .bounds(1, 0, 15);
    for ordinal in 3..12 {
        sketch.role(1).replicas[usize::try_from(ordinal).expect("small")] = loading("b", ordinal);
    }
    sketch.role(1).replicas[6] = unschedulable("b", 6, 700);
    let mut group = sketch.draft();
    propose(&mut group, &[2, 12]);
    ratio::apply(&mut group);
    assert_eq!(numbers(&group), [4, 12]);
    capacity::apply(&mut group);
    assert_eq!(numbers(&group), [2, 6]);
}

#[test]
fn what_a_cut_takes_from_a_raised_partner_is_cut_from_its_partners_too() {
    // b is raised to 6 for c, which may not be lowered, and a to 6 for b. Of a only 4 are tried; that leaves 3 of b, which
    // need no more than 3 of a.
    let mut sketch = Sketch::of(&[("a", 3, 1), ("b", 6, 3), ("c", 6, 2)])
        .ratio(0, 1, "1:1", "3:1")
        .ratio(1, 2, "1:1", "3:1")
        .bounds(1, 3, 6);
    sketch.past[0] = rolled_back(4);
    sketch.past[0].rollback.as_mut().expect("set").until = at(0);
    let mut group = sketch.draft();
    group.roles[2].as_mut().expect("c").proposal.bar_lowering(Replicas::new(6));
    propose(&mut group, &[1, 3, 6]);
    ratio::apply(&mut group);
    assert_eq!(numbers(&group), [6, 6, 6]);
    capacity::apply(&mut group);
    assert_eq!(numbers(&group), [3, 3, 6]);
}
