use super::*;
use crate::scaling::{
    ReplicaObservation, Stage,
    sketch::{Sketch, at, loading, ready, unschedulable},
};

const TIMEOUT: Duration = Duration::from_secs(600);

/// A role drawn replica by replica: `r`eady, `l`oading, `u`nschedulable for 700 s, `n`ew and unschedulable for 100 s,
/// `d`eleted while unschedulable, `.` not there yet.
fn role(drawing: &str, gang: u32) -> Sketch {
    let count = u32::try_from(drawing.len()).expect("short");
    let mut sketch = Sketch::of(&[("decode", count, gang)]);
    sketch.role(0).replicas = drawing
        .chars()
        .zip(0..)
        .filter_map(|(kind, ordinal)| {
            Some(match kind {
                'r' => ready("decode", ordinal),
                'l' => loading("decode", ordinal),
                'u' => unschedulable("decode", ordinal, 700),
                'n' => unschedulable("decode", ordinal, 100),
                'd' => ReplicaObservation { deleted: true, ..unschedulable("decode", ordinal, 700) },
                _ => return None,
            })
        })
        .collect();
    sketch
}

fn verdict(sketch: &Sketch) -> Verdict {
    judge(sketch.draft().roles[0].as_ref().expect("a role"), TIMEOUT)
}

#[test]
fn stuck_gangs_are_taken_back_whole_and_ready_ones_never() {
    for (name, drawing, gang, min, to, partial, due) in [
        ("all ready", "rrrrrrrr", 4, 0, None, false, None),
        ("the last gang is stuck", "rrrruuuu", 4, 0, Some(4), false, None),
        ("with what is bound but not ready in it", "rrrrlllu", 4, 0, Some(4), false, None),
        ("and with higher gangs, whatever they wait for", "rrrrlluullnn", 4, 0, Some(4), false, Some(500)),
        ("one ready replica protects its gang", "rrrrrllu", 4, 0, None, true, None),
        ("and those below", "rrrruuuurlll", 4, 0, None, true, None),
        ("not those above", "rrrrruuuuuuu", 4, 0, Some(8), true, None),
        ("not for long enough", "rrrrnnnn", 4, 0, None, false, Some(500)),
        ("loading is not stuck", "rrrrllll", 4, 0, None, false, None),
        ("being deleted is not stuck", "rrrrdddd", 4, 0, None, false, None),
        ("never below the minimum", "uuuuuuuu", 4, 4, Some(4), true, None),
        ("nor does the minimum take others along", "uuuullll", 4, 4, None, true, None),
        ("one at a time", "rrruu", 1, 0, Some(3), false, None),
        ("a hole below a ready one", "rurr", 1, 0, None, true, None),
        ("a gang that is not complete", "rrrrlu", 4, 0, Some(4), false, None),
        ("a gang that is not there yet", "rrrr....", 4, 0, None, false, None),
    ] {
        let sketch = role(drawing, gang).bounds(0, min, 100);
        let found = verdict(&sketch);
        assert_eq!(found.take_back.map(|(to, _)| to.get()), to, "{name}");
        assert_eq!(found.partial.is_some(), partial, "{name}: {:?}", found.partial);
        if to.is_none() {
            let due = due.map(|seconds| at(seconds) + jiff::SignedDuration::from_millis(1));
            assert_eq!(found.due, due, "{name}: due");
        }
    }
}

#[test]
fn at_the_timeout_itself_it_is_not_yet_longer() {
    for ordinals in [true, false] {
        for (waited, to) in [(599, None), (600, None), (601, Some(4))] {
            let mut sketch = role("rrrruuuu", 4);
            for replica in &mut sketch.role(0).replicas[4..] {
                replica.unschedulable_since = Some(at(-waited));
            }
            for replica in &mut sketch.role(0).replicas {
                replica.ordinal = replica.ordinal.filter(|_| ordinals);
            }
            let found = verdict(&sketch);
            assert_eq!(found.take_back.map(|(to, _)| to.get()), to, "{waited} s, ordinals {ordinals}");
            let again = at(600 - waited) + jiff::SignedDuration::from_millis(1);
            assert_eq!(found.due, to.is_none().then_some(again), "{waited} s, ordinals {ordinals}");
        }
    }
}

#[test]
fn without_ordinals_replicas_are_counted() {
    for (name, drawing, gang, min, to, partial) in [
        ("all ready", "rrrr", 2, 0, None, false),
        ("as many as are stuck", "rurur", 1, 0, Some(3), false),
        ("rounded to gangs, which takes unready ones along", "rrrrlluu", 4, 0, Some(4), false),
        ("every ready one keeps a place", "rrrrrruu", 4, 0, None, true),
        ("as many gangs as leave the ready ones in place", "rrrrrrruuuuu", 4, 0, Some(8), false),
        ("not below the minimum", "uuuu", 2, 2, Some(2), false),
        ("not for long enough", "rrnn", 2, 0, None, false),
    ] {
        let mut sketch = role(drawing, gang).bounds(0, min, 100);
        for replica in &mut sketch.role(0).replicas {
            replica.ordinal = None;
        }
        let found = verdict(&sketch);
        assert_eq!(found.take_back.map(|(to, _)| to.get()), to, "{name}");
        assert_eq!(found.partial.is_some(), partial, "{name}: {:?}", found.partial);
    }
}

#[test]
fn verdicts_say_what_and_why() {
    let sketch = role("rrrrlllu", 4);
    let (_, why) = verdict(&sketch).take_back.expect("taken back");
    assert_eq!(
        why,
        "replicas 4 to 7 unschedulable for 700 s (0/3 nodes are available: 3 Insufficient nvidia.com/gpu)"
    );
    let sketch = role("rrrrrllu", 4);
    let why = verdict(&sketch).partial.expect("kept");
    assert_eq!(
        why,
        "demo-decode-7 has been unschedulable for 700 s, but 1 of it is ready: replicas 4 to 7 stay"
    );
    assert!(clip(&"x".repeat(500)).chars().count() < 130);
}

#[test]
fn what_waits_at_the_end_can_go_at_once() {
    for (name, drawing, gang, above) in [
        ("nothing waits", "rrrr", 2, 4),
        ("a gang waits", "rrrrnn", 2, 4),
        ("two gangs wait", "rrnnln", 2, 2),
        ("one that loads is not pending", "rrnnll", 2, 6),
        ("one with a ready replica stays", "rrnnrn", 2, 6),
        ("replica by replica", "rrnn", 1, 2),
    ] {
        let sketch = role(drawing, gang);
        let group = sketch.draft();
        assert_eq!(pending_above(group.roles[0].as_ref().expect("a role")).get(), above, "{name}");
    }
    let mut sketch = role("rnrnr", 2);
    for replica in &mut sketch.role(0).replicas {
        replica.ordinal = None;
    }
    let group = sketch.draft();
    assert_eq!(
        pending_above(group.roles[0].as_ref().expect("a role")).get(),
        4,
        "without ordinals, whole gangs"
    );
}

#[test]
fn a_ready_replica_that_goes_anyway_protects_none_below() {
    let sketch = role("rrrluur", 3);
    let mut group = sketch.draft();
    let draft = group.roles[0].as_mut().expect("a role");
    assert_eq!(judge(draft, TIMEOUT).take_back, None, "the ready one above protects them");
    draft.proposal.move_to(Stage::Gang, Replicas::new(6), "WholeGangs", String::new);
    assert_eq!(judge(draft, TIMEOUT).take_back.map(|(to, _)| to.get()), Some(3));
}
