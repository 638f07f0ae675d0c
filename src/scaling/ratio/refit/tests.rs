use crate::{
    policy::CapacityMode,
    scaling::{
        RoleHistory, Rollback, capacity, ratio,
        sketch::{Sketch, at, loading, numbers, propose, steps, unschedulable},
    },
    units::Replicas,
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
