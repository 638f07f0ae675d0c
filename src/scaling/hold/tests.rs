use std::time::Duration;

use super::*;
use crate::{
    policy::ScaleToZero,
    scaling::{
        RoleHistory,
        sketch::{Sketch, at, numbers, steps},
    },
};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn frozen_directions_stay() {
    struct Case {
        name: &'static str,
        number: u32,
        prepare: fn(&mut Sketch),
        want: u32,
        step: Option<&'static str>,
        paused: Option<&'static str>,
        due: Option<i64>,
    }
    const FREE: Case =
        Case { name: "", number: 12, prepare: |_| {}, want: 12, step: None, paused: None, due: None };
    let cases = [
        Case { name: "nothing is held", ..FREE },
        Case {
            name: "raising is held",
            prepare: |sketch| sketch.policy.hold_up = true,
            want: 8,
            step: Some("Hold 12→8 HeldUp: raising is on hold: 12 → 8"),
            paused: Some("HeldUp"),
            ..FREE
        },
        Case {
            name: "only lowering is held",
            prepare: |sketch| sketch.policy.hold_down = true,
            paused: Some("HeldDown"),
            ..FREE
        },
        Case {
            name: "lowering is held",
            number: 4,
            prepare: |sketch| sketch.policy.hold_down = true,
            want: 8,
            step: Some("Hold 4→8 HeldDown: lowering is on hold: 4 → 8"),
            paused: Some("HeldDown"),
            ..FREE
        },
        Case {
            name: "both are held",
            number: 4,
            prepare: |sketch| (sketch.policy.hold_up, sketch.policy.hold_down) = (true, true),
            want: 8,
            step: Some("Hold 4→8 HeldDown: lowering is on hold: 4 → 8"),
            paused: Some("Held"),
            ..FREE
        },
        Case {
            name: "disabled",
            prepare: |sketch| sketch.policy.mode = Mode::Disabled,
            want: 8,
            step: Some("Hold 12→8 HeldUp: raising is off (mode Disabled): 12 → 8"),
            paused: Some("Disabled"),
            ..FREE
        },
        Case {
            name: "recommending freezes nothing",
            prepare: |sketch| sketch.policy.mode = Mode::Recommend,
            paused: Some("Recommend"),
            ..FREE
        },
        Case {
            name: "a rollout does not bar raising",
            prepare: |sketch| sketch.role(0).rolling_out = true,
            ..FREE
        },
        Case {
            name: "a rollout bars lowering",
            number: 4,
            prepare: |sketch| {
                sketch.role(0).rolling_out = true;
                sketch.past[0].rollout_since = Some(at(-600));
            },
            want: 8,
            step: Some(
                "Hold 4→8 RolloutInProgress: rolling out since 2026-11-21T09:50:00Z, not lowered before \
                 2026-11-21T10:50:00Z: 4 → 8",
            ),
            due: Some(3000),
            ..FREE
        },
        Case {
            name: "not for more than an hour",
            number: 4,
            prepare: |sketch| {
                sketch.role(0).rolling_out = true;
                sketch.past[0].rollout_since = Some(at(-3600));
            },
            want: 4,
            ..FREE
        },
    ];
    for Case { name, number, prepare, want, step, paused, due } in cases {
        let mut sketch = Sketch::of(&[("decode", 8, 4)]);
        prepare(&mut sketch);
        let mut group = sketch.draft();
        let draft = group.roles[0].as_mut().expect("a role");
        draft.proposal.move_to(Stage::Metrics, Replicas::new(number), "MetricsProposal", String::new);
        apply(&mut group);
        let draft = group.roles[0].as_ref().expect("a role");
        assert_eq!(draft.proposal.replicas.get(), want, "{name}");
        let found = steps(draft).into_iter().find(|step| step.starts_with("Hold"));
        assert_eq!(found.as_deref(), step, "{name}");
        assert_eq!(group.conditions.first().map(|condition| &*condition.reason), paused, "{name}");
        assert_eq!(draft.due.time(), due.map(at), "{name}: due");
    }
}

#[test]
fn the_start_of_a_rollout_is_remembered_until_it_ends() {
    for (name, rolling_out, past, want) in [
        ("starts", true, None, Some(0)),
        ("goes on", true, Some(-5), Some(-5)),
        ("ends", false, Some(-5), None),
        ("is long over its hour", true, Some(-9000), Some(-9000)),
    ] {
        let mut sketch = Sketch::of(&[("decode", 8, 4)]);
        sketch.role(0).rolling_out = rolling_out;
        sketch.past = vec![RoleHistory { rollout_since: past.map(at), ..RoleHistory::default() }];
        let mut group = sketch.draft();
        apply(&mut group);
        assert_eq!(group.roles[0].as_ref().expect("a role").next.rollout_since, want.map(at), "{name}");
    }
}

#[test]
fn a_partner_of_a_role_that_is_kept_awake_does_not_sleep() {
    let mut sketch =
        Sketch::of(&[("prefill", 4, 1), ("decode", 8, 4), ("embed", 2, 1)]).ratio(0, 1, "1:4", "1:1");
    for role in &mut sketch.policy.roles {
        role.scale_to_zero = Some(ScaleToZero::new(Duration::from_secs(900), Vec::new()));
    }
    sketch.role(0).rolling_out = true;
    let mut group = sketch.draft();
    for draft in group.roles.iter_mut().flatten() {
        draft.proposal.move_to(Stage::Zero, Replicas::ZERO, IDLE, String::new);
    }
    apply(&mut group);
    assert_eq!(numbers(&group), [4, 8, 0], "embed has no partner");
    let last = steps(group.roles[1].as_ref().expect("decode")).pop();
    assert_eq!(
        last.as_deref(),
        Some("Hold 0→8 HeldDown: sleeps only together with prefill, which is held: 0 → 8")
    );
}
