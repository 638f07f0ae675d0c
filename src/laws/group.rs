//! Laws of one decision: bounds, gangs, ratios, order, and deciding again.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    answer,
    case::{GroupCase, groups},
    decide, decide_document, document, hold,
};
use crate::{
    api::snapshot::DecisionInput,
    policy::Schedule,
    scaling::{Decision, Placement, RoleDecision, Stage},
    units::Replicas,
};

#[test]
fn a_count_stays_inside_its_bounds_or_something_says_why() {
    hold(groups(), |case| {
        let (input, decision) = decide(case);
        for (place, (role, policy)) in decision.roles.iter().flatten().zip(&input.policy.roles).enumerate() {
            let (from, to) = (role.current_replicas, role.desired_replicas);
            let (min, max) = bounds(&input, place);
            let asleep = to.get() == 0 && (policy.scale_to_zero.is_some() || from.get() == 0);
            let inside = min <= to && to <= max;
            let not_further =
                if from > max { min <= to && to <= from } else { from < min && from <= to && to <= max };
            if !(asleep || inside || not_further) {
                return Err(format!("{from} → {to} of {min}..{max}\n{}", answer(&input, &decision)));
            }
            let kept = role.steps.iter().any(|step| matches!(step.stage, Stage::Hold | Stage::Capacity));
            if !inside && !asleep && !kept {
                return Err(format!("{to} of {min}..{max}, unexplained\n{}", answer(&input, &decision)));
            }
        }
        Ok(())
    });
}

/// The bounds of a role at the time of the decision.
fn bounds(input: &DecisionInput, place: usize) -> (Replicas, Replicas) {
    let policy = &input.policy.roles[place];
    let scheduled =
        Schedule::first_match(&input.policy.schedules, place, input.now).map(|(_, bounds)| bounds);
    let min = scheduled.and_then(|bounds| bounds.min).unwrap_or(policy.bounds.min);
    let max = scheduled.and_then(|bounds| bounds.max).unwrap_or(policy.bounds.max);
    (min, max)
}

#[test]
fn every_written_count_is_whole_gangs() {
    hold(groups(), |case| {
        let (input, decision) = decide(case);
        for write in &decision.writes {
            let gang = input.policy.roles[write.role].gang;
            if gang.floor_to_gang(write.to) != write.to {
                return Err(format!("{} in gangs of {gang}\n{}", write.to, answer(&input, &decision)));
            }
        }
        if case.mode != "Enforce" && !decision.writes.is_empty() {
            return Err("something was written".to_owned());
        }
        Ok(())
    });
}

#[test]
fn the_steps_are_a_chain_from_the_current_count_to_the_desired_one() {
    hold(groups(), |case| {
        let (input, decision) = decide(case);
        for role in decision.roles.iter().flatten() {
            let mut at = role.current_replicas;
            let mut stage = None;
            for step in &role.steps {
                // After capacity the second pass of the ratios comes again, or what the next decision would do.
                let ahead = step.message.contains("as the next decision would");
                let again = step.stage == Stage::Ratio && (step.to < step.from || ahead);
                if step.from != at
                    || step.from == step.to
                    || stage.is_some_and(|last| last > step.stage && !again)
                    || step.message.is_empty()
                {
                    return Err(answer(&input, &decision));
                }
                (at, stage) = (step.to, Some(step.stage));
            }
            if at != role.desired_replicas {
                return Err(answer(&input, &decision));
            }
        }
        Ok(())
    });
}

#[test]
fn a_ratio_holds_or_the_condition_says_not() {
    hold(groups(), |case| {
        let (input, decision) = decide(case);
        let condition = decision.conditions.iter().find(|condition| condition.type_ == "RatioSatisfied");
        if condition.is_some() == input.policy.ratios.is_empty() {
            return Err(format!("the condition is out of place\n{}", answer(&input, &decision)));
        }
        let count = |place: usize| {
            decision.roles[place].as_ref().map_or(0, |role| u64::from(role.desired_replicas.get()))
        };
        let broken = input.policy.ratios.iter().any(|ratio| {
            let (first, second) = (count(ratio.first), count(ratio.second));
            let below =
                ratio.min.is_some_and(|min| first * u64::from(min.second) < second * u64::from(min.first));
            let above =
                ratio.max.is_some_and(|max| first * u64::from(max.second) > second * u64::from(max.first));
            below || above
        });
        if broken && condition.is_some_and(|condition| condition.status == "True") {
            return Err(format!("a ratio is broken\n{}", answer(&input, &decision)));
        }
        Ok(())
    });
}

#[test]
fn the_order_of_things_never_matters() {
    let shuffled = groups().prop_flat_map(|case| (Just(case), any::<u64>())).prop_map(|(case, seed)| {
        let mut case = case;
        // The seed travels in a field that the document leaves out.
        case.roles[0].status_off = i32::try_from(seed % 3).unwrap_or(0) - 1;
        case
    });
    hold(shuffled, |case| {
        let forward = document::of(case);
        let mut backward = forward.clone();
        reverse(&mut backward["autoscaler"]["spec"]["roles"]);
        reverse(&mut backward["autoscaler"]["spec"]["ratios"]);
        for ratio in backward["autoscaler"]["spec"]["ratios"].as_array_mut().into_iter().flatten() {
            turn_around(ratio);
        }
        let metrics = backward["autoscaler"]["spec"]["roles"].as_array_mut().into_iter().flatten();
        metrics.for_each(|role| reverse(&mut role["metrics"]));
        for (_, role) in backward["roles"].as_object_mut().into_iter().flatten() {
            reverse(&mut role["pods"]);
            for reading in role["readings"].as_array_mut().into_iter().flatten() {
                for list in ["samples", "values"] {
                    if let Some(list) = reading.get_mut(list) {
                        reverse(list);
                    }
                }
            }
            reverse(&mut role["readings"]);
            if let Some(history) = role.get_mut("history") {
                reverse(&mut history["recommendations"]);
                reverse(&mut history["scaleEvents"]);
            }
        }
        if let Some(nodes) = backward.pointer_mut("/capacity/nodes") {
            reverse(nodes);
        }
        let ((input, one), (other_input, mut other)) =
            (decide_document(&forward), decide_document(&backward));
        other.roles.reverse();
        let counts = |decision: &Decision| {
            decision.roles.iter().flatten().map(|role| role.desired_replicas.get()).collect::<Vec<_>>()
        };
        if counts(&one) == counts(&other) && one.recheck_at == other.recheck_at {
            return Ok(());
        }
        other.roles.reverse();
        Err(format!("{}\nbackward: {}", answer(&input, &one), answer(&other_input, &other)))
    });
}

fn reverse(list: &mut Value) {
    if let Some(list) = list.as_array_mut() {
        list.reverse();
    }
}

/// Writes first : second as second : first.
fn turn_around(ratio: &mut Value) {
    let turned = |bound: &Value| {
        let text = bound.as_str()?;
        let (first, second) = text.split_once(':')?;
        Some(format!("{second}:{first}"))
    };
    let (min, max) = (turned(&ratio["max"]), turned(&ratio["min"]));
    (ratio["min"], ratio["max"]) = (json!(min), json!(max));
    reverse(&mut ratio["roles"]);
}

/// The case after its writes, with the history that the decision left.
fn written(case: &GroupCase, input: &DecisionInput, decision: &Decision) -> Value {
    let mut next = document::of(case);
    for (role, policy) in decision.roles.iter().zip(&input.policy.roles) {
        let Some(role) = role else { continue };
        let seen = &mut next["roles"][policy.name.as_str()];
        seen["history"] = serde_json::to_value(&role.history).expect("a history");
    }
    for write in &decision.writes {
        next["roles"][input.policy.roles[write.role].name.as_str()]["specReplicas"] = json!(write.to.get());
    }
    next
}

/// The room that a decision took, as a document tells it.
fn reserved(decision: &Decision) -> Value {
    let reserved = |placed: &Placement| {
        let taken = &placed.room;
        let requests = taken.requests.iter().map(|(name, value)| (name.clone(), json!(value.to_string())));
        json!({"node": taken.node, "requests": requests.collect::<serde_json::Map<_, _>>()})
    };
    decision.reserved.iter().map(reserved).collect()
}

#[test]
fn deciding_again_changes_nothing() {
    let with_behavior = groups().prop_map(|mut case| {
        for role in &mut case.roles {
            role.behavior.get_or_insert_default();
        }
        case
    });
    hold(with_behavior, |case| {
        let (first_input, first) = decide(case);
        // A count out of its bounds is corrected, and a sleeping role woken, without asking the metrics; they speak next.
        let corrected = |role: &RoleDecision| {
            role.steps
                .iter()
                .any(|step| step.stage == Stage::Bounds || step.stage == Stage::Zero && step.reason != "Idle")
        };
        if first.roles.iter().flatten().any(corrected) {
            return Ok(());
        }
        let mut next = written(case, &first_input, &first);
        let mut documents = Vec::new();
        // Without what was reserved, the replicas that are not listed tell what was asked for; unless none is.
        if !first.reserved.is_empty() && case.roles.iter().all(|role| !role.replicas.is_empty()) {
            documents.push(next.clone());
        }
        if let Some(capacity) = next.get_mut("capacity") {
            capacity["reserved"] = reserved(&first);
        }
        documents.push(next);
        for document in documents {
            let (input, again) = decide_document(&document);
            if !again.writes.is_empty() {
                return Err(format!("{}\nagain: {}", answer(&first_input, &first), answer(&input, &again)));
            }
        }
        Ok(())
    });
}
