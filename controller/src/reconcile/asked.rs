//! Questions of people to a [`Reconciler`], answered by its next decision.

use kube::ResourceExt;
use rbg_autoscaler::{
    api::{
        autoscaler::RoleBasedGroupAutoscalerStatus,
        snapshot::{DecisionDocument, LiveDecision, ScalingSnapshot},
    },
    policy::Policy,
    scaling::Decision,
};

use super::Reconciler;
use crate::{
    cache::store::ObjectKey,
    live::{Answer, NoDecision, Question},
    memory::PolicyMemory,
};

impl Reconciler {
    /// Takes a question; returns the group to decide on, so that it is answered.
    pub(crate) fn ask(&mut self, question: Question) -> Option<ObjectKey> {
        let Question { about, reply } = question;
        let named = self.world.autoscalers.get(&about).cloned();
        let Some(policy) = named.or_else(|| self.candidates(&about).into_iter().next()) else {
            // Who asked may have gone.
            let _ = reply.send(Err(NoDecision::Unknown(about)));
            return None;
        };
        self.questions.keep(ObjectKey::new(about.namespace.as_str(), policy.name_any()), reply);
        Some(ObjectKey::new(about.namespace, policy.spec.group_ref.name.as_str()))
    }
}

/// Tells of a decision, or why there is none.
pub(super) fn answer(
    key: &ObjectKey,
    memory: &PolicyMemory,
    snapshot: Option<ScalingSnapshot>,
    decided: Option<(&Policy, &Decision)>,
    status: &RoleBasedGroupAutoscalerStatus,
) -> Answer {
    let (Some(snapshot), Some((policy, decision))) = (snapshot, decided) else {
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let (reason, message) = ready.map_or_else(Default::default, |ready| {
            (ready.reason.clone().into_owned(), ready.message.clone().into_owned())
        });
        return Err(NoDecision::Undecided(key.clone(), reason, message));
    };
    let trail = memory.trails().map(|(role, trail)| (role.to_owned(), trail.points()));
    Ok(Box::new(LiveDecision {
        snapshot,
        decision: DecisionDocument::new(policy, decision.clone()),
        status: status.clone(),
        trail: trail.collect(),
    }))
}
