//! A verbatim metric: an autoscaling/v2 `MetricSpec`, by the HPA's own rules of validation.
//!
//! What the HPA accepts but cannot use (an Object metric whose target type and field differ) becomes
//! [`Target::Unusable`] and fails as it fails there.

use k8s_openapi::{
    api::autoscaling::v2::{ExternalMetricSource, MetricTarget, ObjectMetricSource, PodsMetricSource},
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::LabelSelector},
};

use super::{super::MetricEntry, Problems, metric::fold, shown};
use crate::{
    policy::{Metric, MetricSource, ObjectReference, Target},
    units::MilliValue,
};

/// The sources that a verbatim metric may have: type, field, and whether the entry has it.
pub(super) fn sources(entry: &MetricEntry) -> [(&'static str, &'static str, bool); 5] {
    [
        ("Pods", "pods", entry.pods.is_some()),
        ("Object", "object", entry.object.is_some()),
        ("External", "external", entry.external.is_some()),
        ("Resource", "resource", entry.resource.is_some()),
        ("ContainerResource", "containerResource", entry.container_resource.is_some()),
    ]
}

pub(super) fn validate(
    problems: &mut Problems,
    path: &str,
    type_: &str,
    entry: &MetricEntry,
) -> Option<Metric> {
    let Some((_, own, present)) = sources(entry).into_iter().find(|(name, ..)| *name == type_) else {
        problems.add(
            format!("{path}.type"),
            shown(type_),
            "is not a metric type",
            "write Pods, Object, External, Resource or ContainerResource",
        );
        return None;
    };
    for (_, field, present) in sources(entry) {
        if present && field != own {
            problems.add(
                format!("{path}.{field}"),
                field,
                format_args!("does not belong to type {type_}"),
                "remove it, or change type",
            );
        }
    }
    if !present {
        problems.missing(format!("{path}.{own}"), format_args!("type {type_} needs it"));
        return None;
    }
    let path = format!("{path}.{own}");
    match entry {
        MetricEntry { pods: Some(source), .. } if type_ == "Pods" => Some(pods(problems, &path, source)),
        MetricEntry { object: Some(source), .. } if type_ == "Object" => {
            Some(object(problems, &path, source))
        }
        MetricEntry { external: Some(source), .. } if type_ == "External" => {
            Some(external(problems, &path, source))
        }
        MetricEntry { resource: Some(source), .. } if type_ == "Resource" => {
            Some(resource(problems, &path, &source.name, None, &source.target))
        }
        MetricEntry { container_resource: Some(source), .. } => {
            Some(resource(problems, &path, &source.name, Some(&source.container), &source.target))
        }
        _ => None,
    }
}

fn pods(problems: &mut Problems, path: &str, wire: &PodsMetricSource) -> Metric {
    problems.path_segment(format!("{path}.metric.name"), &wire.metric.name);
    let target = Targets::read(problems, path, &wire.target);
    target.require(problems, path, "averageValue", target.average_value.is_some());
    Metric {
        name: wire.metric.name.clone(),
        source: MetricSource::Pods { fold: fold(&wire.metric.name) },
        target: target.average_value.map_or(NO_PODS_TARGET, Target::AverageValue),
    }
}

fn object(problems: &mut Problems, path: &str, wire: &ObjectMetricSource) -> Metric {
    problems.path_segment(format!("{path}.metric.name"), &wire.metric.name);
    let described = &wire.described_object;
    problems.path_segment(format!("{path}.describedObject.kind"), &described.kind);
    problems.path_segment(format!("{path}.describedObject.name"), &described.name);
    if let Some(version) = &described.api_version
        && (version.matches('/').count() > 1 || version.starts_with('/') || version.ends_with('/'))
    {
        problems.add(
            format!("{path}.describedObject.apiVersion"),
            shown(version),
            "is no group and version",
            "write it as in \"apps/v1\"",
        );
    }
    let target = Targets::read(problems, path, &wire.target);
    let any = target.value.is_some() || target.average_value.is_some();
    target.require(problems, path, "value or averageValue", any);
    Metric {
        name: wire.metric.name.clone(),
        source: MetricSource::Object(ObjectReference {
            kind: described.kind.clone(),
            name: described.name.clone(),
        }),
        target: match (wire.target.type_.as_str(), target.value, target.average_value) {
            ("Value", Some(value), _) => Target::Value(value),
            ("AverageValue", _, Some(value)) => Target::AverageValue(value),
            _ => NO_OBJECT_TARGET,
        },
    }
}

fn external(problems: &mut Problems, path: &str, wire: &ExternalMetricSource) -> Metric {
    problems.path_segment(format!("{path}.metric.name"), &wire.metric.name);
    let target = Targets::read(problems, path, &wire.target);
    let one = target.value.is_some() != target.average_value.is_some();
    target.require(problems, path, "exactly one of value and averageValue", one);
    Metric {
        name: wire.metric.name.clone(),
        source: MetricSource::External { selector: selector_text(wire.metric.selector.as_ref()) },
        target: match (target.average_value, target.value) {
            (Some(value), _) => Target::AverageValue(value),
            (None, Some(value)) => Target::Value(value),
            (None, None) => NO_EXTERNAL_TARGET,
        },
    }
}

fn resource(
    problems: &mut Problems,
    path: &str,
    name: &str,
    container: Option<&String>,
    wire: &MetricTarget,
) -> Metric {
    problems.path_segment(format!("{path}.name"), name);
    if let Some(container) = container
        && !is_dns_label(container)
    {
        problems.add(
            format!("{path}.container"),
            shown(container),
            "is not the name of a container",
            "use lower-case letters, digits and \"-\"",
        );
    }
    let target = Targets::read(problems, path, wire);
    let one = target.utilization.is_some() != target.average_value.is_some();
    target.require(problems, path, "exactly one of averageUtilization and averageValue", one);
    Metric {
        name: name.to_owned(),
        source: MetricSource::Resource { container: container.cloned() },
        target: match (target.average_value, target.utilization) {
            (Some(value), _) => Target::AverageValue(value),
            (None, Some(percent)) => Target::Utilization(percent),
            (None, None) => NO_RESOURCE_TARGET,
        },
    }
}

const NO_PODS_TARGET: Target =
    Target::Unusable("invalid pods metric source: no average value target was set");
const NO_OBJECT_TARGET: Target = Target::Unusable(
    "invalid object metric source: neither a value target nor an average value target was set",
);
const NO_EXTERNAL_TARGET: Target = Target::Unusable(
    "invalid external metric source: neither a value target nor an average value target was set",
);
const NO_RESOURCE_TARGET: Target = Target::Unusable(
    "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set",
);

/// The parts of an autoscaling/v2 target, read.
struct Targets {
    value: Option<MilliValue>,
    average_value: Option<MilliValue>,
    utilization: Option<i32>,
}

impl Targets {
    fn read(problems: &mut Problems, path: &str, wire: &MetricTarget) -> Self {
        if !matches!(wire.type_.as_str(), "Utilization" | "Value" | "AverageValue") {
            problems.add(
                format!("{path}.target.type"),
                shown(&wire.type_),
                "is not a target type",
                "write Utilization, Value or AverageValue",
            );
        }
        if let Some(percent) = wire.average_utilization.filter(|percent| *percent < 1) {
            problems.add(
                format!("{path}.target.averageUtilization"),
                percent,
                "is not above zero",
                "write a percentage such as 80",
            );
        }
        Self {
            value: positive(problems, format!("{path}.target.value"), wire.value.as_ref()),
            average_value: positive(
                problems,
                format!("{path}.target.averageValue"),
                wire.average_value.as_ref(),
            ),
            utilization: wire.average_utilization,
        }
    }

    fn require(&self, problems: &mut Problems, path: &str, what: &str, there: bool) {
        if there {
            return;
        }
        let both = [self.value.is_some(), self.average_value.is_some(), self.utilization.is_some()];
        if both.iter().filter(|set| **set).count() > 1 {
            problems.add(
                format!("{path}.target"),
                "target",
                format_args!("must have {what}"),
                "remove the other",
            );
        } else {
            problems.missing(format!("{path}.target"), format_args!("write {what}"));
        }
    }
}

fn positive(problems: &mut Problems, path: String, quantity: Option<&Quantity>) -> Option<MilliValue> {
    let quantity = quantity?;
    match quantity.0.parse::<MilliValue>() {
        Ok(value) if value > MilliValue::ZERO => Some(value),
        Ok(value) => {
            problems.add(path, value, "is not above zero", "write a quantity such as \"10\"");
            Some(MilliValue::MAX)
        }
        Err(_) => {
            problems.add(
                path,
                shown(&quantity.0),
                "is not a quantity",
                "write a number with an optional suffix, such as \"10\" or \"500m\"",
            );
            Some(MilliValue::MAX)
        }
    }
}

fn is_dns_label(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Returns a selector as Go prints it, which the HPA's errors hold; `nil` when unset.
fn selector_text(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}: {value},"));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let values = expression.values.as_deref().unwrap_or_default().join(" ");
        let (key, operator) = (&expression.key, &expression.operator);
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
    });
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{}}},MatchExpressions:[]LabelSelectorRequirement{{{}}},}}",
        labels.collect::<String>(),
        expressions.collect::<String>(),
    )
}
