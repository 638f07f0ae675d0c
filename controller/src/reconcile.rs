//! [`Reconciler`]: one group after another, observe, decide, apply, report.
//!
//! Observing and deciding work on the caches and cost no request; when there is something to write or to tell, an
//! errand goes to the API server. While it is under way its group waits and the others go on.

mod asked;
mod awaiting;
mod errand;
mod in_use;
mod inline_text;
mod news;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt};
use rbg_autoscaler::{
    api::{autoscaler::RoleBasedGroupAutoscaler, rbg::RoleBasedGroup},
    policy::{CapacityMode, MetricSource, Mode, Policy},
    scaling::{Decision, Reservation, Write, decide},
};

pub use self::errand::Returned;
use self::{
    awaiting::Awaiting,
    errand::{Decided, Errand, Inquiry, RefusedText, Report},
    in_use::InUse,
    news::News,
};
use crate::{
    apply::{RoleWrite, Target},
    ask::{Answers, MetricsApis, questions},
    cache::{World, store::ObjectKey},
    events::Recorder,
    inline,
    ledger::{Ledger, Owed, Raise},
    live::Questions,
    memory::PolicyMemory,
    observe::{
        Metrics, Observed, Seen, Sources, Unwritable, document, ineffective_gang_scheduling, may_roll_back,
        observe, see_room, signals_of_tokens,
    },
    report::{Group, unguarded_sleep},
    telemetry::Figures,
};

/// Decides on groups and remembers what it decided.
#[derive(Debug, Default)]
pub struct Reconciler {
    /// What the API server last told.
    pub world: World,
    /// What the engines last said.
    pub metrics: Metrics,
    /// What was last decided, for the controller's own metrics.
    figures: Arc<Figures>,
    groups: HashMap<ObjectKey, GroupMemory>,
    policies: HashMap<ObjectKey, PolicyMemory>,
    /// The signals that policies use.
    in_use: InUse,
    /// Whether something may be remembered of what is no more.
    untidy: bool,
    /// Room that was given away and that nobody sees taken yet.
    ledger: Ledger,
    /// Pods that were asked for before this process led; `None` until they are first looked for.
    owed: Option<Owed>,
    /// What people ask of the next decisions.
    questions: Questions,
}

/// What is remembered of one group.
#[derive(Debug, Default)]
struct GroupMemory {
    busy: bool,
    awaiting: Option<Awaiting>,
    refused: Option<RefusedText>,
    /// Why inline text could not be written, as users were told.
    failed_adoption: Option<String>,
}

/// What is to be done with a group, from the caches alone.
#[derive(Debug)]
pub enum Turn {
    /// Nothing to write and nothing to tell.
    Quiet,
    /// The group waits for an errand or for the caches.
    Waiting,
    /// Something for the API server.
    Errand(Task),
}

/// An errand that is ready to go.
#[derive(Debug)]
pub struct Task(Kind);

#[derive(Debug)]
enum Kind {
    /// Adopt, apply, report.
    Act(Box<Errand>),
    /// Ask the metrics APIs for what a policy needs to be decided on.
    Ask(Box<Inquiry>),
}

impl Task {
    /// Talks to the API server.
    pub async fn run(self, client: Client, recorder: Recorder, apis: Arc<MetricsApis>) -> Returned {
        match self.0 {
            Kind::Act(errand) => errand::run(&client, &recorder, *errand).await,
            Kind::Ask(inquiry) => inquiry.run(&client, &apis).await,
        }
    }
}

/// What is to be done about one policy.
enum Judged {
    Nothing,
    Report(Box<Report>),
    Ask(Inquiry),
}

impl Reconciler {
    /// Returns a reconciler that knows nothing yet and tells `figures` what it decides.
    pub fn new(figures: Arc<Figures>) -> Self {
        Self { figures, ..Self::default() }
    }

    /// Observes a group and decides; returns what there is to do.
    pub fn turn(&mut self, key: &ObjectKey, now: Timestamp) -> Turn {
        if let Some(memory) = self.groups.get_mut(key) {
            if memory.busy
                || memory.awaiting.as_ref().is_some_and(|awaiting| !awaiting.is_over(&self.world, key, now))
            {
                return Turn::Waiting;
            }
            memory.awaiting = None;
        }
        let group = self.world.groups.get(key).cloned();
        self.untidy |= group.is_none();
        let (inline, text) = self.inline(key, group.as_deref());
        let mut reports = Vec::new();
        let candidates = self.candidates(key);
        let winner = candidates.first().map(|winner| winner.name_any());
        for (place, autoscaler) in candidates.iter().enumerate() {
            let mut known = Group::default();
            if place > 0 {
                let winner = winner.as_deref().unwrap_or_default();
                known.conflict = Some(format!(
                    "this policy is not in force: {winner} scales this group; delete one of the two"
                ));
            }
            if inline::is_adopted(autoscaler) {
                text.tell(autoscaler, inline.is_some(), &mut known);
            }
            match self.judge(key, autoscaler, group.as_deref(), known, now) {
                Judged::Nothing => {}
                Judged::Report(report) => reports.push(*report),
                Judged::Ask(inquiry) => {
                    self.busy(key);
                    return Turn::Errand(Task(Kind::Ask(Box::new(inquiry))));
                }
            }
        }
        if inline.is_none() && reports.is_empty() {
            return Turn::Quiet;
        }
        self.busy(key);
        Turn::Errand(Task(Kind::Act(Box::new(Errand { group: key.clone(), inline, reports, now }))))
    }

    fn busy(&mut self, key: &ObjectKey) {
        self.groups.entry(key.clone()).or_default().busy = true;
    }

    /// Returns whether a group waits for the caches to show its last write.
    pub fn is_waiting(&self, key: &ObjectKey) -> bool {
        self.groups.get(key).is_some_and(|memory| memory.busy || memory.awaiting.is_some())
    }

    /// Takes in what became of an errand.
    pub fn settle(&mut self, returned: &Returned, now: Timestamp) {
        let key = &returned.group;
        self.untidy |= self.world.groups.get(key).is_none();
        let memory = self.groups.entry(key.clone()).or_default();
        memory.busy = false;
        for written in returned.written.iter().filter(|written| written.outcome.is_err()) {
            self.ledger.take_back(key, &written.write.role, written.write.from);
        }
        memory.awaiting = Awaiting::after(&returned.written, key, returned.observed_version.as_deref(), now);
        if returned.refused.is_some() {
            memory.refused.clone_from(&returned.refused);
        }
        if let Some(adoption) = &returned.adoption {
            memory.failed_adoption = adoption.clone().err();
        }
        for policy in &returned.policies {
            let Some(memory) = self.policies.get_mut(&policy.key) else { continue };
            if let Some(histories) = &policy.histories {
                memory.keep(histories.clone());
                for written in returned.written.iter().filter(|written| written.outcome.is_ok()) {
                    memory.wrote(&written.write.role, written.write.to);
                }
            }
            if let Some(status) = &policy.status {
                memory.stored(status.clone(), now);
            }
        }
        if let Some((policy, answers)) = &returned.answered
            && let Some(memory) = self.policies.get_mut(policy)
        {
            memory.answers = Some(answers.clone());
        }
    }

    /// Forgets what is no more.
    pub fn forget(&mut self) {
        if !(self.world.take_lost() | std::mem::take(&mut self.untidy)) {
            return;
        }
        let world = &self.world;
        self.policies.retain(|key, _| world.autoscalers.get(key).is_some());
        self.in_use.outdated();
        self.groups.retain(|key, memory| {
            memory.busy || world.groups.get(key).is_some() || world.policies_of(key).next().is_some()
        });
        self.figures.retain(|key| world.policies_of(key).next().is_some());
    }

    /// Forgets everything that was decided, so that it is read from the stored status again.
    pub fn forget_decisions(&mut self) {
        self.policies.clear();
        self.in_use.outdated();
        self.groups.clear();
        self.owed = None;
    }

    /// Returns whether any decision depends on the cluster's room.
    pub(crate) fn needs_room(&self) -> bool {
        self.policies.values().any(|memory| memory.needs_room)
    }

    /// Returns the groups that more room would change something for, those first that have waited longest.
    pub(crate) fn waiting_for_room(&self) -> Vec<ObjectKey> {
        let waiting = self.policies.iter().filter_map(|(key, memory)| {
            let group = &self.world.autoscalers.get(key)?.spec.group_ref.name;
            Some((memory.waits_for_room?, ObjectKey::new(key.namespace.as_str(), group.as_str())))
        });
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort();
        waiting.into_iter().map(|(_, group)| group).collect()
    }

    /// Returns the signals that policies use.
    pub fn signals(&mut self) -> BTreeSet<String> {
        let policies = self.policies.values().filter_map(|memory| memory.policy.as_ref().ok());
        self.in_use.count(policies.flat_map(|policy| signals_of(policy))).clone()
    }

    /// Returns the signals that would wake roles that sleep.
    pub(crate) fn wake_signals(&self) -> BTreeSet<String> {
        let rules = self.policies.values().flat_map(PolicyMemory::asleep);
        let signals = rules.flat_map(|rule| &rule.wake_on).filter(|signal| signal.role.is_some());
        signals.map(|signal| signal.name.clone()).collect()
    }

    /// Returns the groups with a role that sleeps.
    pub(crate) fn sleepers(&self) -> Vec<ObjectKey> {
        let asleep = self.policies.iter().filter(|(_, memory)| memory.asleep().next().is_some());
        let groups = asleep.filter_map(|(key, _)| {
            let autoscaler = self.world.autoscalers.get(key)?;
            Some(ObjectKey::new(key.namespace.as_str(), autoscaler.spec.group_ref.name.as_str()))
        });
        groups.collect()
    }

    /// The policies of a group, the one that counts first: written by hand before adopted, then the older, then by name.
    fn candidates(&self, key: &ObjectKey) -> Vec<Arc<RoleBasedGroupAutoscaler>> {
        let policies =
            self.world.policies_of(key).filter_map(|key| self.world.autoscalers.get(&key).cloned());
        let mut policies: Vec<_> =
            policies.filter(|policy| policy.metadata.deletion_timestamp.is_none()).collect();
        if policies.len() < 2 {
            return policies;
        }
        policies.sort_by_cached_key(|policy| {
            let created = policy.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (inline::is_adopted(policy), created, policy.name_any())
        });
        policies
    }

    /// Decides for one policy; returns what to write and tell, if anything.
    fn judge(
        &mut self,
        key: &ObjectKey,
        autoscaler: &Arc<RoleBasedGroupAutoscaler>,
        group: Option<&RoleBasedGroup>,
        mut known: Group,
        now: Timestamp,
    ) -> Judged {
        let policy_key = ObjectKey::of(&**autoscaler);
        let mut is_news = false;
        let memory = self.policies.entry(policy_key.clone()).or_insert_with(|| {
            is_news = true;
            PolicyMemory::new(autoscaler)
        });
        is_news |= memory.refresh(autoscaler);
        if is_news {
            self.in_use.add(memory.policy.iter().flat_map(|policy| signals_of(policy)));
        }
        memory.waits_for_room = None;
        let fits =
            |policy: &Policy| policy.mode != Mode::Disabled && policy.capacity.mode == CapacityMode::Fit;
        memory.needs_room = group.is_some() && memory.policy.as_ref().is_ok_and(|policy| fits(policy));
        if memory.needs_room {
            self.world.room.need(now);
        }
        let (mut decided, mut edits, mut told) = (None, Vec::new(), None);
        match (&memory.policy, group) {
            (Err(problem), _) => known.invalid = Some(problem.clone()),
            (Ok(_), None) => known.missing_group = Some(why_there_is_no_group(&self.world, key)),
            (Ok(_), Some(_)) if known.conflict.is_some() => {}
            // A signal that is used for the first time answers in a moment; deciding now would tell of a failure.
            (Ok(policy), Some(_))
                if self.in_use.is_any_awaited(&self.metrics)
                    && signals_of(policy).any(|signal| self.metrics.is_awaited(signal)) =>
            {
                return Judged::Nothing;
            }
            // What has not been listed yet would be taken as fitting.
            (Ok(_), Some(_)) if memory.needs_room && self.world.room.is_awaited(now) => {
                memory.waits_for_room = Some(now);
                return Judged::Nothing;
            }
            (Ok(policy), Some(group)) => {
                let policy = Arc::clone(policy);
                let questions = if memory.asks { questions(&autoscaler.spec, key) } else { Vec::new() };
                let answers = match memory.answers.take().filter(|answers| answers.is_fresh(now)) {
                    Some(answers) => answers,
                    None if questions.is_empty() => Answers::default(),
                    None => {
                        return Judged::Ask(Inquiry {
                            group: key.clone(),
                            policy: policy_key,
                            questions,
                            now,
                        });
                    }
                };
                known.unguarded = unguarded_sleep(&policy);
                known.gangless = ineffective_gang_scheduling(&self.world, key, group);
                let sources = Sources { world: &self.world, metrics: &self.metrics };
                let mut observed = observe(sources, key, group, &policy, &answers, now);
                memory.follow_trends(&policy, &mut observed.observation);
                edits = memory.foreign_edits(&policy, &observed.observation, now);
                let before = memory.histories(&policy, &observed.observation, now).to_vec();
                if memory.needs_room || may_roll_back(&before, &observed.observation) {
                    memory.needs_room = true;
                    self.world.room.need(now);
                    let given = given(&mut self.ledger, &mut self.owed, &self.world, now);
                    see_room(&mut self.world, key, group, &policy, given, &mut observed);
                }
                let decision = decide(&policy, &observed.observation, &before, now);
                memory.waits_for_room = waits_for_room(&decision);
                if self.questions.is_asked(&policy_key) {
                    let sources = Sources { world: &self.world, metrics: &self.metrics };
                    let (policy, observed, before) = (&*policy, &observed, &before[..]);
                    let seen = Seen { autoscaler, policy, observed, before, now };
                    told = Some(document(sources, key, group, &answers, seen));
                }
                judge_targets(&mut known, &policy, &observed, &decision);
                let writes = writes(&policy, &observed.targets, &decision.writes);
                let group_version = group.resource_version();
                let made = Decided { policy, observed, decision, before, writes, group_version };
                give(&mut self.ledger, key, &made, now);
                decided = Some(Arc::new(made));
            }
        }
        let mode = memory.policy.as_ref().map_or(Mode::Enforce, |policy| policy.mode);
        let report = Report {
            key: policy_key,
            autoscaler: Arc::clone(autoscaler),
            before: Arc::clone(&memory.status),
            mode,
            conditions: known,
            decided,
            edits: if mode == Mode::Enforce { edits } else { Vec::new() },
        };
        News { figures: &self.figures, questions: &mut self.questions, memory, now }.judge(key, report, told)
    }
}

fn why_there_is_no_group(world: &World, key: &ObjectKey) -> String {
    match world.groups.invalid(key) {
        Some(error) => format!("the RoleBasedGroup {} cannot be read: {error}", key.name),
        None => format!(
            "there is no RoleBasedGroup {} in this namespace; correct spec.groupRef.name, or create the group",
            key.name
        ),
    }
}

/// What stands in the way of writing roles.
fn judge_targets(known: &mut Group, policy: &Policy, observed: &Observed, decision: &Decision) {
    let targets = &observed.targets;
    known.missing_roles = missing(policy, targets);
    known.adapter_required = first(policy, targets, |why| matches!(why, Unwritable::NeedsScalingAdapter));
    known.conflict = first(policy, targets, |why| matches!(why, Unwritable::Rival(_)));
    known.write_failed = unwritable(policy, targets, &decision.writes);
}

/// Since when a decision has kept something back for want of room; `None` when it does not.
fn waits_for_room(decision: &Decision) -> Option<Timestamp> {
    let histories = decision.roles.iter().flatten().map(|role| &role.history);
    let since = histories.filter_map(|history| {
        let rolled_back = history.rollback.map(|rollback| rollback.at);
        history.refused_since.into_iter().chain(rolled_back).min()
    });
    since.min()
}

/// What was given away and is not seen taken: the places, and the pods of an earlier leader's that nobody has placed.
fn given(
    ledger: &mut Ledger,
    owed: &mut Option<Owed>,
    world: &World,
    now: Timestamp,
) -> (Vec<Reservation>, Vec<Arc<Pod>>) {
    let tenants = world.room.tenants();
    let reserved = ledger.open(tenants, now);
    if !tenants.is_complete() {
        return (reserved, Vec::new());
    }
    (reserved, owed.get_or_insert_with(|| Owed::of(world, now)).open(tenants, now))
}

/// Notes in the ledger what the writes of a group take.
fn give(ledger: &mut Ledger, group: &ObjectKey, decided: &Decided, now: Timestamp) {
    for write in &decided.decision.writes {
        let Some(role) = decided.policy.roles.get(write.role).map(|role| role.name.as_str()) else {
            continue;
        };
        let seen = decided.observed.observation.roles.get(write.role).and_then(Option::as_ref);
        let (Some(seen), true) = (seen, decided.writes.iter().any(|writable| writable.role == role)) else {
            continue;
        };
        if write.to < write.from {
            ledger.take_back(group, role, write.to);
            continue;
        }
        let placed = decided.decision.reserved.iter().filter(|placed| placed.role == write.role);
        let pods_per_replica = seen.pods_per_replica;
        ledger.give(Raise { group, role, from: write.from, to: write.to, pods_per_replica }, placed, now);
    }
}

/// The signals of the collector that a policy uses.
fn signals_of(policy: &Policy) -> impl Iterator<Item = &str> {
    policy.roles.iter().flat_map(|role| {
        let metrics = role.metrics.iter().flat_map(|metric| match &metric.source {
            MetricSource::Signal { .. } | MetricSource::RoleTotal { .. } => vec![metric.name.as_str()],
            MetricSource::TokenUtilization { .. } => signals_of_tokens(role.throughput),
            _ => Vec::new(),
        });
        let wake = role.scale_to_zero.iter().flat_map(|rule| &rule.wake_on);
        metrics.chain(wake.filter(|signal| signal.role.is_some()).map(|signal| signal.name.as_str()))
    })
}

fn missing(policy: &Policy, targets: &[Option<Result<Target, Unwritable>>]) -> Vec<String> {
    let roles = policy.roles.iter().zip(targets);
    roles.filter(|(_, target)| target.is_none()).map(|(role, _)| role.name.clone()).collect()
}

/// The first role that cannot be written for such a reason, and the reason.
fn first(
    policy: &Policy,
    targets: &[Option<Result<Target, Unwritable>>],
    is_such: impl Fn(&Unwritable) -> bool,
) -> Option<String> {
    policy.roles.iter().zip(targets).find_map(|(role, target)| match target {
        Some(Err(why)) if is_such(why) => Some(format!("role {}: {why}", role.name)),
        _ => None,
    })
}

/// Why a decided change cannot even be tried.
fn unwritable(
    policy: &Policy,
    targets: &[Option<Result<Target, Unwritable>>],
    decided: &[Write],
) -> Option<String> {
    decided.iter().find_map(|write| match (policy.roles.get(write.role), targets.get(write.role)) {
        (Some(role), Some(Some(Err(why)))) => Some(format!("role {}: {why}", role.name)),
        _ => None,
    })
}

/// The decided changes of roles that can be written.
fn writes(
    policy: &Policy,
    targets: &[Option<Result<Target, Unwritable>>],
    decided: &[Write],
) -> Vec<RoleWrite> {
    let mut writes = Vec::with_capacity(decided.len());
    for write in decided {
        let (Some(role), Some(Some(Ok(target)))) = (policy.roles.get(write.role), targets.get(write.role))
        else {
            continue;
        };
        writes.push(RoleWrite {
            role: role.name.clone(),
            target: target.clone(),
            from: write.from,
            to: write.to,
        });
    }
    writes
}

#[cfg(test)]
mod tests;
