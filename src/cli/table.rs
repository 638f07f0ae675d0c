//! A decision as a person reads it.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{MetricTarget, MetricValueStatus};
use rbg_autoscaler::{api::snapshot::DecisionDocument, scaling::MetricStatus, units::MilliValue};

/// Writes a decision as tables: roles with their reasons, metrics, conditions that ask for attention, writes.
pub(super) fn render(document: &DecisionDocument, now: Timestamp) -> String {
    let mut text = String::new();
    let mut roles = vec![["ROLE", "CURRENT", "FORMULA", "DESIRED", "WHY"].map(str::to_owned)];
    for (name, role) in &document.roles {
        let mut why = role.decision.iter().map(|step| format!("{}: {}", stage(step), step.message));
        let first = why.next().unwrap_or_else(|| unmoved(role));
        roles.push([
            name.clone(),
            role.current_replicas.to_string(),
            role.recommended_replicas.to_string(),
            role.desired_replicas.to_string(),
            first,
        ]);
        let blank = || [const { String::new() }; 4];
        roles.extend(why.map(|words| {
            let [a, b, c, d] = blank();
            [a, b, c, d, words]
        }));
    }
    columns(&mut text, &roles);
    let mut metrics = vec![["ROLE", "METRIC", "CURRENT", "TARGET", "PROPOSED", "NOTE"].map(str::to_owned)];
    for (name, role) in &document.roles {
        metrics.extend(role.metrics.iter().map(|metric| metric_row(name, metric)));
    }
    if metrics.len() > 1 {
        text.push('\n');
        columns(&mut text, &metrics);
    }
    let mut conditions = vec![["CONDITION", "STATUS", "REASON", "MESSAGE"].map(str::to_owned)];
    let of_roles = document.roles.iter().flat_map(|(name, role)| {
        role.conditions.iter().map(move |condition| (format!("{name} "), condition))
    });
    let of_group = document.conditions.iter().map(|condition| (String::new(), condition));
    for (role, condition) in of_roles.chain(of_group) {
        conditions.push([
            format!("{role}{}", condition.type_),
            condition.status.to_string(),
            condition.reason.to_string(),
            condition.message.to_string(),
        ]);
    }
    text.push('\n');
    columns(&mut text, &conditions);
    text.push('\n');
    if document.writes.is_empty() {
        text.push_str("Nothing to write.\n");
    }
    // Writing to a String cannot fail.
    for write in &document.writes {
        let _ = writeln!(text, "Write {}: {} → {}", write.role, write.from, write.to);
    }
    if let Some(at) = document.recheck_at {
        let _ = writeln!(text, "Decide again in {} s ({at}).", at.duration_since(now).as_secs().max(0));
    }
    text
}

fn stage(step: &rbg_autoscaler::scaling::Step) -> String {
    format!("{:?}", step.stage).to_lowercase()
}

fn unmoved(role: &rbg_autoscaler::api::snapshot::RoleDecisionDocument) -> String {
    let failing = role
        .conditions
        .iter()
        .find(|condition| condition.type_ == "ScalingActive" && condition.status == "False");
    failing.map_or_else(|| "stays".to_owned(), |condition| format!("stays: {}", condition.message))
}

fn metric_row(role: &str, metric: &MetricStatus) -> [String; 6] {
    let mut notes = Vec::new();
    if let Some(missing) = metric.missing_replicas.filter(|missing| *missing > 0) {
        notes.push(format!("{missing} missing"));
    }
    notes.extend(metric.error.clone());
    [
        role.to_owned(),
        metric.name.clone(),
        metric.current.as_ref().map(current).unwrap_or_default(),
        metric.target.as_ref().map(target).unwrap_or_default(),
        metric.proposed_replicas.map(|count| count.to_string()).unwrap_or_default(),
        notes.join(", "),
    ]
}

fn current(status: &MetricValueStatus) -> String {
    let value = || status.average_value.as_ref().or(status.value.as_ref()).map(|quantity| plain(&quantity.0));
    status.average_utilization.map_or_else(|| value().unwrap_or_default(), |percent| format!("{percent}%"))
}

fn target(target: &MetricTarget) -> String {
    let value = || target.average_value.as_ref().or(target.value.as_ref()).map(|quantity| plain(&quantity.0));
    target.average_utilization.map_or_else(|| value().unwrap_or_default(), |percent| format!("{percent}%"))
}

/// A quantity as people write small numbers: `800m` as `0.8`.
fn plain(quantity: &str) -> String {
    match quantity.parse::<MilliValue>() {
        Ok(value) if quantity.ends_with('m') && value.milli().abs() < 1_000_000_000 => {
            let text = format!("{:.3}", value.as_f64());
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => quantity.to_owned(),
    }
}

/// Writes rows in aligned columns, two blanks apart; the last one is as long as it likes.
pub(super) fn columns<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
