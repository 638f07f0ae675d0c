//! [`PolicyMemory`]: what is remembered of one policy between two decisions, and what a restart leaves of it.
//!
//! The stored status is the memory that survives. It is not written while nothing happens, so what it says of the time
//! since is filled in on recall, always to the side that lowers nothing.

mod role;

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use rbg_autoscaler::{
    api::autoscaler::{RoleBasedGroupAutoscaler, RoleBasedGroupAutoscalerStatus, RoleStatus},
    policy::{Policy, ScaleToZero},
    scaling::{Decision, Observation, Reading, Recommendation, RoleHistory},
    units::Replicas,
};

use self::role::RoleMemory;
use crate::{
    ask::{Answers, questions},
    cache::store::ObjectKey,
    report::Outcome,
    trail::Trail,
};

/// A stored history that ends this long ago does not cover the present any more.
const COVERED: SignedDuration = SignedDuration::from_secs(90);
/// Somebody who keeps changing a count is told of once in so long.
const TELL_AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// The least time between two writes of a status that only moved.
pub const QUIET: Duration = Duration::from_secs(60);

/// What is remembered of one policy.
#[derive(Clone, Debug)]
pub struct PolicyMemory {
    uid: String,
    generation: i64,
    /// The validated policy, or everything that is wrong with it.
    pub policy: Result<Arc<Policy>, String>,
    /// In the order of the policy's roles; `None` until the first decision.
    histories: Option<Vec<RoleHistory>>,
    /// The status as it is stored.
    pub status: Arc<RoleBasedGroupAutoscalerStatus>,
    /// The outcome that the stored status tells of, once one was found not to be worth another write.
    pub told: Option<Outcome>,
    /// When it was last written by us.
    pub written_at: Option<Timestamp>,
    /// What is remembered of each role besides, in no order that matters.
    roles: Vec<RoleMemory>,
    /// Whether the policy lets any role sleep.
    may_sleep: bool,
    /// Whether the policy asks the metrics APIs anything.
    pub asks: bool,
    /// What the metrics APIs answered and no decision has used yet.
    pub answers: Option<Answers>,
    /// Whether the last decision depended on the cluster's room.
    pub needs_room: bool,
    /// Since when more room would change the decision; `None` when it would not.
    pub waits_for_room: Option<Timestamp>,
}

impl PolicyMemory {
    /// Returns what can be known of a policy that is seen for the first time.
    pub fn new(autoscaler: &RoleBasedGroupAutoscaler) -> Self {
        let policy = validated(autoscaler);
        Self {
            uid: autoscaler.uid().unwrap_or_default(),
            generation: generation(autoscaler),
            may_sleep: may_sleep(&policy),
            asks: asks(autoscaler),
            policy,
            histories: None,
            status: Arc::new(autoscaler.status.clone().unwrap_or_default()),
            told: None,
            written_at: None,
            roles: Vec::new(),
            answers: None,
            needs_room: false,
            waits_for_room: None,
        }
    }

    /// Takes in the object as it is now: a new one of the same name is a stranger, an edited one keeps its histories.
    ///
    /// Returns whether the policy may be another one than before.
    pub fn refresh(&mut self, autoscaler: &RoleBasedGroupAutoscaler) -> bool {
        if autoscaler.metadata.uid.as_deref().unwrap_or_default() != self.uid {
            *self = Self::new(autoscaler);
            true
        } else if generation(autoscaler) != self.generation {
            let before = self.policy.clone();
            self.generation = generation(autoscaler);
            self.policy = validated(autoscaler);
            self.may_sleep = may_sleep(&self.policy);
            self.asks = asks(autoscaler);
            match (&before, &self.policy) {
                (Ok(before), Ok(after)) => self.histories = carried(self.histories.take(), before, after),
                // What was last stored is still true.
                _ => self.histories = None,
            }
            true
        } else {
            false
        }
    }

    /// Returns the histories that a decision starts from.
    pub fn histories(&mut self, policy: &Policy, seen: &Observation, now: Timestamp) -> &[RoleHistory] {
        let status = &self.status;
        self.histories.get_or_insert_with(|| {
            let roles = policy.roles.iter().enumerate();
            roles
                .map(|(index, role)| {
                    let current =
                        seen.roles.get(index).and_then(Option::as_ref).map(|role| role.spec_replicas);
                    let stored = status.roles.iter().find(|stored| stored.name == role.name);
                    stored.map_or_else(RoleHistory::default, |stored| recalled(stored, current, now))
                })
                .collect()
        })
    }

    /// Gives readings of token work their trend.
    pub fn follow_trends(&mut self, policy: &Policy, seen: &mut Observation) {
        for (place, (role, seen)) in policy.roles.iter().zip(&mut seen.roles).enumerate() {
            let Some(seen) = seen else { continue };
            let ready = seen.ready_replicas();
            for reading in &mut seen.readings {
                let Reading::Tokens(tokens) = reading else { continue };
                let trend = &mut RoleMemory::of(&mut self.roles, place, &role.name).trend;
                tokens.slope_nanos_per_second = trend.follow(tokens, role.throughput, ready);
            }
        }
    }

    /// Returns the roles whose counts somebody else changed, as (role, before, now); a role is told once in a while.
    pub fn foreign_edits(
        &mut self,
        policy: &Policy,
        seen: &Observation,
        now: Timestamp,
    ) -> Vec<(String, Replicas, Replicas)> {
        let mut edits = Vec::new();
        for (place, (role, seen)) in policy.roles.iter().zip(&seen.roles).enumerate() {
            let Some(seen) = seen else { continue };
            let memory = RoleMemory::of(&mut self.roles, place, &role.name);
            let Some(before) = memory.count.replace(seen.spec_replicas) else { continue };
            let is_news = memory.told.is_none_or(|told| now.duration_since(told) >= TELL_AGAIN);
            if before != seen.spec_replicas && is_news {
                memory.told = Some(now);
                edits.push((role.name.clone(), before, seen.spec_replicas));
            }
        }
        edits
    }

    /// Returns by which rules roles sleep at the moment.
    pub fn asleep(&self) -> impl Iterator<Item = &ScaleToZero> {
        let policy = self.policy.iter().filter(|_| self.may_sleep);
        policy.flat_map(|policy| &policy.roles).filter_map(|role| {
            let memory = self.roles.iter().find(|memory| memory.name == role.name)?;
            role.scale_to_zero.as_ref().filter(|_| memory.count == Some(Replicas::ZERO))
        })
    }

    /// Follows how roles come where they are.
    pub fn follow(&mut self, policy: &Policy, seen: &Observation, decision: &Decision, now: Timestamp) {
        let seen_and_decided = seen.roles.iter().zip(&decision.roles);
        for (place, (role, seen)) in policy.roles.iter().zip(seen_and_decided).enumerate() {
            if let (Some(seen), Some(decided)) = seen {
                RoleMemory::of(&mut self.roles, place, &role.name).trail.note(seen, decided, now);
            }
        }
    }

    /// Takes note of the status as it is stored now.
    pub fn stored(&mut self, status: RoleBasedGroupAutoscalerStatus, now: Timestamp) {
        self.status = Arc::new(status);
        self.written_at = Some(now);
        self.told = None;
    }

    /// Returns whether the stored status tells of an outcome as well as it needs to; figures rest in a quiet time.
    pub fn is_told(&self, outcome: &Outcome, is_quiet_time: bool) -> bool {
        let told = self.told.as_ref().filter(|told| told.is_same(outcome));
        told.is_some_and(|told| is_quiet_time || !told.moved(outcome))
    }

    /// Returns how each role came where it is.
    pub fn trails(&self) -> impl Iterator<Item = (&str, &Trail)> {
        self.roles.iter().map(|memory| (memory.name.as_str(), &memory.trail))
    }

    /// Takes note of a count that we wrote ourselves.
    pub fn wrote(&mut self, role: &str, replicas: Replicas) {
        RoleMemory::of(&mut self.roles, 0, role).count = Some(replicas);
    }

    /// Keeps what the next decision starts from.
    pub fn keep(&mut self, histories: Vec<RoleHistory>) {
        self.histories = Some(histories);
    }
}

fn generation(autoscaler: &RoleBasedGroupAutoscaler) -> i64 {
    autoscaler.metadata.generation.unwrap_or_default()
}

fn validated(autoscaler: &RoleBasedGroupAutoscaler) -> Result<Arc<Policy>, String> {
    let namespace = autoscaler.metadata.namespace.as_deref().unwrap_or_default();
    let policy = Policy::try_from(&autoscaler.spec).map_err(|error| error.to_string())?;
    Ok(Arc::new(policy.in_namespace(namespace)))
}

fn may_sleep(policy: &Result<Arc<Policy>, String>) -> bool {
    policy.iter().flat_map(|policy| &policy.roles).any(|role| role.scale_to_zero.is_some())
}

fn asks(autoscaler: &RoleBasedGroupAutoscaler) -> bool {
    !questions(&autoscaler.spec, &ObjectKey::of(autoscaler)).is_empty()
}

/// Moves histories to the places that their roles have in an edited policy.
fn carried(histories: Option<Vec<RoleHistory>>, before: &Policy, after: &Policy) -> Option<Vec<RoleHistory>> {
    let mut histories = histories?;
    let mut moved = Vec::with_capacity(after.roles.len());
    for role in &after.roles {
        let place = before.roles.iter().position(|known| known.name == role.name);
        let history = place.and_then(|place| histories.get_mut(place)).map(std::mem::take);
        moved.push(history.unwrap_or_default());
    }
    Some(moved)
}

/// Fills in what a stored history cannot know: the time since it was stored.
fn recalled(stored: &RoleStatus, current: Option<Replicas>, now: Timestamp) -> RoleHistory {
    let Some(mut history) = stored.history.clone() else { return RoleHistory::default() };
    let told = |time: Timestamp| now.duration_since(time) <= COVERED;
    if let (Some(recommendations), Some(current)) = (&mut history.recommendations, current)
        && !recommendations.iter().any(|known| told(known.time))
    {
        // As if the count had been right all the time: it stands until a down window has passed.
        recommendations.push(Recommendation { replicas: current, time: now });
    }
    let answered = stored.metrics.iter().any(|metric| metric.error.is_none());
    if answered && history.answered_at.is_some() {
        // A failure would have been stored at once, so metrics answered until we ended.
        history.answered_at = Some(now);
    }
    history
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    fn autoscaler(
        uid: &str,
        generation: i64,
        roles: &[&str],
        status: impl Into<serde_json::Value>,
    ) -> RoleBasedGroupAutoscaler {
        let roles: Vec<_> = roles
            .iter()
            .map(|name| json!({"name": name, "maxReplicas": 8, "metrics": [{"name": "qps", "target": "1"}]}))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "rbg-autoscaler.dev/v1alpha1", "kind": "RoleBasedGroupAutoscaler",
            "metadata": {"name": "p", "uid": uid, "generation": generation},
            "spec": {"groupRef": {"name": "demo"}, "roles": roles}, "status": status.into()
        }))
        .expect("an autoscaler")
    }

    fn seen(replicas: u32) -> Observation {
        let role = rbg_autoscaler::scaling::RoleObservation {
            spec_replicas: Replicas::new(replicas),
            ..Default::default()
        };
        Observation { roles: vec![Some(role.clone()), Some(role)], ..Observation::default() }
    }

    fn stored(recommended_at: i64, error: Option<&str>) -> serde_json::Value {
        json!({"roles": [{"name": "a", "metrics": [{"name": "qps", "error": error}], "history": {
            "recommendations": [{"replicas": 2, "time": at(recommended_at).to_string()}],
            "answeredAt": at(recommended_at).to_string()}}]})
    }

    fn recall(status: serde_json::Value) -> RoleHistory {
        let mut memory = PolicyMemory::new(&autoscaler("u", 1, &["a"], status));
        let policy = memory.policy.clone().expect("valid");
        memory.histories(&policy, &seen(5), at(1000))[0].clone()
    }

    #[test]
    fn a_stored_history_that_covers_the_present_is_taken_as_it_is() {
        let history = recall(stored(950, Some("gone")));
        assert_eq!(
            history.recommendations,
            Some(vec![Recommendation { replicas: Replicas::new(2), time: at(950) }])
        );
        assert_eq!(history.answered_at, Some(at(950)), "the metric had failed before we ended");
    }

    #[test]
    fn an_old_history_lowers_nothing_before_a_window_has_passed() {
        let history = recall(stored(0, None));
        let newest = history.recommendations.expect("seen").pop();
        assert_eq!(newest, Some(Recommendation { replicas: Replicas::new(5), time: at(1000) }));
        assert_eq!(history.answered_at, Some(at(1000)), "metrics answered until we ended");
    }

    #[test]
    fn edits_by_others_are_told_once_in_a_while_and_our_own_never() {
        let mut memory = PolicyMemory::new(&autoscaler("u", 1, &["a"], json!({})));
        let policy = memory.policy.clone().expect("valid");
        let look = |memory: &mut PolicyMemory, replicas, second| {
            memory.foreign_edits(&policy, &seen(replicas), at(second)).len()
        };
        assert_eq!(look(&mut memory, 2, 0), 0, "the first look");
        memory.wrote("a", Replicas::new(4));
        assert_eq!(look(&mut memory, 4, 1), 0, "our own write");
        assert_eq!(look(&mut memory, 2, 2), 1, "somebody else's");
        assert_eq!(look(&mut memory, 4, 3), 0, "told already");
        assert_eq!(look(&mut memory, 2, 700), 1, "told again");
    }

    #[test]
    fn a_role_never_seen_stays_never_seen() {
        assert_eq!(recall(json!({})), RoleHistory::default());
        assert_eq!(recall(json!({"roles": [{"name": "a"}]})), RoleHistory::default());
    }

    #[test]
    fn an_edit_keeps_histories_and_a_new_object_does_not() {
        let mut memory = PolicyMemory::new(&autoscaler("u", 1, &["a", "b"], json!({})));
        let marked = |second| RoleHistory { answered_at: Some(at(second)), ..RoleHistory::default() };
        memory.keep(vec![marked(1), marked(2)]);
        memory.refresh(&autoscaler("u", 2, &["b", "c"], json!({})));
        let policy = memory.policy.clone().expect("valid");
        assert_eq!(memory.histories(&policy, &seen(1), at(9)), [marked(2), RoleHistory::default()]);
        memory.refresh(&autoscaler("other", 1, &["b", "c"], json!({})));
        assert_eq!(
            memory.histories(&policy, &seen(1), at(9)),
            [RoleHistory::default(), RoleHistory::default()]
        );
    }
}
