use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::scaling::{
    RoleHistory, ScaleEvent,
    sketch::{Sketch, at, steps},
};

const MINUTE: Duration = Duration::from_secs(60);

fn held(unlimited: u32, replicas: u32) -> RateLimit {
    RateLimit::Held {
        unlimited: Replicas::new(unlimited),
        allowance: Allowance::PerPeriod { replicas, period: MINUTE },
    }
}

fn within(limit: u32, replicas: u32) -> RateLimit {
    RateLimit::Within {
        limit: Replicas::new(limit),
        allowance: Allowance::PerPeriod { replicas, period: MINUTE },
    }
}

fn event(from: u32, to: u32, seconds: i64) -> ScaleEvent {
    ScaleEvent { from: Replicas::new(from), to: Replicas::new(to), time: at(seconds) }
}

/// Runs the stage from `current` with the number `number` that `rate` let through.
fn run(
    gang: u32,
    current: u32,
    number: u32,
    rate: RateLimit,
    events: &[ScaleEvent],
) -> (u32, Option<Timestamp>) {
    let mut sketch = Sketch::of(&[("decode", current, gang)]);
    sketch.past = vec![RoleHistory { scale_events: events.to_vec(), ..RoleHistory::default() }];
    let mut group = sketch.draft();
    let draft = group.roles[0].as_mut().expect("a role");
    draft.proposal.move_to(Stage::Metrics, Replicas::new(number), "MetricsProposal", String::new);
    draft.rate = rate;
    apply(draft);
    (draft.proposal.replicas.get(), draft.due.time())
}

#[test]
fn counts_move_in_whole_gangs() {
    struct Case {
        name: &'static str,
        gang: u32,
        current: u32,
        number: u32,
        rate: RateLimit,
        events: Vec<ScaleEvent>,
        want: u32,
        due: Option<i64>,
    }
    let case = |name, current, number, rate, want| Case {
        name,
        gang: 4,
        current,
        number,
        rate,
        events: Vec::new(),
        want,
        due: None,
    };
    let builtin = RateLimit::Held { unlimited: Replicas::new(30), allowance: Allowance::BuiltIn };
    let disabled =
        |unlimited| RateLimit::Held { unlimited: Replicas::new(unlimited), allowance: Allowance::Disabled };
    let cases = [
        case("up, rounded up", 20, 23, RateLimit::None, 24),
        case("down, rounded up", 24, 17, RateLimit::None, 20),
        case("nothing to do", 20, 20, RateLimit::None, 20),
        case("off the grid is completed", 5, 5, RateLimit::None, 8),
        case("off the grid and one less is still completed", 6, 5, RateLimit::None, 8),
        case("off the grid and one gang less", 6, 4, RateLimit::None, 4),
        case("down to nothing", 8, 0, RateLimit::None, 0),
        case("held back on the way up: floored", 8, 15, held(30, 7), 12),
        case("held back on the way down: ceiled", 20, 13, held(4, 7), 16),
        case("a rate below a gang moves one gang", 8, 10, held(30, 2), 12),
        case("a rate below a gang moves one gang down", 20, 18, held(4, 2), 16),
        case("one replica more is a gang more", 8, 10, held(11, 2), 12),
        case("one gang is as far", 8, 10, held(12, 2), 12),
        case("less than a gang too many is none too many", 20, 18, held(17, 2), 20),
        case("a gang too many", 20, 18, held(16, 2), 16),
        case("within the limit, but not as whole gangs", 4, 6, within(6, 2), 8),
        case("the same, one more", 4, 6, held(7, 2), 8),
        Case { gang: 3, ..case("within the limit of one, gang of 3", 3, 4, within(4, 1), 6) },
        Case { gang: 3, ..case("the same, one more, gang of 3", 3, 4, held(5, 1), 6) },
        Case {
            events: vec![event(0, 4, -60)],
            due: Some(60),
            ..case("within the limit, but not as whole gangs: wait", 4, 6, within(6, 2), 4)
        },
        case("a percentage of nothing never", 0, 0, held(30, 0), 0),
        case("disabled never", 8, 8, disabled(30), 8),
        case("disabled downwards never", 8, 8, disabled(0), 8),
        case("built in always", 8, 11, builtin, 12),
        Case { gang: 8, ..case("built in, from zero", 0, 4, builtin, 8) },
        Case { gang: 1, ..case("a gang of one changes nothing", 8, 9, held(30, 1), 9) },
        Case { gang: 1, ..case("a gang of one changes nothing, stuck", 8, 8, held(30, 1), 8) },
        Case {
            events: vec![event(4, 8, -60)],
            due: Some(60),
            ..case("one gang per two periods: wait", 8, 8, held(30, 2), 8)
        },
        Case {
            events: vec![event(4, 8, -120)],
            ..case("one gang per two periods: its turn", 8, 10, held(30, 2), 12)
        },
        Case {
            events: vec![event(12, 8, -1)],
            ..case("events of the other direction do not count", 8, 10, held(30, 2), 12)
        },
        Case {
            events: vec![event(8, 8, -1)],
            ..case("an event that moved nothing is none", 20, 18, held(4, 2), 16)
        },
        Case {
            events: vec![event(4, 8, -60), event(0, 4, -170)],
            due: Some(60),
            ..case("the latest counts: 3 per minute, two periods", 8, 9, held(30, 3), 8)
        },
        case("off the grid, held back below the next multiple", 5, 7, held(30, 2), 8),
        case("off the grid, held back on the way down", 6, 5, held(0, 1), 4),
        case("off the grid, less than a gang too many", 6, 5, held(5, 1), 8),
        case("off the grid, wanted less than the next multiple", 5, 6, held(7, 1), 8),
    ];
    for Case { name, gang, current, number, rate, events, want, due } in cases {
        assert_eq!(run(gang, current, number, rate, &events), (want, due.map(at)), "{name}");
    }
}

#[test]
fn the_step_says_what_was_rounded_and_why() {
    let mut sketch = Sketch::of(&[("decode", 20, 4)]);
    sketch.past[0].scale_events = vec![event(16, 20, -30)];
    for (number, rate, want) in [
        (23, RateLimit::None, "Gang 23→24 WholeGangs: gang of 4: 23 → 24"),
        (
            22,
            held(40, 2),
            "Gang 22→20 WholeGangs: gang of 4: 22 → 20, the next gang at 2026-11-21T10:01:30Z: the policy allows 2 per 1m, \
             a gang per 2m",
        ),
        (
            17,
            held(4, 3),
            "Gang 17→16 WholeGangs: gang of 4: 17 → 16, one gang: the policy allows 3 per 1m, a gang per 2m, and none moved \
             within that",
        ),
    ] {
        let mut group = sketch.draft();
        let draft = group.roles[0].as_mut().expect("a role");
        draft.proposal.move_to(Stage::Metrics, Replicas::new(number), "MetricsProposal", String::new);
        draft.rate = rate;
        apply(draft);
        assert_eq!(steps(draft).last().map(String::as_str), Some(want));
    }
}

proptest! {
    #[test]
    fn the_result_is_whole_gangs_and_never_further_than_asked(
        gang in 2..9_u32, current in 0..60_u32, unlimited in 0..60_u32, allowed in 0..9_u32, age in 0..600_i64,
        limited in any::<bool>(),
    ) {
        let number = match unlimited {
            _ if !limited => unlimited,
            up if up > current => up.min(current + allowed),
            down => down.max(current.saturating_sub(allowed)),
        };
        let rate = if number == unlimited { RateLimit::None } else { held(unlimited, allowed) };
        let (result, _) = run(gang, current, number, rate, &[event(4, 8, -age), event(8, 4, -age)]);
        prop_assert_eq!(result % gang, 0, "whole gangs");
        let ceil = |count: u32| count.div_ceil(gang) * gang;
        let (low, high) = (ceil(unlimited.min(current)), ceil(unlimited.max(current)));
        prop_assert!((low..=high).contains(&result), "{} is between {} and {}", result, low, high);
        if rate != RateLimit::None {
            prop_assert!(
                result.abs_diff(current) <= gang.max(allowed), "{} to {}: no more than the policy or one gang", current, result
            );
        }
    }
}
