use std::time::Duration;

use crate::{
    policy::{Behavior, MetricSource, Mode, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy, Target},
    scaling::{
        Decision, Reading, Recommendation, RoleHistory, ScaleEvent, Total,
        sketch::{Sketch, at, unschedulable},
    },
    units::{MilliValue, Replicas},
};

/// Roles by name, count and load in replicas; a zero load asks for none. Without windows.
fn group(roles: &[(&str, u32, i64)]) -> Sketch {
    let drawn: Vec<_> = roles.iter().map(|(name, count, _)| (*name, *count, 1)).collect();
    let mut sketch = Sketch::of(&drawn);
    for (role, (_, _, load)) in roles.iter().enumerate() {
        sketch = sketch.metric(role);
        sketch.policy.roles[role].metrics[0].source = MetricSource::RoleTotal { role: "router".to_owned() };
        sketch.role(role).readings = vec![total(load * 10)];
        sketch.policy.roles[role].behavior = Some(Behavior::default());
        sketch.past[role].recommendations = Some(Vec::new());
    }
    sketch
}

fn total(load: i64) -> Reading {
    Reading::Total(Total { values: vec![MilliValue::from_whole(load)], ..Total::default() })
}

/// Lets the replicas of a role from the first given one on wait for a node.
fn waits(mut sketch: Sketch, role: usize, first: usize) -> Sketch {
    let name = sketch.policy.roles[role].name.clone();
    for (ordinal, replica) in sketch.role(role).replicas.iter_mut().enumerate().skip(first) {
        *replica = unschedulable(&name, u32::try_from(ordinal).expect("small"), 10);
    }
    sketch
}

fn counts(decision: &Decision) -> Vec<u32> {
    decision.roles.iter().flatten().map(|role| role.desired_replicas.get()).collect()
}

/// What deciding again on the written counts comes to.
fn again(sketch: &Sketch, decision: &Decision) -> Vec<u32> {
    counts(&sketch.written(decision).decide())
}

/// a needs three per replica of b and gets seven at most. b has three, of which one waits for a node and goes; whether it
/// asks for it again is up to it.
fn three_per_one() -> Sketch {
    waits(group(&[("a", 1, 1), ("b", 3, 3)]).ratio(0, 1, "3:1", "").bounds(0, 1, 7), 1, 2)
}

#[test]
fn partners_are_not_raised_for_what_a_role_may_not_ask_for_again() {
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
        let mut sketch = three_per_one();
        let plain = behavior.is_none();
        sketch.policy.roles[1].behavior = behavior;
        sketch.past[1].recommendations = Some(recommendations);
        sketch.past[1].scale_events = events;
        let decision = sketch.decide();
        assert_eq!(counts(&decision), want, "{name}");
        if !plain {
            assert_eq!(again(&sketch, &decision), want, "{name}: deciding again");
        }
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
        let mut sketch = three_per_one();
        sketch.policy.roles[1].metrics[0].source = MetricSource::External { selector: String::new() };
        sketch.policy.roles[1].metrics[0].target = Target::Value(MilliValue::from_whole(10));
        sketch.role(1).readings = vec![total(load)];
        let decision = sketch.decide();
        assert_eq!(counts(&decision), want, "{name}");
        assert_eq!(again(&sketch, &decision), want, "{name}: deciding again");
    }
}

#[test]
fn partners_of_what_pass_two_takes_are_not_raised_for_it() {
    // A window keeps three of b, of which some wait for a node and go, since a has one; c is beside what is left.
    let sketch = |kept: usize, wanted: i64| {
        let mut sketch = group(&[("a", 1, 1), ("b", 3, wanted), ("c", 1, 0)])
            .ratio(1, 0, "", "1:1")
            .ratio(2, 1, "1:1", "")
            .bounds(0, 1, 1);
        sketch.past[1].recommendations =
            Some(vec![Recommendation { replicas: Replicas::new(3), time: at(-10) }]);
        waits(sketch, 1, kept)
    };
    for (name, sketch, want) in [
        ("the formula asks for none: the next decision keeps one", sketch(1, 0), [1, 1, 1]),
        ("the formula asks for three: the next decision does so again", sketch(1, 3), [1, 1, 3]),
        ("all run", sketch(3, 0), [1, 3, 3]),
    ] {
        let decision = sketch.decide();
        assert_eq!(counts(&decision), want, "{name}");
        assert_eq!(again(&sketch, &decision), want, "{name}: deciding again");
    }
}

#[test]
fn it_is_one_write_that_says_why() {
    let mut sketch = three_per_one();
    sketch.policy.roles[1].behavior.as_mut().expect("set").up.select = SelectPolicy::Disabled;
    let decision = sketch.decide();
    let a = decision.roles[0].as_ref().expect("a");
    let steps: Vec<_> = a.steps.iter().map(|step| format!("{} {}", step.reason, step.message)).collect();
    assert_eq!(
        steps,
        [
            "RatioRaised ratio a:b at least 3:1: a 1 → 7",
            "RatioLowered a 7 → 6, as the next decision would: ratio a:b at least 3:1: a 1 → 6",
        ]
    );
    let event = ScaleEvent { from: Replicas::new(1), to: Replicas::new(6), time: at(0) };
    assert_eq!(a.history.scale_events, [event]);
    let satisfied: Vec<_> =
        decision.conditions.iter().filter(|condition| condition.type_ == "RatioSatisfied").collect();
    assert_eq!(satisfied.len(), 1);
    assert_eq!(satisfied[0].status, "True", "{satisfied:?}");

    sketch.policy.mode = Mode::Recommend;
    let shown = sketch.decide();
    assert_eq!(
        (counts(&shown), shown.writes),
        (vec![6, 2], vec![]),
        "what is recommended is what would be written"
    );
}

#[test]
fn what_is_corrected_first_is_looked_at_afterwards() {
    // Nine of b go to its maximum; that its load asks for two only is for the next decision.
    let mut sketch = group(&[("a", 1, 1), ("b", 9, 2)]).ratio(0, 1, "1:4", "").bounds(1, 1, 4);
    sketch.past = vec![RoleHistory { recommendations: Some(Vec::new()), ..RoleHistory::default() }; 2];
    let decision = sketch.decide();
    assert_eq!(counts(&decision), [1, 4]);
    assert_eq!(again(&sketch, &decision), [1, 2]);
}
