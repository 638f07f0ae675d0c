//! One metric: our short form, or an autoscaling/v2 `MetricSpec` by the HPA's own rules.

use super::{
    super::{MetricEntry, RoleBasedGroupAutoscalerSpec},
    Problems, shown, verbatim,
};
use crate::{
    policy::{Fold, Metric, MetricSource, Target, WakeSignal},
    units::MilliValue,
};

/// The signal that is computed from token rates and the role's throughput.
pub(super) const TOKEN_UTILIZATION: &str = "token_utilization";

/// Whether a metric can be measured while the role has no replicas.
pub(super) fn works_from_zero(metric: &Metric, role: &str) -> bool {
    match &metric.source {
        MetricSource::Object(_) | MetricSource::External { .. } => true,
        MetricSource::RoleTotal { role: other } => other != role,
        _ => false,
    }
}

/// How the pods of one replica combine, by the signal's name: shares and quantiles by the largest, all else by the sum.
pub(super) fn fold(name: &str) -> Fold {
    let share = matches!(name, "kv_cache_usage" | "prefix_cache_hit_rate" | "gpu_utilization");
    if share || name.ends_with("_p95") { Fold::Max } else { Fold::Sum }
}

pub(super) fn validate(problems: &mut Problems, path: &str, entry: &MetricEntry) -> Option<Metric> {
    match (&entry.name, &entry.type_) {
        (Some(name), None) => {
            only_short(problems, path, entry);
            Some(short(problems, path, name, entry))
        }
        (None, Some(type_)) => {
            only_verbatim(problems, path, entry);
            verbatim::validate(problems, path, type_, entry)
        }
        (Some(name), Some(type_)) => {
            problems.add(
                path,
                format_args!("name {} and type {}", shown(name), shown(type_)),
                "are two forms in one entry",
                "keep name and target, or type and its source",
            );
            None
        }
        (None, None) => {
            problems.missing(
                format!("{path}.name"),
                "write {name: queue_length, target: \"10\"}, or type and its source as in an autoscaling/v2 MetricSpec",
            );
            None
        }
    }
}

fn only_short(problems: &mut Problems, path: &str, entry: &MetricEntry) {
    for (type_, field, present) in verbatim::sources(entry) {
        if present {
            problems.add(
                format!("{path}.{field}"),
                field,
                "needs a type",
                format_args!("write type: {type_} instead of name, or remove {field}"),
            );
        }
    }
}

fn only_verbatim(problems: &mut Problems, path: &str, entry: &MetricEntry) {
    let short = [
        ("target", entry.target.is_some()),
        ("role", entry.role.is_some()),
        ("lookahead", entry.lookahead.is_some()),
    ];
    for (field, _) in short.into_iter().filter(|(_, present)| *present) {
        problems.add(
            format!("{path}.{field}"),
            field,
            "belongs to the short form",
            format_args!("write name instead of type, or remove {field}"),
        );
    }
}

fn short(problems: &mut Problems, path: &str, name: &str, entry: &MetricEntry) -> Metric {
    signal_name(problems, path, name);
    if name.ends_with("_p95") {
        problems.add(
            format!("{path}.name"),
            shown(name),
            "is a latency: flat until the engines are full, then a cliff, so a proportional rule on it swings",
            "scale on queue_length, qps or token_utilization, and watch the latency on a dashboard",
        );
    }
    let token = name == TOKEN_UTILIZATION;
    if let Some(lookahead) = entry.lookahead {
        problems.positive(format!("{path}.lookahead"), lookahead);
        if !token {
            problems.add(
                format!("{path}.lookahead"),
                lookahead,
                "only works with token_utilization",
                "remove it",
            );
        }
    }
    if let Some(role) = &entry.role {
        problems.name(format!("{path}.role"), role);
        if token {
            problems.add(
                format!("{path}.role"),
                shown(role),
                "cannot be given: token_utilization measures the role itself",
                "remove it",
            );
        }
    }
    let target = short_target(problems, path, entry.target);
    let source = match &entry.role {
        _ if token => MetricSource::TokenUtilization { lookahead: entry.lookahead.unwrap_or_default().get() },
        Some(role) => MetricSource::RoleTotal { role: role.clone() },
        None => MetricSource::Signal { fold: fold(name) },
    };
    Metric { name: name.to_owned(), source, target: Target::AverageValue(target) }
}

fn signal_name(problems: &mut Problems, path: &str, name: &str) {
    problems.name(format!("{path}.name"), name);
    if !name.is_empty()
        && !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-'))
    {
        problems.add(
            format!("{path}.name"),
            shown(name),
            "is not the name of a signal",
            "use letters, digits and \"_\", as in queue_length",
        );
    }
}

fn short_target(problems: &mut Problems, path: &str, target: Option<MilliValue>) -> MilliValue {
    let path = format!("{path}.target");
    let Some(target) = target else {
        problems.missing(path, "write the target per replica, such as \"10\"");
        return MilliValue::MAX;
    };
    if target <= MilliValue::ZERO {
        problems.add(path, target, "is not above zero", "write the target per replica, such as \"10\"");
    }
    target
}

pub(super) fn validate_wake(
    problems: &mut Problems,
    path: &str,
    entry: &MetricEntry,
    own: &str,
    all: &RoleBasedGroupAutoscalerSpec,
) -> Option<WakeSignal> {
    if entry.type_.is_some() && entry.name.is_none() {
        let metric = validate(problems, path, entry)?;
        if !matches!(metric.source, MetricSource::Object(_) | MetricSource::External { .. }) {
            problems.add(
                format!("{path}.type"),
                shown(entry.type_.as_deref().unwrap_or_default()),
                "is measured on the sleeping replicas",
                "use Object, External, or the short form with another role",
            );
        }
        let (Target::Value(target) | Target::AverageValue(target)) = metric.target else { return None };
        return Some(WakeSignal { name: metric.name, role: None, target });
    }
    let Some(name) = &entry.name else {
        problems.missing(format!("{path}.name"), "name a signal, such as {name: queue_length, role: router}");
        return None;
    };
    signal_name(problems, path, name);
    only_short(problems, path, entry);
    if name == TOKEN_UTILIZATION {
        problems.add(
            format!("{path}.name"),
            shown(name),
            "needs running replicas",
            "use queue_length or qps of another role",
        );
    }
    if let Some(lookahead) = entry.lookahead {
        problems.add(
            format!("{path}.lookahead"),
            lookahead,
            "only works with token_utilization",
            "remove it",
        );
    }
    let target = entry.target.unwrap_or(MilliValue::ZERO);
    if target < MilliValue::ZERO {
        problems.add(format!("{path}.target"), target, "is below zero", "write \"0\" or more");
    }
    let Some(role) = &entry.role else {
        problems.missing(
            format!("{path}.role"),
            format_args!("name a role that stays awake: {own} cannot tell while it sleeps"),
        );
        return None;
    };
    problems.name(format!("{path}.role"), role);
    let sleeps = all.roles.iter().any(|other| other.name == *role && other.scale_to_zero.is_some());
    if sleeps {
        problems.add(
            format!("{path}.role"),
            shown(role),
            "sleeps as well, so it cannot tell",
            "name a role without scaleToZero, such as the router",
        );
    }
    Some(WakeSignal { name: name.clone(), role: Some(role.clone()), target })
}
