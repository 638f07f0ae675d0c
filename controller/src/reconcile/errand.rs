//! [`Errand`]: the half of a reconcile that talks to the API server: adopt, apply, report.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, Resource};
use rbg_autoscaler::{
    api::autoscaler::{RoleBasedGroupAutoscaler, RoleBasedGroupAutoscalerStatus},
    cause,
    policy::{Mode, Policy},
    scaling::{Decision, RoleHistory},
    units::Replicas,
};
use tracing::{debug, info, warn};

use crate::{
    apply::{RoleWrite, Version, Written, apply},
    ask::{Answers, MetricsApis, Question, ask},
    cache::store::ObjectKey,
    events::{Happening, Recorder, Severity},
    inline::{self, Plan},
    observe::Observed,
    report::{self, Group, Outcome, Told},
    telemetry::Scaled,
};

/// What there is to do for one group.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(super) group: ObjectKey,
    pub(super) inline: Option<Adopt>,
    pub(super) reports: Vec<Report>,
    pub(super) now: Timestamp,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Returned {
    pub(crate) group: ObjectKey,
    /// Inline text that the API server refuses.
    pub(super) refused: Option<RefusedText>,
    /// Whether inline text was written, or why it could not be although nothing is wrong with it.
    pub(super) adoption: Option<Result<(), String>>,
    pub(super) written: Vec<Written>,
    pub(super) observed_version: Option<String>,
    pub(super) policies: Vec<ReturnedPolicy>,
    /// What the metrics APIs answered to a policy, which can be decided on now.
    pub(crate) answered: Option<(ObjectKey, Answers)>,
    /// The roles whose counts were written, for metrics.
    pub(crate) scaled: Vec<(String, Scaled)>,
    /// The classes of errors, for metrics.
    pub(crate) errors: Vec<&'static str>,
}

/// Inline text that the API server refuses.
#[derive(Clone, Debug)]
pub(super) struct RefusedText {
    /// Its hash, or its own complaint.
    pub(super) mark: String,
    /// The API server's words.
    pub(super) why: String,
}

/// What became of one policy's report.
#[derive(Debug)]
pub(super) struct ReturnedPolicy {
    pub(super) key: ObjectKey,
    pub(super) histories: Option<Vec<RoleHistory>>,
    /// The status that is stored now; `None` when it was not written.
    pub(super) status: Option<RoleBasedGroupAutoscalerStatus>,
}

/// Questions to the metrics APIs.
#[derive(Debug)]
pub(crate) struct Inquiry {
    pub(super) group: ObjectKey,
    pub(super) policy: ObjectKey,
    pub(super) questions: Vec<Question>,
    pub(super) now: Timestamp,
}

impl Inquiry {
    /// Asks.
    pub(super) async fn run(self, client: &Client, apis: &MetricsApis) -> Returned {
        let answers = ask(client, apis, self.questions, self.now).await;
        Returned { group: self.group, answered: Some((self.policy, answers)), ..Returned::default() }
    }
}

/// Inline text to adopt.
#[derive(Debug)]
pub(super) struct Adopt {
    pub(super) plan: Plan,
    /// What refused text is remembered by.
    pub(super) mark: String,
    pub(super) group: ObjectReference,
    pub(super) adopted: Option<ObjectReference>,
    /// Why it could not be written before; told already.
    pub(super) told: Option<String>,
}

/// A policy to act and report on.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) key: ObjectKey,
    pub(super) autoscaler: Arc<RoleBasedGroupAutoscaler>,
    pub(super) before: Arc<RoleBasedGroupAutoscalerStatus>,
    pub(super) mode: Mode,
    pub(super) conditions: Group,
    pub(super) decided: Option<Arc<Decided>>,
    /// Counts that somebody else changed: role, before, now.
    pub(super) edits: Vec<(String, Replicas, Replicas)>,
}

/// A decision and what it was made from.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) policy: Arc<Policy>,
    pub(super) observed: Observed,
    pub(super) decision: Decision,
    pub(super) before: Vec<RoleHistory>,
    pub(super) writes: Vec<RoleWrite>,
    pub(super) group_version: Option<String>,
}

impl Decided {
    /// Whether gangs of a role are taken back for want of room.
    fn rolls_back(&self, role: &str) -> bool {
        let roles = self.policy.roles.iter().zip(&self.decision.roles);
        let steps =
            roles.filter(|(policy, _)| policy.name == role).filter_map(|(_, decided)| decided.as_ref());
        steps.flat_map(|decided| &decided.steps).any(|step| step.reason == "RolledBack")
    }

    /// The histories after the writes: what a failed write would have stored did not happen.
    pub(super) fn histories(&self, written: &[Written]) -> Vec<RoleHistory> {
        let mut histories = Vec::with_capacity(self.policy.roles.len());
        for (index, role) in self.policy.roles.iter().enumerate() {
            let before = self.before.get(index).cloned().unwrap_or_default();
            let Some(decided) = self.decision.roles.get(index).and_then(Option::as_ref) else {
                histories.push(before);
                continue;
            };
            let mut history = decided.history.clone();
            let asked = self.decision.writes.iter().any(|write| write.role == index);
            let done =
                written.iter().any(|written| written.write.role == role.name && written.outcome.is_ok());
            if asked && !done {
                history.scale_events = before.scale_events;
                history.rollback = before.rollback;
            }
            histories.push(history);
        }
        histories
    }
}

impl Report {
    /// Returns what there is to tell, as long as nothing is written.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let decided = self.decided.as_ref()?;
        let generation = self.autoscaler.metadata.generation;
        Outcome::of(generation, self.mode, &self.conditions, &decided.observed, &decided.decision)
    }

    /// Returns the status after these writes.
    pub(super) fn status(&self, written: &[Written], now: Timestamp) -> RoleBasedGroupAutoscalerStatus {
        let generation = self.autoscaler.metadata.generation;
        let mut conditions = self.conditions.clone();
        conditions.write_failed = report::write_failure(written).or(conditions.write_failed);
        conditions.adapter_required = report::adapter_required(written).or(conditions.adapter_required);
        let Some(decided) = &self.decided else {
            // Without a decision nothing is known of metrics, room and ratios.
            let conditions = report::readiness(&conditions, self.mode, Vec::new());
            return report::status(&self.before, generation, None, conditions, now);
        };
        let roles = decided.policy.roles.iter().zip(&decided.observed.observation.roles);
        for ((role, seen), decided) in roles.zip(&decided.decision.roles) {
            if let (Some(seen), Some(decided)) = (seen, decided) {
                conditions.notes.extend(report::notes(&role.name, seen, decided));
                conditions.limit = conditions.limit.or_else(|| report::limit(decided).cloned());
            }
        }
        let histories = decided.histories(written);
        let told = Told {
            policy: &decided.policy,
            observed: &decided.observed,
            decision: &decided.decision,
            written,
            histories: &histories,
        };
        let conditions = report::readiness(&conditions, self.mode, decided.decision.conditions.clone());
        report::status(&self.before, generation, Some(&told), conditions, now)
    }
}

/// Does what there is to do.
pub(super) async fn run(client: &Client, recorder: &Recorder, errand: Errand) -> Returned {
    let mut returned = Returned { group: errand.group.clone(), ..Returned::default() };
    if let Some(adoption) = &errand.inline {
        adopt(client, recorder, &errand, adoption, &mut returned).await;
    }
    for report in &errand.reports {
        act_and_report(client, recorder, &errand, report, &mut returned).await;
    }
    returned
}

async fn adopt(
    client: &Client,
    recorder: &Recorder,
    errand: &Errand,
    adoption: &Adopt,
    returned: &mut Returned,
) {
    let group = &errand.group;
    let happening = |regarding: &ObjectReference, severity, reason: &str, note: String| Happening {
        regarding: regarding.clone(),
        severity,
        reason: reason.to_owned(),
        action: "Adopt",
        note,
        time: errand.now,
    };
    returned.adoption = Some(Ok(()));
    match inline::adopt(client, &group.namespace, &adoption.plan).await {
        Ok(()) => match &adoption.plan {
            Plan::Write(written) if written.restores => {
                warn!(%group, "overwrote hand edits of an adopted policy");
                let note =
                    "hand edits were overwritten; edit the field autoscaling of the group's roles instead";
                let adopted = adoption.adopted.as_ref().unwrap_or(&adoption.group);
                recorder.publish(happening(
                    adopted,
                    Severity::Warning,
                    "InlinePolicyRestored",
                    note.to_owned(),
                ));
            }
            Plan::Write(_) => {
                info!(%group, "adopted an inline policy");
                let note = format!("adopted as {}", inline::adopted_name(&group.name));
                recorder.publish(happening(&adoption.group, Severity::Normal, "InlinePolicyAdopted", note));
            }
            Plan::Remove { name, .. } => {
                info!(%group, "removed an adopted policy, no role carries it any more");
                let note = format!("deleted {name}, since no role carries autoscaling any more");
                recorder.publish(happening(&adoption.group, Severity::Normal, "InlinePolicyRemoved", note));
            }
            Plan::Settled | Plan::Gone | Plan::Invalid(_) => {}
        },
        Err(inline::AdoptError::Moved(_)) => debug!(%group, "the adopted policy moved, trying again"),
        Err(inline::AdoptError::Invalid(why)) => {
            warn!(%group, error = why, "inline policy is invalid, the last good one stays");
            returned.refused = Some(RefusedText { mark: adoption.mark.clone(), why: why.clone() });
            returned.errors.push("invalid_inline_policy");
            recorder.publish(happening(&adoption.group, Severity::Warning, "InlinePolicyInvalid", why));
        }
        Err(error) => {
            returned.errors.push(error.class());
            let why = cause::chain(&error);
            if adoption.told.as_ref() == Some(&why) {
                debug!(%group, error = why, "still could not adopt an inline policy");
            } else {
                warn!(%group, error = why, "could not adopt an inline policy");
                recorder.publish(happening(
                    &adoption.group,
                    Severity::Warning,
                    "InlinePolicyNotWritten",
                    why.clone(),
                ));
            }
            returned.adoption = Some(Err(why));
        }
    }
}

async fn act_and_report(
    client: &Client,
    recorder: &Recorder,
    errand: &Errand,
    report: &Report,
    returned: &mut Returned,
) {
    let group = &errand.group;
    let regarding = report.autoscaler.object_ref(&());
    for (role, before, now) in &report.edits {
        recorder.publish(Happening {
            regarding: regarding.clone(),
            severity: Severity::Normal,
            reason: "ReplicasEdited".to_owned(),
            action: "Observe",
            note: format!(
                "{role}: somebody else changed the replicas from {before} to {now}; the policy goes on from there. Leave replicas \
                 out of what you apply, or give the role a scaling adapter"
            ),
            time: errand.now,
        });
    }
    let mut written = Vec::new();
    if let Some(decided) = &report.decided {
        written = apply(client, &group.namespace, &group.name, decided.writes.clone()).await;
        returned.observed_version.clone_from(&decided.group_version);
    }
    for Written { write, outcome } in &written {
        let (role, from, to) = (write.role.as_str(), write.from.get(), write.to.get());
        match outcome {
            Ok(Version::Generation(_) | Version::After(_)) => {
                info!(%group, role, from, to, "rescaled role");
                let rolled_back = report.decided.as_ref().is_some_and(|decided| decided.rolls_back(role));
                returned.scaled.push((role.to_owned(), Scaled { up: to > from, rolled_back }));
            }
            Err(error) => {
                returned.errors.push(error.class());
                debug!(%group, role, from, to, error = cause::chain(error), "did not rescale role");
            }
        }
    }
    let status = report.status(&written, errand.now);
    let mut stored = None;
    if written.iter().any(|written| written.outcome.is_ok()) || report::worth_writing(&report.before, &status)
    {
        match report::report(
            client,
            &report.key,
            report.autoscaler.metadata.uid.as_deref().unwrap_or_default(),
            &status,
        )
        .await
        {
            Ok(()) => stored = Some(status.clone()),
            Err(report::ReportError::Gone) => {
                debug!(policy = %report.key, "policy is gone, nothing to report");
            }
            Err(error) => {
                warn!(policy = %report.key, error = cause::chain(&error), "could not report");
                returned.errors.push(error.class());
            }
        }
    }
    // Told once: when the status was not stored, the next one that is will tell its conditions; writes happened now.
    let after = stored.as_ref().unwrap_or(&report.before);
    for happening in report::transitions(&regarding, &report.before, after, &written, errand.now) {
        recorder.publish(happening);
    }
    let histories = report.decided.as_ref().map(|decided| decided.histories(&written));
    returned.written.extend(written);
    returned.policies.push(ReturnedPolicy { key: report.key.clone(), histories, status: stored });
}
