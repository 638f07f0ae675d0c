//! From [`ScalingSnapshot`] to what [`decide`] takes, and from its [`Decision`] to [`DecisionDocument`].

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::{
    DecisionDocument, RoleDecisionDocument, RoleSnapshot, ScalingSnapshot, SnapshotSettings, WriteDocument,
    quantities, reading, room,
};
use crate::{
    api::{
        autoscaler::{API_VERSION, InputError, KIND, Problem, read_policy},
        replica::{ReplicaFold, RolePod},
    },
    policy::{Policy, RolePolicy},
    scaling::{Decision, Observation, Reading, RoleHistory, RoleObservation, Settings, decide},
    units::Replicas,
};

/// What one decision takes.
#[derive(Clone, Debug)]
pub struct DecisionInput {
    /// The validated policy.
    pub policy: Policy,
    /// What is seen, in the order of the policy's roles.
    pub observation: Observation,
    /// What earlier decisions left, in the order of the policy's roles.
    pub history: Vec<RoleHistory>,
    /// The time of the decision.
    pub now: Timestamp,
    /// What is odd about the document but does not stand in the way.
    pub warnings: Vec<Problem>,
}

impl DecisionInput {
    /// Decides.
    pub fn decide(&self) -> Decision {
        decide(&self.policy, &self.observation, &self.history, self.now)
    }
}

impl ScalingSnapshot {
    /// Returns what one decision takes; `present` stands in for a missing `now`.
    ///
    /// Every complaint names the field, the value and the fix.
    pub fn into_input(self, present: Timestamp) -> Result<DecisionInput, InputError> {
        let mut problems = Vec::new();
        let now = self.now.unwrap_or(present);
        expect(&mut problems, "apiVersion", self.api_version.as_deref(), API_VERSION);
        expect(&mut problems, "kind", self.kind.as_deref(), "ScalingSnapshot");
        expect(&mut problems, "autoscaler.apiVersion", self.autoscaler.api_version.as_deref(), API_VERSION);
        expect(&mut problems, "autoscaler.kind", self.autoscaler.kind.as_deref(), KIND);
        let settings = settings(&mut problems, self.settings.unwrap_or_default());
        let inside = |problem: Problem| Problem { field: format!("autoscaler.{}", problem.field), ..problem };
        let (policy, advice) = match read_policy(&self.autoscaler.spec) {
            Ok((policy, advice)) => (
                policy.in_namespace(self.autoscaler.metadata.namespace.as_deref().unwrap_or_default()),
                advice,
            ),
            Err(error) => {
                problems.extend(error.problems.into_iter().map(inside));
                return Err(InputError { problems });
            }
        };
        let mut warnings: Vec<Problem> = advice.into_iter().map(inside).collect();
        let mut roles = self.roles;
        let mut observation = Observation { settings, ..Observation::default() };
        let mut history = Vec::with_capacity(policy.roles.len());
        let mut own = Vec::new();
        for role in &policy.roles {
            let Some(seen) = roles.remove(&role.name) else {
                let given: Vec<&str> = roles.keys().map(String::as_str).collect();
                problems.push(Problem {
                    field: format!("roles.{}", role.name),
                    message: format!(
                        "is missing, but the policy scales it; add what is seen of {} (given: {})",
                        role.name,
                        if given.is_empty() { "none".to_owned() } else { given.join(", ") }
                    ),
                });
                continue;
            };
            let path = format!("roles.{}", role.name);
            history.push(seen.history.clone().unwrap_or_default());
            if seen.absent == Some(true) {
                observation.roles.push(None);
                continue;
            }
            if self.capacity.is_some() {
                own.extend(seen.pods.iter().cloned());
            }
            observation.roles.push(Some(convert_role(&mut problems, &path, role, seen, &settings, now)));
        }
        warnings.extend(
            roles.keys().map(|name| Problem {
                field: format!("roles.{name}"),
                message: "is not scaled by the policy and not looked at; remove it, or add it to the policy"
                    .to_owned(),
            }),
        );
        if let Some(capacity) = &self.capacity {
            room::check(&mut problems, capacity);
        }
        observation.capacity = self.capacity.map(|capacity| room::convert(capacity, own));
        if problems.is_empty() {
            Ok(DecisionInput { policy, observation, history, now, warnings })
        } else {
            Err(InputError { problems })
        }
    }
}

fn expect(problems: &mut Vec<Problem>, field: &str, value: Option<&str>, want: &str) {
    if let Some(value) = value.filter(|value| *value != want) {
        problems.push(Problem {
            field: field.to_owned(),
            message: format!("{value:?} is not understood; write {want} or leave it out"),
        });
    }
}

fn settings(problems: &mut Vec<Problem>, wire: SnapshotSettings) -> Settings {
    let defaults = Settings::default();
    let mut number = |field: &str, value: Option<f64>, default: f64| {
        let value = value.unwrap_or(default);
        if value.is_finite() && value >= 0.0 {
            return value;
        }
        problems.push(Problem {
            field: format!("settings.{field}"),
            message: format!("{value} is below zero; write a number such as {default}"),
        });
        default
    };
    let limit = wire.scale_up_limit.unwrap_or_default();
    Settings {
        tolerance: number("tolerance", wire.tolerance, defaults.tolerance),
        scale_up_factor: number("scaleUpLimit.factor", limit.factor, defaults.scale_up_factor),
        scale_up_minimum: number("scaleUpLimit.minimum", limit.minimum, defaults.scale_up_minimum),
        cpu_initialization_period: wire
            .cpu_initialization_period
            .map_or(defaults.cpu_initialization_period, Into::into),
        initial_readiness_delay: wire
            .initial_readiness_delay
            .map_or(defaults.initial_readiness_delay, Into::into),
        downscale_stabilization: wire
            .downscale_stabilization
            .map_or(defaults.downscale_stabilization, Into::into),
        pod_level_resources: wire.pod_level_resources.unwrap_or(defaults.pod_level_resources),
    }
}

fn convert_role(
    problems: &mut Vec<Problem>,
    path: &str,
    policy: &RolePolicy,
    seen: RoleSnapshot,
    settings: &Settings,
    now: Timestamp,
) -> RoleObservation {
    let mut count = |field: &str, value: Option<i32>, least: u32| {
        let value = value?;
        let read = u32::try_from(value).ok().filter(|count| *count >= least);
        if read.is_none() {
            problems.push(Problem {
                field: format!("{path}.{field}"),
                message: format!("{value} is below {least}; write {least} or more"),
            });
        }
        read
    };
    let spec = count("specReplicas", seen.spec_replicas, 0);
    let status = count("statusReplicas", seen.status_replicas, 0);
    let pods_per_replica = count("podsPerReplica", seen.pods_per_replica, 1);
    let templates: Vec<_> = seen
        .templates
        .into_iter()
        .enumerate()
        .map(|(index, template)| {
            (count(&format!("templates[{index}].count"), Some(template.count), 1).unwrap_or(1), template.spec)
        })
        .collect();
    for (index, (_, spec)) in templates.iter().enumerate() {
        quantities::of_pod(problems, &format!("{path}.templates[{index}].spec"), spec);
    }
    pod_names(problems, path, &seen.pods);
    quantities::of_pods(problems, path, &seen.pods);
    let of_templates = templates.iter().map(|(count, _)| *count).sum::<u32>();
    let pods_per_replica = pods_per_replica.unwrap_or(of_templates.max(1));
    let pods: Vec<_> = seen.pods.into_iter().map(|pod| RolePod::new(pod, Arc::new)).collect();
    let folded = ReplicaFold::of(&pods, pods_per_replica);
    let existing = u32::try_from(folded.replicas.iter().filter(|replica| !replica.is_ignored()).count());
    let spec = spec.or(status).unwrap_or(existing.unwrap_or(u32::MAX));
    let context = reading::Context { fold: &folded, settings, now };
    let readings =
        convert_readings(problems, &format!("{path}.readings"), policy.metrics.len(), seen.readings, {
            |problems, path, index, wire| {
                reading::of_metric(problems, path, &policy.metrics[index], wire, &context)
            }
        });
    let signals = policy.scale_to_zero.as_ref().map_or(0, |rule| rule.wake_on.len());
    let wake =
        convert_readings(problems, &format!("{path}.wake"), signals, seen.wake, |problems, path, _, wire| {
            reading::of_wake(problems, path, wire)
        });
    RoleObservation {
        spec_replicas: Replicas::new(spec),
        status_replicas: Replicas::new(status.unwrap_or(spec)),
        pods_per_replica,
        rolling_out: seen.rolling_out.unwrap_or(false),
        readings,
        wake,
        templates: if templates.is_empty() { folded.templates(pods_per_replica) } else { templates },
        replicas: folded.replicas,
    }
}

/// Complains about pods without a name, and about two of the same name: samples could not be told apart.
fn pod_names(problems: &mut Vec<Problem>, path: &str, pods: &[Pod]) {
    let mut known = HashSet::with_capacity(pods.len());
    for (index, pod) in pods.iter().enumerate() {
        let field = format!("{path}.pods[{index}].metadata.name");
        match pod.metadata.name.as_deref().filter(|name| !name.is_empty()) {
            None => {
                let message = "is missing; write the name of the pod".to_owned();
                problems.push(Problem { field, message });
            }
            Some(name) if !known.insert(name) => {
                let message = format!("{name:?} is there twice; write each pod once");
                problems.push(Problem { field, message });
            }
            Some(_) => {}
        }
    }
}

fn convert_readings(
    problems: &mut Vec<Problem>,
    path: &str,
    expected: usize,
    wire: Vec<Option<super::ReadingSnapshot>>,
    mut convert: impl FnMut(&mut Vec<Problem>, &str, usize, super::ReadingSnapshot) -> Reading,
) -> Vec<Reading> {
    if wire.len() > expected {
        problems.push(Problem {
            field: format!("{path}[{expected}]"),
            message: format!(
                "answers nothing: the policy names {expected} here, {} are given; remove the last or add to the policy",
                wire.len()
            ),
        });
    }
    wire.into_iter()
        .take(expected)
        .enumerate()
        .map(|(index, wire)| {
            wire.map_or_else(Reading::default, |wire| {
                convert(problems, &format!("{path}[{index}]"), index, wire)
            })
        })
        .collect()
}

impl DecisionDocument {
    /// Returns a decision as a document.
    pub fn new(policy: &Policy, decision: Decision) -> Self {
        let name = |index: usize| policy.roles.get(index).map(|role| role.name.clone()).unwrap_or_default();
        Self {
            writes: decision
                .writes
                .into_iter()
                .map(|write| WriteDocument { role: name(write.role), from: write.from, to: write.to })
                .collect(),
            roles: decision
                .roles
                .into_iter()
                .enumerate()
                .filter_map(|(index, role)| {
                    let role = role?;
                    let schedule = role.active_schedule.and_then(|index| policy.schedules.get(index));
                    let document = RoleDecisionDocument {
                        current_replicas: role.current_replicas,
                        desired_replicas: role.desired_replicas,
                        recommended_replicas: role.recommended_replicas,
                        active_schedule: schedule.map(|schedule| schedule.name.clone()),
                        metrics: role.metrics,
                        decision: role.steps,
                        conditions: role.conditions,
                        history: role.history,
                    };
                    Some((name(index), document))
                })
                .collect(),
            conditions: decision.conditions,
            recheck_at: decision.recheck_at,
        }
    }
}
