//! One role: bounds, gang, fallback, sleep; its metrics and behavior are judged beside this.

use super::{
    super::{FallbackSpec, RoleBasedGroupAutoscalerSpec, RoleSpec, ScaleToZeroSpec},
    Problems, behavior, metric,
};
use crate::{
    policy::{Fallback, RolePolicy, ScaleToZero, Throughput},
    units::{GangSize, MilliValue, Replicas},
};

/// The most metrics of a role.
const MAX_METRICS: usize = 10;

pub(super) fn validate(
    problems: &mut Problems,
    path: &str,
    role: &RoleSpec,
    spec: &RoleBasedGroupAutoscalerSpec,
) -> RolePolicy {
    problems.name(format!("{path}.name"), &role.name);
    let gang = gang(problems, path, role);
    let max = count(problems, &format!("{path}.maxReplicas"), role.max_replicas, 1, gang);
    let min = match role.min_replicas {
        Some(min) => count(problems, &format!("{path}.minReplicas"), min, 0, gang),
        None => Replicas::new(gang.get()),
    };
    if min > max {
        match role.min_replicas {
            Some(min) => problems.add(
                format!("{path}.minReplicas"),
                min,
                format_args!("is above maxReplicas {max}"),
                format_args!("write {max} or less, or raise maxReplicas"),
            ),
            None => problems.add(
                format!("{path}.maxReplicas"),
                max,
                format_args!("is below one gang of {gang}, which minReplicas is when absent"),
                format_args!("write {gang} or more"),
            ),
        }
    }
    let mut policy = RolePolicy::bounded(role.name.clone(), min, max.max(min));
    policy.gang = gang;
    if role.metrics.len() > MAX_METRICS {
        problems.add(format!("{path}.metrics"), role.metrics.len(), "metrics", "write at most 10");
    }
    if role.metrics.is_empty() && min != max {
        problems.missing(
            format!("{path}.metrics"),
            format_args!("write at least one metric, or set minReplicas and maxReplicas to the same count (now {min} and {max})"),
        );
    }
    for (index, entry) in role.metrics.iter().enumerate() {
        let path = format!("{path}.metrics[{index}]");
        policy.metrics.extend(metric::validate(problems, &path, entry));
    }
    policy.throughput = throughput(problems, path, role);
    policy.behavior =
        role.behavior.as_ref().map(|wire| behavior::validate(problems, &format!("{path}.behavior"), wire));
    policy.fallback =
        role.fallback.as_ref().map(|wire| fallback(problems, &format!("{path}.fallback"), wire, &policy));
    policy.scale_to_zero = role
        .scale_to_zero
        .as_ref()
        .map(|wire| scale_to_zero(problems, &format!("{path}.scaleToZero"), wire, &policy, spec));
    if let Some(min @ 0) = role.min_replicas {
        zero_minimum(problems, &format!("{path}.minReplicas"), min, &policy);
    }
    policy
}

/// Checks that a minimum of zero can be left again.
pub(super) fn zero_minimum(problems: &mut Problems, path: &str, min: i32, policy: &RolePolicy) {
    if policy.scale_to_zero.is_some() {
        problems.add(
            path,
            min,
            "is what scaleToZero is for: with it, this is the least count while awake",
            format_args!("write {} or more", policy.gang),
        );
    } else if !policy.metrics.iter().any(|metric| metric::works_from_zero(metric, &policy.name)) {
        problems.advise(
            path,
            min,
            "cannot be left again: no metric is measured without replicas",
            "add an Object or External metric or the total of another role, or write 1 or more, or use scaleToZero",
        );
    }
}

fn gang(problems: &mut Problems, path: &str, role: &RoleSpec) -> GangSize {
    let Some(spec) = &role.gang else { return GangSize::ONE };
    let size = u32::try_from(spec.replicas).ok().and_then(GangSize::new);
    if size.is_none() {
        problems.add(
            format!("{path}.gang.replicas"),
            spec.replicas,
            "is not a number of replicas that can be added together",
            "write 1 or more",
        );
    }
    size.unwrap_or_default()
}

/// Checks a count: at least `least`, and whole gangs.
pub(super) fn count(problems: &mut Problems, path: &str, value: i32, least: u32, gang: GangSize) -> Replicas {
    let Some(count) = u32::try_from(value).ok().filter(|count| *count >= least) else {
        problems.add(path, value, format_args!("is below {least}"), format_args!("write {least} or more"));
        return gang.ceil_to_gang(Replicas::new(least));
    };
    let count = Replicas::new(count);
    let (below, above) = (gang.floor_to_gang(count), gang.ceil_to_gang(count));
    if below != above {
        let fix =
            if below.get() < least { format!("write {above}") } else { format!("write {below} or {above}") };
        problems.add(path, value, format_args!("is no multiple of the gang of {gang}"), fix);
        return above;
    }
    count
}

fn fallback(problems: &mut Problems, path: &str, spec: &FallbackSpec, role: &RolePolicy) -> Fallback {
    let after = problems.positive(format!("{path}.after"), spec.after);
    let path = format!("{path}.replicas");
    let replicas = count(problems, &path, spec.replicas, 0, role.gang);
    at_most(problems, &path, replicas, role.bounds.max);
    Fallback { after, replicas }
}

fn at_most(problems: &mut Problems, path: &str, count: Replicas, max: Replicas) {
    if count > max {
        problems.add(
            path,
            count,
            format_args!("is above maxReplicas {max}"),
            format_args!("write {max} or less"),
        );
    }
}

fn scale_to_zero(
    problems: &mut Problems,
    path: &str,
    spec: &ScaleToZeroSpec,
    role: &RolePolicy,
    all: &RoleBasedGroupAutoscalerSpec,
) -> ScaleToZero {
    let idle_after = problems.positive(format!("{path}.idleAfter"), spec.idle_after);
    if spec.wake_on.is_empty() || spec.wake_on.len() > MAX_METRICS {
        problems.add(
            format!("{path}.wakeOn"),
            spec.wake_on.len(),
            "signals could wake the role",
            "name 1 to 10 signals that live outside of it, such as {name: queue_length, role: router}",
        );
    }
    let mut wake_on = Vec::with_capacity(spec.wake_on.len());
    for (index, entry) in spec.wake_on.iter().enumerate() {
        let path = format!("{path}.wakeOn[{index}]");
        wake_on.extend(metric::validate_wake(problems, &path, entry, &role.name, all));
    }
    let mut sleep = ScaleToZero::new(idle_after, wake_on);
    if let Some(wake_to) = spec.wake_to {
        let path = format!("{path}.wakeTo");
        let wake_to = count(problems, &path, wake_to, 1, role.gang);
        at_most(problems, &path, wake_to, role.bounds.max);
        if wake_to < role.bounds.min {
            problems.add(
                path,
                wake_to,
                format_args!("is below minReplicas {}, the least count while awake", role.bounds.min),
                format_args!("write {} or more", role.bounds.min),
            );
        }
        sleep.wake_to = Some(wake_to);
    }
    sleep
}

fn throughput(problems: &mut Problems, path: &str, role: &RoleSpec) -> Throughput {
    let used = role.metrics.iter().any(|entry| entry.name.as_deref() == Some(metric::TOKEN_UTILIZATION));
    let path = format!("{path}.throughput");
    let Some(spec) = &role.throughput else {
        if used {
            problems.missing(
                path,
                "token_utilization needs what one replica sustains: write promptTokensPerSecond, \
                 generationTokensPerSecond or both",
            );
        }
        return Throughput::default();
    };
    if !used {
        problems.add(
            path.as_str(),
            "throughput",
            "is only used by the metric token_utilization",
            "add that metric or remove throughput",
        );
    }
    let entries = [
        ("promptTokensPerSecond", spec.prompt_tokens_per_second),
        ("generationTokensPerSecond", spec.generation_tokens_per_second),
    ];
    if entries.iter().all(|(_, value)| value.is_none()) {
        problems.missing(path.as_str(), "write promptTokensPerSecond, generationTokensPerSecond or both");
    }
    for (name, value) in entries {
        if let Some(value) = value.filter(|value| *value <= MilliValue::ZERO) {
            problems.add(
                format!("{path}.{name}"),
                value,
                "is not above zero",
                "write what one replica sustains, such as \"6500\", or leave it out",
            );
        }
    }
    Throughput { prompt: spec.prompt_tokens_per_second, generation: spec.generation_tokens_per_second }
}
