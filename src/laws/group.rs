//! Laws of one decision: bounds, gangs, ratios, failures, order, and deciding again.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    answer,
    case::{GroupCase, groups},
    decide, decide_document, desired, document, hold,
};
use crate::scaling::Stage;

#[test]
fn a_count_never_moves_further_outside_its_bounds() {
    hold(groups(), |case| {
        let (input, decision) = decide(case);
        for (role, policy) in decision.roles.iter().flatten().zip(&input.policy.roles) {
            let (from, to) = (role.current_replicas, role.desired_replicas);
            let (min, max) = (policy.bounds.min, policy.bounds.max);
            let asleep = to.get() == 0 && (policy.scale_to_zero.is_some() || from.get() == 0);
            let inside = min <= to && to <= max;
            let not_further =
                if from > max { min <= to && to <= from } else { from < min && from <= to && to <= max };
            if !(asleep || inside || not_further) {
                return Err(format!("{from} → {to} of {min}..{max}\n{}", answer(&input, &decision)));
            }
        }
        Ok(())
    });
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
        if case.recommend && !decision.writes.is_empty() {
            return Err("a recommendation was written".to_owned());
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
                if step.from != at
                    || step.from == step.to
                    || stage.is_some_and(|last| last > step.stage)
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
fn a_lost_reading_never_lowers() {
    hold(groups(), |case| {
        for (place, role) in case.roles.iter().enumerate() {
            for at in 0..role.metrics.len() {
                let mut without = document::of(case);
                without["roles"][document::name(place)]["readings"][at] = json!({"error": "gone"});
                let (input, decision) = decide_document(&without);
                let Some(decided) = &decision.roles[place] else { continue };
                // Corrections, rollbacks and sleep do not come from metrics; asleep nothing is lower than zero.
                let named = decided
                    .steps
                    .iter()
                    .any(|step| matches!(step.reason.as_ref(), "AboveMaximum" | "RolledBack"));
                if decided.desired_replicas < decided.current_replicas && !named {
                    return Err(format!(
                        "without metric {at} of role {place}\n{}",
                        answer(&input, &decision)
                    ));
                }
            }
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
        let counts = |decision: &crate::scaling::Decision| {
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
fn written(case: &GroupCase) -> Value {
    let (input, decision) = decide(case);
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

#[test]
fn deciding_again_changes_nothing() {
    let with_behavior = groups().prop_map(|mut case| {
        case.roles.retain(|role| role.behavior.is_some());
        case.ratios.retain(|(first, second, ..)| *first < case.roles.len() && *second < case.roles.len());
        case
    });
    let not_empty = with_behavior.prop_filter("roles with behavior", |case| !case.roles.is_empty());
    hold(not_empty, |case| {
        // Ratios name places; after roles were left out they may name others, which may not satisfy them.
        let mut case = case.clone();
        if case.roles.len() < 3 {
            case.ratios.clear();
        }
        let (first_input, first) = decide(&case);
        // A count out of its bounds is corrected, and a sleeping role woken, without asking the metrics; they speak next.
        let corrected = |role: &crate::scaling::RoleDecision| {
            role.steps.iter().any(|step| matches!(step.stage, Stage::Bounds | Stage::Zero))
        };
        if first.roles.iter().flatten().any(corrected) {
            return Ok(());
        }
        let (input, again) = decide_document(&written(&case));
        if again.writes.is_empty() || case.recommend {
            return Ok(());
        }
        Err(format!("{}\nagain: {}", answer(&first_input, &first), answer(&input, &again)))
    });
}

#[test]
fn desired_counts_are_told_for_every_role() {
    hold(groups(), |case| {
        if desired(case).len() == case.roles.len() { Ok(()) } else { Err("one is missing".to_owned()) }
    });
}
