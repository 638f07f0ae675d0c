//! [`Account`]: everything that is told of a group, as data; `-o json` prints it, [`super::paint`] writes it for people.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{MetricTarget, MetricValueStatus};
use rbg_autoscaler::{
    api::{
        autoscaler::RoleBasedGroupAutoscalerStatus,
        snapshot::{DecisionDocument, DecisionInput, RoleDecisionDocument, TrailPoint},
    },
    policy::{Bounds, Mode, Policy, ScalingRules, Tolerance},
    scaling::{
        Condition, MetricStatus, Phase, Reading, ReadyStatus, ReplicaObservation, RoleObservation, Step,
    },
    units::{MilliValue, Replicas},
};
use serde::Serialize;

use super::{
    advice,
    outlook::{Outlook, View},
};

/// Everything that is told of a group.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    pub namespace: String,
    pub policy: String,
    pub group: String,
    pub mode: &'static str,
    pub now: Timestamp,
    pub roles: Vec<RoleAccount>,
    pub conditions: Vec<Told>,
    /// In what a decision on the snapshot differs from the live one; never, if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// What is told of one role.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoleAccount {
    pub name: String,
    pub current_replicas: Replicas,
    pub desired_replicas: Replicas,
    /// What the metrics ask for, before limits.
    pub recommended_replicas: Replicas,
    pub ready_replicas: usize,
    pub starting_replicas: usize,
    pub pending_replicas: usize,
    pub min_replicas: Replicas,
    pub max_replicas: Replicas,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_schedule: Option<String>,
    /// The step: "4 replicas × 4 pods = 16 pods".
    pub step: String,
    /// What happens, in a few words.
    pub verdict: String,
    pub trail: Vec<TrailPoint>,
    pub metrics: Vec<MetricAccount>,
    /// The stages that changed the number.
    pub stages: Vec<Step>,
    /// What would change the count.
    pub next: Vec<Outlook>,
    pub conditions: Vec<Told>,
}

/// What is told of one metric.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetricAccount {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The formula with its numbers.
    pub formula: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposed_replicas: Option<i32>,
    /// Whether its answer is the role's: no metric asks for more, and none before it for as much.
    pub decides: bool,
    /// Whether it asks for as much as the one that decides.
    pub agrees: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who the value is of.
    pub sources: Vec<SourceAccount>,
}

/// A replica, or a source of a total, behind a value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceAccount {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<i64>,
    pub state: String,
}

/// A condition, with what it means and what to do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    #[serde(flatten)]
    pub condition: Condition,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
}

/// What an account is made from.
pub(super) struct Material<'a> {
    pub namespace: String,
    pub policy: String,
    pub input: &'a DecisionInput,
    pub decision: &'a DecisionDocument,
    /// What a controller says besides; absent when a document is explained.
    pub status: Option<&'a RoleBasedGroupAutoscalerStatus>,
    pub trail: BTreeMap<String, Vec<TrailPoint>>,
    pub warning: Option<String>,
}

impl Account {
    /// Tells everything.
    pub(super) fn of(mut material: Material<'_>) -> Self {
        let policy = &material.input.policy;
        let mut roles = Vec::with_capacity(policy.roles.len());
        for (place, role) in policy.roles.iter().enumerate() {
            let seen = material.input.observation.roles.get(place).and_then(Option::as_ref);
            let (Some(seen), Some(decided)) = (seen, material.decision.roles.get(&role.name)) else {
                continue;
            };
            let trail = material.trail.remove(&role.name).unwrap_or_default();
            roles.push(material.role(place, seen, decided, trail));
        }
        let conditions = material.status.map_or(&material.decision.conditions, |status| &status.conditions);
        Self {
            namespace: material.namespace,
            policy: material.policy,
            group: policy.group.clone(),
            mode: match policy.mode {
                Mode::Enforce => "Enforce",
                Mode::Recommend => "Recommend",
                Mode::Disabled => "Disabled",
            },
            now: material.input.now,
            roles,
            conditions: told(conditions),
            warning: material.warning,
        }
    }
}

impl Material<'_> {
    /// How far a metric's ratio may be from 1; none for token work, which is taken exactly.
    fn tolerance(&self, place: usize, reading: Option<&Reading>) -> Option<Tolerances> {
        if matches!(reading, Some(Reading::Tokens(_))) {
            return None;
        }
        let both = self.input.observation.settings.tolerance;
        let behavior = self.input.policy.roles.get(place).and_then(|role| role.behavior.as_ref());
        let of = |rules: Option<&ScalingRules>| {
            rules.and_then(|rules| rules.tolerance).map_or(both, Tolerance::get)
        };
        let up = of(behavior.map(|behavior| &behavior.up));
        Some(Tolerances { up, down: of(behavior.map(|behavior| &behavior.down)) })
    }

    fn role(
        &self,
        place: usize,
        seen: &RoleObservation,
        decided: &RoleDecisionDocument,
        trail: Vec<TrailPoint>,
    ) -> RoleAccount {
        let policy = &self.input.policy;
        let name = policy.roles.get(place).map(|role| role.name.clone()).unwrap_or_default();
        let bounds = bounds(policy, place, decided.active_schedule.as_deref());
        let gang = policy.roles.get(place).map_or(1, |role| role.gang.get());
        let is_silent = decided.metrics.iter().any(|metric| metric.proposed_replicas.is_none());
        let most = decided.metrics.iter().filter_map(|metric| metric.proposed_replicas).max();
        // While a metric is silent the others cannot lower.
        let most = most
            .filter(|most| !is_silent || *most > i32::try_from(seen.spec_replicas.get()).unwrap_or(i32::MAX));
        let asks_most = |status: &MetricStatus| most.is_some() && status.proposed_replicas == most;
        // Of equal answers the first decides, but the last of those that ask for nothing, as with the HPA.
        let winner = match most {
            Some(0) => decided.metrics.iter().rposition(asks_most),
            _ => decided.metrics.iter().position(asks_most),
        };
        let metrics = decided.metrics.iter().enumerate().map(|(index, status)| {
            let reading = seen.readings.get(index);
            let tolerance = self.tolerance(place, reading);
            MetricAccount {
                name: status.name.clone(),
                value: status.current.as_ref().and_then(current),
                target: status.target.as_ref().and_then(target),
                formula: formula(status, seen, tolerance),
                proposed_replicas: status.proposed_replicas,
                decides: winner == Some(index),
                agrees: asks_most(status) && winner != Some(index),
                missing_replicas: status.missing_replicas,
                error: status.error.clone(),
                sources: reading.map_or_else(Vec::new, |reading| sources(reading, seen, self.input.now)),
            }
        });
        let status = self.status.and_then(|status| status.roles.iter().find(|role| role.name == name));
        let conditions = status.map_or(&decided.conditions, |status| &status.conditions);
        let view = View {
            input: self.input,
            role: place,
            current: decided.current_replicas,
            desired: decided.desired_replicas,
        };
        let count = |such: &dyn Fn(&ReplicaObservation) -> bool| {
            seen.replicas.iter().filter(|replica| !replica.deleted && such(replica)).count()
        };
        RoleAccount {
            current_replicas: decided.current_replicas,
            desired_replicas: decided.desired_replicas,
            recommended_replicas: decided.recommended_replicas,
            ready_replicas: seen.ready_replicas(),
            starting_replicas: count(&|replica| {
                replica.phase == Phase::Running && !replica.is_running_ready()
            }),
            pending_replicas: count(&|replica| replica.phase == Phase::Pending),
            min_replicas: bounds.min,
            max_replicas: bounds.max,
            active_schedule: decided.active_schedule.clone(),
            step: step(gang, seen.pods_per_replica),
            verdict: verdict(policy.mode, decided, is_silent),
            trail,
            metrics: metrics.collect(),
            stages: decided.decision.clone(),
            next: view.outlook(&decided.decision),
            conditions: told(conditions),
            name,
        }
    }
}

/// How far a ratio may be from 1 before it counts.
#[derive(Clone, Copy)]
struct Tolerances {
    up: f64,
    down: f64,
}

fn verdict(mode: Mode, decided: &RoleDecisionDocument, is_silent: bool) -> String {
    let (current, desired) = (decided.current_replicas, decided.desired_replicas);
    let would = if mode == Mode::Enforce { "" } else { "would " };
    let s = if mode == Mode::Enforce { "s" } else { "" };
    let moves = match desired.cmp(&current) {
        std::cmp::Ordering::Greater => format!("{would}raise{s} {current} → {desired}"),
        std::cmp::Ordering::Less => format!("{would}lower{s} {current} → {desired}"),
        std::cmp::Ordering::Equal if current == Replicas::ZERO => "stays at 0".to_owned(),
        std::cmp::Ordering::Equal => format!("stays at {current}"),
    };
    if decided.recommended_replicas == desired {
        return moves;
    }
    let who = if is_silent { "the metrics that answer" } else { "the metrics" };
    format!("{moves}; {who} ask for {}", decided.recommended_replicas)
}

/// The bounds of the time: the policy's, or the active schedule's.
fn bounds(policy: &Policy, place: usize, schedule: Option<&str>) -> Bounds {
    let own = policy.roles.get(place).map_or_else(Bounds::default, |role| role.bounds);
    let schedule = schedule.and_then(|name| policy.schedules.iter().find(|schedule| schedule.name == name));
    let scheduled = schedule.and_then(|schedule| schedule.roles.iter().find(|bounds| bounds.role == place));
    Bounds {
        min: scheduled.and_then(|bounds| bounds.min).unwrap_or(own.min),
        max: scheduled.and_then(|bounds| bounds.max).unwrap_or(own.max),
    }
}

fn step(gang: u32, pods: u32) -> String {
    let counted = |count: u32, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let all = gang.saturating_mul(pods);
    format!("{} × {} = {}", counted(gang, "replica"), counted(pods, "pod"), counted(all, "pod"))
}

fn told(conditions: &[Condition]) -> Vec<Told> {
    let with_advice = conditions.iter().map(|condition| {
        let known = advice::of(condition);
        Told {
            condition: condition.clone(),
            meaning: known.map(|(meaning, _)| meaning),
            advice: known.and_then(|(_, advice)| advice),
        }
    });
    with_advice.collect()
}

/// The formula with its numbers; the count that the ratio is multiplied with only where it gives the proposal.
fn formula(status: &MetricStatus, seen: &RoleObservation, tolerance: Option<Tolerances>) -> String {
    let Some(proposed) = status.proposed_replicas else { return "no answer".to_owned() };
    let numbers = status.current.as_ref().zip(status.target.as_ref());
    let Some((value, wanted, shown)) = numbers.and_then(|(value, target)| numbers_of(value, target)) else {
        return format!("asks for {proposed}");
    };
    if wanted <= 0.0 {
        return format!("{shown} → {proposed}");
    }
    let ratio = value / wanted;
    let text = format!("{shown} = {}", decimal(ratio));
    let ready = f64::from(u32::try_from(seen.ready_replicas()).unwrap_or(u32::MAX));
    let counts = [ready, f64::from(seen.status_replicas.get()), f64::from(seen.spec_replicas.get())];
    let proposal = f64::from(proposed);
    let gives = |count: f64| count > 0.0 && ((ratio * count - 1e-9).ceil() - proposal).abs() < 0.5;
    let stays = u32::try_from(proposed) == Ok(seen.spec_replicas.get());
    let allowed = tolerance.map_or(0.0, |tolerance| if ratio > 1.0 { tolerance.up } else { tolerance.down });
    if stays && allowed > 0.0 && (ratio - 1.0).abs() <= allowed + 1e-9 {
        return format!("{text}, within {} % of 1 → {proposed}", decimal(allowed * 100.0));
    }
    match counts.into_iter().find(|count| gives(*count)) {
        Some(count) => {
            let replicas = if count > 1.0 { "replicas" } else { "replica" };
            format!("{text}, × {count} {replicas} = {} → {proposed}", decimal(ratio * count))
        }
        None => match status.missing_replicas.filter(|missing| *missing > 0) {
            Some(missing) => {
                format!("{text}, {missing} without a value counted against a change → {proposed}")
            }
            None => format!("{text} → {proposed}"),
        },
    }
}

/// Value and target as numbers, and how their division is written.
fn numbers_of(value: &MetricValueStatus, target: &MetricTarget) -> Option<(f64, f64, String)> {
    if let Some(percent) = target.average_utilization {
        let value = value.average_utilization?;
        return Some((f64::from(value), f64::from(percent), format!("{value} % ÷ {percent} %")));
    }
    let (value, target) = match &target.average_value {
        Some(target) => (value.average_value.as_ref()?, target),
        None => (value.value.as_ref()?, target.value.as_ref()?),
    };
    let (value, target) = (value.0.parse::<MilliValue>().ok()?, target.0.parse::<MilliValue>().ok()?);
    Some((value.as_f64(), target.as_f64(), format!("{} ÷ {}", plain(value), plain(target))))
}

fn current(value: &MetricValueStatus) -> Option<String> {
    let quantity = value.average_value.as_ref().or(value.value.as_ref());
    let text = || quantity.and_then(|quantity| quantity.0.parse().ok()).map(plain);
    value.average_utilization.map(|percent| format!("{percent}%")).or_else(text)
}

fn target(target: &MetricTarget) -> Option<String> {
    let quantity = target.average_value.as_ref().or(target.value.as_ref());
    let text = || quantity.and_then(|quantity| quantity.0.parse().ok()).map(plain);
    target.average_utilization.map(|percent| format!("{percent}%")).or_else(text)
}

/// Who a value is of.
fn sources(reading: &Reading, seen: &RoleObservation, now: Timestamp) -> Vec<SourceAccount> {
    let age = |time: Timestamp| now.duration_since(time).as_secs().max(0);
    match reading {
        Reading::Failed(_) => Vec::new(),
        Reading::Replicas(samples) => {
            let of_replica = |(index, replica): (usize, &ReplicaObservation)| {
                let sample = samples.samples.get(index).copied().flatten();
                SourceAccount {
                    name: replica.name.clone(),
                    value: sample.map(|sample| plain(sample.value)),
                    age_seconds: sample.map(|sample| age(sample.time)),
                    state: state(replica, sample.is_some()),
                }
            };
            seen.replicas.iter().enumerate().map(of_replica).collect()
        }
        Reading::Total(total) => {
            let sum = total.values.iter().copied().fold(MilliValue::ZERO, MilliValue::saturating_add);
            let answered = total.reported.map_or_else(
                || "the whole".to_owned(),
                |reported| format!("{reported} of {} answered", total.expected.unwrap_or(reported)),
            );
            let whole = SourceAccount {
                name: "total".to_owned(),
                value: (!total.values.is_empty()).then(|| plain(sum)),
                age_seconds: total.time.map(age),
                state: answered,
            };
            [whole].into_iter().chain(silent(&total.silent)).collect()
        }
        Reading::Tokens(tokens) => {
            let mut told = Vec::new();
            let rates = [("prompt tokens/s", tokens.prompt), ("generated tokens/s", tokens.generation)];
            for (name, pair) in rates {
                for (window, value) in [("short window", pair.short), ("long window", pair.long)] {
                    let Some(value) = value else { continue };
                    told.push(SourceAccount {
                        name: name.to_owned(),
                        value: Some(plain(value)),
                        age_seconds: tokens.time.map(age),
                        state: window.to_owned(),
                    });
                }
            }
            if let Some(pending) = tokens.pending_tokens {
                told.push(SourceAccount {
                    name: "pending tokens".to_owned(),
                    value: Some(plain(pending)),
                    age_seconds: tokens.time.map(age),
                    state: "now".to_owned(),
                });
            }
            told.extend(silent(&tokens.silent));
            told
        }
    }
}

fn silent(pods: &[String]) -> impl Iterator<Item = SourceAccount> {
    pods.iter().map(|pod| SourceAccount {
        name: pod.clone(),
        value: None,
        age_seconds: None,
        state: "ready and silent".to_owned(),
    })
}

fn state(replica: &ReplicaObservation, has_sample: bool) -> String {
    if replica.deleted {
        return "being deleted".to_owned();
    }
    if let Some(message) = replica.unschedulable_since.and(replica.unschedulable_message.as_ref()) {
        return format!("unschedulable: {message}");
    }
    let ready = replica.ready.map(|ready| ready.status);
    let state = match (replica.phase, ready) {
        (Phase::Failed, _) => "failed",
        (Phase::Pending, _) => "pending",
        (Phase::Running, Some(ReadyStatus::True)) if !has_sample => "ready, no sample",
        (Phase::Running, Some(ReadyStatus::True)) => "ready",
        (_, Some(ReadyStatus::Unknown)) => "its node does not answer",
        (Phase::Running, _) => "starting",
        (Phase::Other, _) => "neither running nor failed",
    };
    state.to_owned()
}

/// A figure as people write it.
pub(super) fn plain(value: MilliValue) -> String {
    let text = format!("{:.3}", value.as_f64());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn decimal(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
