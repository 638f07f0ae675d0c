//! [`InlineText`]: what is to be done about the policy inside a group, and how that stands.

use kube::{Resource, ResourceExt};
use rbg_autoscaler::api::{autoscaler::RoleBasedGroupAutoscaler, rbg::RoleBasedGroup};

use super::{Reconciler, errand::Adopt};
use crate::{
    cache::store::ObjectKey,
    inline::{self, Plan},
    report::{Group, inline_refusal},
};

/// How the text of a policy inside a group stands.
pub(super) enum InlineText {
    /// As it should, or not looked at yet.
    Sound,
    /// No role carries it any more.
    Gone,
    /// The API server refuses it, in these words.
    Refused(String),
}

impl InlineText {
    /// Tells of it in what is known of an adopted policy; `is_pending`: the text is about to be written.
    pub(super) fn tell(&self, autoscaler: &RoleBasedGroupAutoscaler, is_pending: bool, known: &mut Group) {
        match self {
            Self::Gone => {
                known.inline_gone = Some(format!(
                    "no role carries autoscaling any more; if that is meant, delete this object: kubectl delete rbga {}",
                    autoscaler.name_any()
                ));
            }
            Self::Refused(why) => known.inline_refused = Some(why.clone()),
            // What was told stands until the text is accepted.
            Self::Sound if is_pending => {
                known.inline_refused = inline_refusal(autoscaler);
            }
            Self::Sound => {}
        }
    }
}

impl Reconciler {
    /// What is to be done about a group's inline text, and how that stands.
    pub(super) fn inline(
        &self,
        key: &ObjectKey,
        group: Option<&RoleBasedGroup>,
    ) -> (Option<Adopt>, InlineText) {
        let Some(group) = group.filter(|group| group.metadata.deletion_timestamp.is_none()) else {
            return (None, InlineText::Sound);
        };
        let adopted = ObjectKey::new(key.namespace.as_str(), inline::adopted_name(&key.name));
        let existing = self.world.autoscalers.get(&adopted);
        let plan = inline::plan(group, existing.map(|existing| &**existing));
        let mark = match &plan {
            Plan::Settled => return (None, InlineText::Sound),
            Plan::Gone => return (None, InlineText::Gone),
            Plan::Write(adoption) => adoption.hash.clone(),
            Plan::Invalid(why) => why.clone(),
            Plan::Remove { .. } => String::new(),
        };
        let memory = self.groups.get(key);
        if let Some(refused) = memory.and_then(|memory| memory.refused.as_ref())
            && refused.mark == mark
        {
            return (None, InlineText::Refused(refused.why.clone()));
        }
        let told = memory.and_then(|memory| memory.failed_adoption.clone());
        let adopted = existing.map(|existing| existing.object_ref(&()));
        (Some(Adopt { plan, mark, group: group.object_ref(&()), adopted, told }), InlineText::Sound)
    }
}
