//! From a random group to the snapshot document that tells it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::case::{GroupCase, MetricCase, ReplicaCase, RoleCase, RulesCase};
use crate::{api::rbg, vectors::now};

/// The name of the role at a place.
pub(super) fn name(place: usize) -> String {
    format!("role{place}")
}

/// Tokens per second that one replica sustains.
const PROMPT: u64 = 1000;
const GENERATION: u64 = 250;

fn ago(seconds: u32) -> Timestamp {
    now().checked_sub(SignedDuration::from_secs(seconds.into())).expect("a time")
}

/// The document of a group.
pub(super) fn of(case: &GroupCase) -> Value {
    let roles: Vec<Value> = case.roles.iter().enumerate().map(|(place, role)| policy(place, role)).collect();
    let seen = case.roles.iter().enumerate().map(|(place, role)| (name(place), seen(place, role)));
    let bound = |bound: &Option<(u32, u32)>| bound.map(|(first, second)| format!("{first}:{second}"));
    let schedules = case.schedules.iter().enumerate().map(|(at, given)| schedule(at, given, case));
    let ratios: Vec<Value> = case
        .ratios
        .iter()
        .map(|(first, second, min, max)| json!({"roles": [name(*first), name(*second)], "min": bound(min), "max": bound(max)}))
        .collect();
    let mut document = json!({
        "now": now().to_string(),
        "autoscaler": {"spec": {
            "groupRef": {"name": "group"},
            "mode": case.mode,
            "hold": case.hold,
            "roles": roles,
            "ratios": ratios,
            "schedules": schedules.collect::<Vec<_>>(),
            "capacity": {"mode": if case.fit { "Fit" } else { "Optimistic" }, "pendingTimeout": "5m"},
        }},
        "roles": seen.collect::<serde_json::Map<_, _>>(),
    });
    if let Some(nodes) = &case.nodes {
        let node = |(at, gpus): (usize, &u32)| json!({"metadata": {"name": format!("n{at}")}, "status": {"allocatable": {"nvidia.com/gpu": gpus.to_string(), "pods": "100"}}});
        let other = |(at, (on, gpus)): (usize, &(Option<usize>, u32))| {
            let mut pod = json!({
                "metadata": {"name": format!("other-{at}")},
                "spec": {"priority": 5, "containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": gpus}}}]},
                "status": {"phase": if on.is_some() { "Running" } else { "Pending" }},
            });
            if let Some(node) = on {
                pod["spec"]["nodeName"] = json!(format!("n{node}"));
            }
            pod
        };
        document["capacity"] = json!({
            "nodes": nodes.iter().enumerate().map(node).collect::<Vec<_>>(),
            "pods": case.others.iter().enumerate().map(other).collect::<Vec<_>>(),
        });
    }
    document
}

/// The window of a schedule that holds all day, or of the next hour.
fn schedule(at: usize, (holds, role, min, more): &(bool, usize, u32, u32), case: &GroupCase) -> Value {
    let (gang, floor) =
        case.roles.get(*role).map_or((1, 0), |role| (role.gang, u32::from(role.zero.is_some())));
    let min = (*min).max(floor);
    let (from, to) = if *holds { ("00:00", "00:00") } else { ("11:00", "12:00") };
    json!({
        "name": format!("schedule{at}"), "from": from, "to": to,
        "roles": [{"name": name(*role), "minReplicas": min * gang, "maxReplicas": (min + more).max(1) * gang}],
    })
}

fn policy(place: usize, role: &RoleCase) -> Value {
    let mut policy = json!({
        "name": name(place),
        "minReplicas": role.min * role.gang,
        "maxReplicas": (role.min + role.more) * role.gang,
        "gang": {"replicas": role.gang},
        "metrics": role.metrics.iter().enumerate().map(|(at, given)| metric(at, given)).collect::<Vec<_>>(),
    });
    if role.metrics.iter().any(|metric| metric.kind == "tokens") {
        policy["throughput"] =
            json!({"promptTokensPerSecond": PROMPT, "generationTokensPerSecond": GENERATION});
    }
    if let Some(behavior) = &role.behavior {
        policy["behavior"] = json!({"scaleUp": rules(&behavior.up), "scaleDown": rules(&behavior.down)});
    }
    if let Some((after, gangs)) = role.fallback {
        policy["fallback"] = json!({"after": format!("{after}s"), "replicas": gangs * role.gang});
    }
    if let Some(zero) = &role.zero {
        policy["scaleToZero"] = json!({
            "idleAfter": format!("{}s", zero.idle_after),
            "wakeOn": [{"name": "queue_length", "role": "router"}],
            "wakeTo": zero.wake_to.map(|gangs| gangs * role.gang),
        });
    }
    policy
}

fn rules(given: &RulesCase) -> Value {
    let mut rules = json!({});
    if let Some(select) = given.select {
        rules["selectPolicy"] = json!(select);
    }
    if let Some(window) = given.window {
        rules["stabilizationWindowSeconds"] = json!(window);
    }
    if let Some(tolerance) = given.tolerance {
        rules["tolerance"] = json!(format!("{tolerance}m"));
    }
    if !given.policies.is_empty() {
        let policy = |(kind, value, period): &(&str, u32, u32)| json!({"type": kind, "value": value, "periodSeconds": period});
        rules["policies"] = given.policies.iter().map(policy).collect();
    }
    rules
}

fn metric(at: usize, given: &MetricCase) -> Value {
    let signal = format!("signal_{at}");
    let average = json!({"type": "AverageValue", "averageValue": given.target});
    match given.kind {
        "signal" => json!({"name": signal, "target": given.target}),
        "total" => json!({"name": signal, "target": given.target, "role": "router"}),
        "tokens" => {
            let mut metric =
                json!({"name": "token_utilization", "target": format!("{}m", given.target * 10)});
            if given.target.is_multiple_of(2) {
                metric["lookahead"] = json!("1m");
            }
            metric
        }
        "pods" => json!({"type": "Pods", "pods": {"metric": {"name": signal}, "target": average}}),
        "cpu" => {
            json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": given.target}}})
        }
        "object" => {
            json!({"type": "Object", "object": {"metric": {"name": signal}, "describedObject": {"kind": "Service", "name": "s"}, "target": average}})
        }
        _ => json!({"type": "External", "external": {"metric": {"name": signal}, "target": average}}),
    }
}

/// The pods of a replica; the first reports.
pub(super) fn pod_name(place: usize, ordinal: usize, member: u32) -> String {
    format!("{}-{ordinal}-{member}", name(place))
}

fn seen(place: usize, role: &RoleCase) -> Value {
    let members = |(at, given)| (0..role.pods).map(move |member| pod(place, role, (at, member), given));
    let pods: Vec<Value> = role.replicas.iter().enumerate().flat_map(members).collect();
    let status = role.current.saturating_add_signed(role.status_off);
    let mut seen = json!({
        "specReplicas": role.current,
        "statusReplicas": status,
        "podsPerReplica": role.pods,
        "rollingOut": role.rolling_out,
        "pods": pods,
        "readings": role.metrics.iter().map(|given| reading(place, role, given)).collect::<Vec<_>>(),
    });
    if role.templates {
        seen["templates"] = json!([{"count": role.pods, "spec": spec()}]);
    }
    if let Some(zero) = &role.zero {
        seen["wake"] = match zero.wake {
            Some(value) => json!([{"values": [value]}]),
            None => json!([{"error": "the router does not answer"}]),
        };
    }
    if role.seen {
        seen["history"] = history(role);
    }
    seen
}

fn spec() -> Value {
    json!({"containers": [{"name": "engine", "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "1"}}}]})
}

fn history(role: &RoleCase) -> Value {
    let entry = |(replicas, age): &(u32, u32)| json!({"replicas": replicas, "time": ago(*age).to_string()});
    let event = |(change, age): &(i32, u32)| {
        let from = 10_u32;
        json!({"from": from, "to": from.saturating_add_signed(*change), "time": ago(*age).to_string()})
    };
    let mut history = json!({
        "recommendations": role.recommendations.iter().map(entry).collect::<Vec<_>>(),
        "scaleEvents": role.events.iter().map(event).collect::<Vec<_>>(),
        "answeredAt": role.answered.map(|age| ago(age).to_string()),
        "idleSince": role.idle.map(|age| ago(age).to_string()),
        "rolloutSince": role.since.0.map(|age| ago(age).to_string()),
        "refusedSince": role.since.1.map(|age| ago(age).to_string()),
    });
    if let Some((attempts, age, left, replicas)) = role.rollback {
        let until = now().checked_add(SignedDuration::from_secs(left)).expect("a time");
        history["rollback"] = json!({"attempts": attempts, "at": ago(age).to_string(), "until": until.to_string(), "replicas": replicas});
    }
    history
}

fn pod(place: usize, role: &RoleCase, (ordinal, member): (usize, u32), given: &ReplicaCase) -> Value {
    let since = ago(given.age).to_string();
    let started = ago(given.age.saturating_add(20)).to_string();
    let ready = |status: &str| json!({"type": "Ready", "status": status, "lastTransitionTime": since});
    let (phase, conditions) = match given.state {
        "loading" => ("Running", vec![ready("False")]),
        "pending" => ("Pending", vec![]),
        "unschedulable" => (
            "Pending",
            vec![
                json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": since}),
            ],
        ),
        "failed" => ("Failed", vec![ready("False")]),
        _ => ("Running", vec![ready("True")]),
    };
    let bound = !matches!(given.state, "unschedulable" | "pending");
    let instance = format!("{}-{ordinal}", name(place));
    let mut labels =
        json!({rbg::ROLE_INSTANCE_NAME: instance, rbg::ROLE_INSTANCE_INDEX: ordinal.to_string()});
    if role.pods > 1 {
        labels[rbg::COMPONENT_INDEX] = json!(member.to_string());
    }
    let mut pod = json!({
        "metadata": {"name": pod_name(place, ordinal, member), "labels": labels},
        "spec": spec(),
        "status": {"phase": phase, "startTime": started, "conditions": conditions},
    });
    if bound {
        pod["spec"]["nodeName"] = json!(format!("n{}", ordinal % 3));
    }
    if given.state == "deleted" {
        pod["metadata"]["deletionTimestamp"] = json!(now().to_string());
    }
    pod
}

/// A value in thousandths of the target, as a quantity; usage of cpu is in thousandths of a core.
fn quantity(given: &MetricCase, share: u32) -> String {
    if given.kind == "cpu" {
        return format!("{}m", u64::from(share) * u64::from(given.target) / 100);
    }
    format!("{}m", u64::from(share) * u64::from(given.target))
}

fn reading(place: usize, role: &RoleCase, given: &MetricCase) -> Value {
    if given.failed {
        return json!({"error": "prometheus: connection refused"});
    }
    let sources = usize::try_from(role.current).unwrap_or(0).clamp(1, given.values.len());
    let shares = given.values.iter().take(sources).flatten();
    if given.kind == "tokens" {
        return tokens(given, shares.map(|share| u64::from(*share)).sum(), sources);
    }
    if !matches!(given.kind, "signal" | "pods" | "cpu") {
        // A sum over as many sources as the role has replicas.
        let values: Vec<String> = shares.map(|share| quantity(given, *share)).collect();
        let reported = values.len();
        return json!({"values": values, "expected": reported + usize::from(given.silent), "reported": reported});
    }
    let sample = |(at, share): (usize, u32)| {
        let members = if given.kind == "cpu" { role.pods } else { 1 };
        (0..members).map(move |member| {
            let mut sample =
                json!({"pod": pod_name(place, at, member), "timestamp": now().to_string(), "window": "10s"});
            if given.kind == "cpu" {
                sample["containers"] = json!({"engine": quantity(given, share)});
            } else {
                sample["value"] = json!(quantity(given, share));
            }
            sample
        })
    };
    let samples = given.values.iter().take(role.replicas.len()).enumerate();
    json!({"samples": samples.filter_map(|(at, share)| Some(sample((at, (*share)?)))).flatten().collect::<Vec<_>>()})
}

/// Token rates that make so many thousandths of the target's work: half of it prompts, half of it answers.
fn tokens(given: &MetricCase, shares: u64, sources: usize) -> Value {
    let rate = |throughput: u64, tenths: u64| {
        let milli = shares * u64::from(given.target) * throughput * tenths / 2000;
        format!("{milli}m")
    };
    let rates = |throughput: u64| json!({"short": rate(throughput, 10), "long": rate(throughput, 9)});
    json!({
        "promptTokensPerSecond": rates(PROMPT),
        "generationTokensPerSecond": rates(GENERATION),
        "pendingTokens": rate(PROMPT, 20),
        "slopePerSecond": format!("{}u", shares / 10),
        "expected": sources + usize::from(given.silent),
        "reported": sources,
    })
}
