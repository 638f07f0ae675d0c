use std::time::Duration;

use super::*;
use crate::{
    policy::{Fallback, WakeSignal},
    scaling::{
        draft::MetricResult,
        observation::{Reading, Total},
        sketch::{Sketch, at, loading, numbers, steps},
    },
    units::MilliValue,
};

/// Roles that sleep after 15 minutes and wake on the router's queue; counts are in gangs of `gang`.
fn sleepers(roles: &[(&str, u32, u32)]) -> Sketch {
    let mut sketch = Sketch::of(roles);
    for (role, (_, _, gang)) in roles.iter().enumerate() {
        let wake = WakeSignal {
            name: "queue_length".to_owned(),
            role: Some("router".to_owned()),
            target: MilliValue::ZERO,
        };
        sketch.policy.roles[role].scale_to_zero =
            Some(ScaleToZero::new(Duration::from_secs(900), vec![wake]));
        sketch = sketch.bounds(role, *gang, 100);
        sketch.role(role).wake = vec![total(0)];
    }
    sketch
}

fn total(value: i64) -> Reading {
    let (expected, reported) = (Some(1), Some(1));
    Reading::Total(Total {
        values: vec![MilliValue::from_whole(value)],
        expected,
        reported,
        ..Total::default()
    })
}

fn failed() -> Reading {
    Reading::Failed("refused".to_owned())
}

/// Runs the stage; `idle` says of each role whether its metrics answered zero.
fn run<'s>(sketch: &'s Sketch, idle: &[bool]) -> GroupDraft<'s> {
    let mut group = sketch.draft();
    for (role, idle) in group.roles.iter_mut().flatten().zip(idle) {
        if role.current() == Replicas::ZERO {
            role.state = RoleState::Asleep;
        }
        role.results = role.policy.metrics.iter().map(|_| MetricResult::default()).collect();
        if !idle {
            role.results.push(MetricResult::default());
        }
    }
    apply(&mut group);
    group
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn roles_sleep_when_idle_and_wake_on_their_signals() {
    struct Case {
        name: &'static str,
        current: u32,
        idle: bool,
        prepare: fn(&mut Sketch),
        want: u32,
        step: Option<&'static str>,
        idle_since: Option<i64>,
        due: Option<i64>,
    }
    const ASLEEP: Case = Case {
        name: "",
        current: 0,
        idle: false,
        prepare: |_| {},
        want: 0,
        step: None,
        idle_since: None,
        due: None,
    };
    const AWAKE: Case = Case { current: 8, idle: true, want: 8, ..ASLEEP };
    let cases = [
        Case { name: "idle for the first time", idle_since: Some(0), due: Some(900), ..AWAKE },
        Case {
            name: "idle, not for long enough",
            prepare: |sketch| sketch.past[0].idle_since = Some(at(-899)),
            idle_since: Some(-899),
            due: Some(1),
            ..AWAKE
        },
        Case {
            name: "idle for long enough",
            prepare: |sketch| sketch.past[0].idle_since = Some(at(-900)),
            want: 0,
            step: Some("Zero 8→0 Idle: idle for 900 s, after 15m it sleeps: 8 → 0"),
            idle_since: Some(-900),
            ..AWAKE
        },
        Case {
            name: "a metric above zero ends the idle time",
            idle: false,
            prepare: |sketch| sketch.past[0].idle_since = Some(at(-900)),
            ..AWAKE
        },
        Case {
            name: "so does a wake signal",
            prepare: |sketch| {
                sketch.past[0].idle_since = Some(at(-900));
                sketch.role(0).wake = vec![total(1)];
            },
            ..AWAKE
        },
        Case {
            name: "so does one that is silent",
            prepare: |sketch| {
                sketch.past[0].idle_since = Some(at(-900));
                sketch.role(0).wake = vec![failed()];
            },
            ..AWAKE
        },
        Case {
            name: "so does a replica that loads",
            prepare: |sketch| {
                sketch.past[0].idle_since = Some(at(-900));
                sketch.role(0).replicas[3] = loading("decode", 3);
            },
            ..AWAKE
        },
        Case { name: "asleep, nothing waits", ..ASLEEP },
        Case {
            name: "something waits",
            prepare: |sketch| sketch.role(0).wake = vec![total(3)],
            want: 4,
            step: Some("Zero 0→4 Woken: queue_length of router is 3, above 0: 0 → 4"),
            ..ASLEEP
        },
        Case {
            name: "wakes to what the policy says",
            prepare: |sketch| {
                sketch.role(0).wake = vec![total(3)];
                sketch.policy.roles[0].scale_to_zero.as_mut().expect("set").wake_to = Some(Replicas::new(8));
            },
            want: 8,
            step: Some("Zero 0→8 Woken: queue_length of router is 3, above 0: 0 → 8"),
            ..ASLEEP
        },
        Case {
            name: "within the bounds of the time",
            prepare: |sketch| {
                sketch.role(0).wake = vec![total(3)];
                sketch.policy.roles[0].scale_to_zero.as_mut().expect("set").wake_to = Some(Replicas::new(8));
                sketch.policy.roles[0].bounds.min = Replicas::new(12);
            },
            want: 12,
            step: Some("Zero 0→12 Woken: queue_length of router is 3, above 0: 0 → 12"),
            ..ASLEEP
        },
        Case {
            name: "silent, not for long enough",
            prepare: |sketch| {
                sketch.role(0).wake = vec![failed()];
                sketch.past[0].answered_at = Some(at(-179));
            },
            due: Some(1),
            ..ASLEEP
        },
        Case {
            name: "silent for long enough",
            prepare: |sketch| {
                sketch.role(0).wake = vec![failed()];
                sketch.past[0].answered_at = Some(at(-180));
            },
            want: 4,
            step: Some("Zero 0→4 WakeSignalLost: queue_length of router is silent (refused): 0 → 4"),
            ..ASLEEP
        },
        Case {
            name: "the policy says how long silence may last",
            prepare: |sketch| {
                sketch.role(0).wake = vec![failed()];
                sketch.past[0].answered_at = Some(at(-180));
                let after = Duration::from_secs(300);
                sketch.policy.roles[0].fallback = Some(Fallback { after, replicas: Replicas::new(4) });
            },
            due: Some(120),
            ..ASLEEP
        },
        Case {
            name: "silence counts from the first look",
            prepare: |sketch| sketch.role(0).wake = vec![failed()],
            due: Some(180),
            ..ASLEEP
        },
    ];
    for Case { name, current, idle, prepare, want, step, idle_since, due } in cases {
        let mut sketch = sleepers(&[("decode", current, 4)]);
        prepare(&mut sketch);
        let group = run(&sketch, &[idle]);
        let draft = group.roles[0].as_ref().expect("a role");
        assert_eq!(draft.proposal.replicas.get(), want, "{name}");
        assert_eq!(steps(draft).last().map(String::as_str), step, "{name}");
        assert_eq!(draft.next.idle_since, idle_since.map(at), "{name}: idle since");
        assert_eq!(draft.due.time(), due.map(at), "{name}: due");
    }
}

#[test]
fn silence_is_remembered() {
    let mut sketch = sleepers(&[("decode", 0, 4)]);
    sketch.past[0].answered_at = Some(at(-100));
    let group = run(&sketch, &[false]);
    assert_eq!(group.roles[0].as_ref().expect("a role").next.answered_at, Some(at(0)), "answered");
    sketch.role(0).wake = vec![failed()];
    let group = run(&sketch, &[false]);
    assert_eq!(group.roles[0].as_ref().expect("a role").next.answered_at, Some(at(-100)), "silent");
}

#[test]
fn roles_of_a_ratio_sleep_and_wake_together() {
    struct Case {
        name: &'static str,
        currents: [u32; 3],
        idle: [bool; 3],
        waking: Option<usize>,
        want: [u32; 3],
    }
    const ALL: [bool; 3] = [true; 3];
    // prefill and decode are tied together, embed is alone.
    for Case { name, currents, idle, waking, want } in [
        Case { name: "all idle", currents: [2, 8, 3], idle: ALL, waking: None, want: [0, 0, 0] },
        Case {
            name: "prefill works",
            currents: [2, 8, 3],
            idle: [false, true, true],
            waking: None,
            want: [2, 8, 0],
        },
        Case {
            name: "the lone one works",
            currents: [2, 8, 3],
            idle: [true, true, false],
            waking: None,
            want: [0, 0, 3],
        },
        Case { name: "all asleep", currents: [0, 0, 0], idle: ALL, waking: None, want: [0, 0, 0] },
        Case { name: "decode wakes", currents: [0, 0, 0], idle: ALL, waking: Some(1), want: [1, 4, 0] },
        Case { name: "half asleep and idle", currents: [0, 8, 0], idle: ALL, waking: None, want: [0, 0, 0] },
        Case {
            name: "half asleep, half at work",
            currents: [0, 8, 0],
            idle: [true, false, true],
            waking: None,
            want: [1, 8, 0],
        },
        Case {
            name: "half asleep, waking",
            currents: [0, 8, 0],
            idle: ALL,
            waking: Some(0),
            want: [1, 8, 0],
        },
    ] {
        let [prefill, decode, embed] = currents;
        let mut sketch = sleepers(&[("prefill", prefill, 1), ("decode", decode, 4), ("embed", embed, 1)])
            .ratio(0, 1, "1:4", "1:1");
        for past in &mut sketch.past {
            past.idle_since = Some(at(-900));
        }
        if let Some(role) = waking {
            sketch.role(role).wake = vec![total(1)];
        }
        let group = run(&sketch, &idle);
        assert_eq!(numbers(&group), want, "{name}");
    }
    let mut sketch = sleepers(&[("prefill", 0, 1), ("decode", 0, 4)]).ratio(0, 1, "1:4", "1:1");
    sketch.role(1).wake = vec![total(1)];
    let group = run(&sketch, &[false, false]);
    let first = steps(group.roles[0].as_ref().expect("prefill"));
    assert_eq!(first, ["Zero 0→1 Woken: wakes with decode: 0 → 1"]);
}

/// How one of two roles stands, for every combination of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pose {
    Busy,
    Resting,
    Drowsy,
    Asleep,
    Called,
    Deaf,
    DeafForLong,
}

#[test]
fn every_pair_of_roles_sleeps_and_wakes_as_it_stands() {
    use Pose::{Asleep, Busy, Called, Deaf, DeafForLong, Drowsy, Resting};
    const POSES: [Pose; 7] = [Busy, Resting, Drowsy, Asleep, Called, Deaf, DeafForLong];
    let awake = |pose: Pose| matches!(pose, Busy | Resting | Drowsy);
    let pairs = POSES.iter().flat_map(|first| POSES.map(|second| (*first, second)));
    for (first, second, tied) in
        pairs.flat_map(|(first, second)| [false, true].map(|tied| (first, second, tied)))
    {
        let poses = [first, second];
        let count = |pose: Pose| if awake(pose) { 4 } else { 0 };
        let mut sketch = sleepers(&[("prefill", count(first), 2), ("decode", count(second), 4)]);
        for (role, pose) in poses.into_iter().enumerate() {
            match pose {
                Busy | Asleep => {}
                Resting => sketch.past[role].idle_since = Some(at(-899)),
                Drowsy => sketch.past[role].idle_since = Some(at(-900)),
                Called => sketch.role(role).wake = vec![total(1)],
                Deaf | DeafForLong => {
                    sketch.role(role).wake = vec![failed()];
                    sketch.past[role].answered_at = Some(at(if pose == Deaf { -179 } else { -180 }));
                }
            }
        }
        if tied {
            sketch = sketch.ratio(0, 1, "1:9", "9:1");
        }
        let group = run(&sketch, &poses.map(|pose| pose != Busy));
        let wakes = |pose: Pose| matches!(pose, Called | DeafForLong);
        let want = |own: Pose, other: Pose, gang: u32| {
            let pulled =
                tied && (wakes(other) || matches!(other, Busy | Resting) || other == Drowsy && wakes(own));
            match own {
                Busy | Resting => 4,
                Drowsy if pulled => 4,
                Drowsy => 0,
                _ if wakes(own) || pulled => gang,
                _ => 0,
            }
        };
        assert_eq!(
            numbers(&group),
            [want(first, second, 2), want(second, first, 4)],
            "{first:?} and {second:?}, tied: {tied}"
        );
    }
}
