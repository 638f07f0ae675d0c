//! What is not told never takes replicas away: lost readings, values, token rates and samples.
//!
//! A metric without an answer, and a total or work that is only a lower bound, never lower a role below its current count.
//! Samples are different, since the HPA's formula is kept to the last unit: it takes a missing sample as on target on the
//! way down, so three replicas at 30, 1 and 1 against 10 stay three, and without the first become two. What is true of
//! them is this: a lost sample that is not above the target never lowers the role's count, or not below the current one.

use serde_json::{Value, json};

use super::{answer, case::groups, decide, decide_document, document, hold};
use crate::scaling::RoleDecision;

/// Whether something else than metrics lowered the count: a bound, or room.
fn otherwise_lowered(role: &RoleDecision) -> bool {
    role.steps.iter().any(|step| matches!(step.reason.as_ref(), "AboveMaximum" | "RolledBack"))
}

/// Decides on the document and fails when the role went below its current count.
fn not_below_current(document: &Value, place: usize, what: &str) -> Result<(), String> {
    let (input, decision) = decide_document(document);
    let Some(role) = &decision.roles[place] else { return Ok(()) };
    if role.desired_replicas < role.current_replicas && !otherwise_lowered(role) {
        return Err(format!("role {place} {what}\n{}", answer(&input, &decision)));
    }
    Ok(())
}

#[test]
fn a_lost_reading_never_lowers() {
    hold(groups(), |case| {
        for (place, role) in case.roles.iter().enumerate() {
            for at in 0..role.metrics.len() {
                for lost in [json!({"error": "gone"}), Value::Null] {
                    let mut without = document::of(case);
                    without["roles"][document::name(place)]["readings"][at] = lost;
                    not_below_current(&without, place, &format!("without metric {at}"))?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_lost_value_of_a_total_never_lowers() {
    hold(groups(), |case| {
        for (place, role) in case.roles.iter().enumerate() {
            for at in 0..role.metrics.len() {
                let mut without = document::of(case);
                let reading = &mut without["roles"][document::name(place)]["readings"][at];
                let Some(values) = reading["values"].as_array_mut().filter(|values| !values.is_empty())
                else {
                    continue;
                };
                values.remove(0);
                reading["reported"] = json!(reading["reported"].as_u64().unwrap_or(1) - 1);
                not_below_current(&without, place, &format!("without a value of metric {at}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_lost_token_rate_never_lowers() {
    hold(groups(), |case| {
        for (place, role) in case.roles.iter().enumerate() {
            let Some(at) = role.metrics.iter().position(|metric| metric.kind == "tokens" && !metric.failed)
            else {
                continue;
            };
            let whole = document::of(case);
            let lookahead =
                whole["autoscaler"]["spec"]["roles"][place]["metrics"][at].get("lookahead").is_some();
            let parts: &[&[&str]] = &[
                &["promptTokensPerSecond"],
                &["generationTokensPerSecond", "short"],
                &["generationTokensPerSecond", "long"],
                &["pendingTokens"],
                &["slopePerSecond"],
            ];
            for part in parts {
                if !lookahead && part[0] == "slopePerSecond" {
                    continue;
                }
                let mut without = whole.clone();
                let reading = &mut without["roles"][document::name(place)]["readings"][at];
                let (last, path) = part.split_last().expect("a path");
                let object = path.iter().fold(reading, |value, key| &mut value[*key]);
                object.as_object_mut().expect("a mapping").remove(*last);
                not_below_current(&without, place, &format!("without {}", part.join(".")))?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_lost_sample_not_above_the_target_never_lowers() {
    hold(groups(), |case| {
        let (whole_input, whole) = decide(case);
        for (place, role) in case.roles.iter().enumerate() {
            let Some(before) = &whole.roles[place] else { continue };
            for at in 0..role.metrics.len() {
                for count in [1, 2, 14] {
                    let mut without = document::of(case);
                    let reading = &mut without["roles"][document::name(place)]["readings"][at];
                    let Some(samples) = reading["samples"].as_array_mut() else { break };
                    let low = role.metrics[at]
                        .values
                        .iter()
                        .enumerate()
                        .filter(|(_, share)| share.is_some_and(|share| share <= 1000));
                    for (ordinal, _) in low.take(count) {
                        let replica = format!("{}-{ordinal}-", document::name(place));
                        samples.retain(|sample| {
                            !sample["pod"].as_str().is_some_and(|pod| pod.starts_with(&replica))
                        });
                    }
                    let (input, decision) = decide_document(&without);
                    let Some(after) = &decision.roles[place] else { continue };
                    if after.desired_replicas < before.desired_replicas.min(before.current_replicas) {
                        return Err(format!(
                            "role {place} without {count} samples of metric {at}\n{}\nbefore: {}",
                            answer(&input, &decision),
                            answer(&whole_input, &whole)
                        ));
                    }
                }
            }
        }
        Ok(())
    });
}
