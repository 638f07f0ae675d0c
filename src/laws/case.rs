//! [`GroupCase`]: a random group with everything that a decision sees, small enough to shrink.

use proptest::{
    collection::vec,
    option::{of, weighted},
    prelude::*,
    sample::select,
};

/// A group of one to three roles.
#[derive(Clone, Debug)]
pub(super) struct GroupCase {
    pub roles: Vec<RoleCase>,
    pub ratios: Vec<RatioCase>,
    /// Whether they hold now, the role, and its bounds in gangs: the least, and how many more.
    pub schedules: Vec<(bool, usize, u32, u32)>,
    /// Directions that are held.
    pub hold: Vec<&'static str>,
    pub mode: &'static str,
    /// GPUs of each node, when the nodes are known.
    pub nodes: Option<Vec<u32>>,
    /// Pods of others: the node that they are on (none = they wait), and their GPUs.
    pub others: Vec<(Option<usize>, u32)>,
    pub fit: bool,
}

/// A pair of places with a lower and an upper bound.
pub(super) type RatioCase = (usize, usize, Option<(u32, u32)>, Option<(u32, u32)>);

/// One role; counts of bounds are in gangs.
#[derive(Clone, Debug)]
pub(super) struct RoleCase {
    pub gang: u32,
    pub min: u32,
    pub more: u32,
    pub current: u32,
    pub status_off: i32,
    /// Pods of one replica, the first its leader.
    pub pods: u32,
    pub replicas: Vec<ReplicaCase>,
    /// Whether the pods of a replica are told apart from existing ones.
    pub templates: bool,
    pub metrics: Vec<MetricCase>,
    pub behavior: Option<BehaviorCase>,
    pub fallback: Option<(u32, u32)>,
    pub zero: Option<ZeroCase>,
    pub rolling_out: bool,
    pub seen: bool,
    /// Count and age in seconds.
    pub recommendations: Vec<(u32, u32)>,
    /// Change and age in seconds.
    pub events: Vec<(i32, u32)>,
    pub answered: Option<u32>,
    pub idle: Option<u32>,
    /// Attempts, age, seconds until it ends (from before now), count.
    pub rollback: Option<(u32, u32, i64, u32)>,
    /// Since when it has been rolling out, and since when gangs were refused.
    pub since: (Option<u32>, Option<u32>),
}

/// One replica: its state, and how long it has been in it.
#[derive(Clone, Debug)]
pub(super) struct ReplicaCase {
    pub state: &'static str,
    pub age: u32,
}

/// One metric: a kind, and one value per replica (or sum) in thousandths of the target.
#[derive(Clone, Debug)]
pub(super) struct MetricCase {
    pub kind: &'static str,
    pub target: u32,
    /// Thousandths of the target; `None` = no sample.
    pub values: Vec<Option<u32>>,
    pub failed: bool,
    pub silent: bool,
}

/// Windows and policies (kind, value, period) of both directions.
#[derive(Clone, Debug, Default)]
pub(super) struct BehaviorCase {
    pub up: RulesCase,
    pub down: RulesCase,
}

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct RulesCase {
    pub window: Option<u32>,
    /// `Max` when absent.
    pub select: Option<&'static str>,
    pub policies: Vec<(&'static str, u32, u32)>,
    pub tolerance: Option<u32>,
}

/// scaleToZero: seconds until idle, gangs to wake to, and what the wake signal says.
#[derive(Clone, Debug)]
pub(super) struct ZeroCase {
    pub idle_after: u32,
    pub wake_to: Option<u32>,
    pub wake: Option<u32>,
}

/// The kinds of metrics; the first three are measured on the role's replicas.
const KINDS: [&str; 7] = ["signal", "pods", "cpu", "total", "object", "external", "tokens"];

/// Groups of every kind.
pub(super) fn groups() -> impl Strategy<Value = GroupCase> {
    select(vec![1_usize, 2, 2, 2, 3, 3])
        .prop_flat_map(|roles| {
            let bound = || weighted(0.7, (1_u32..=4, 1_u32..=4));
            let pair = (0..roles, 1..roles.max(2), bound(), bound())
                .prop_map(move |(first, step, min, max)| (first, (first + step) % roles, min, max));
            let schedule = (any::<bool>(), 0..roles, 0_u32..=4, 0_u32..=3);
            let modes = [(17, "Enforce"), (2, "Recommend"), (1, "Disabled")]
                .map(|(weight, mode)| (weight, Just(mode)));
            let policy = (
                vec(role(), roles),
                vec(pair, 0..=3),
                weighted(0.2, schedule),
                weighted(0.1, select(vec![vec!["Up"], vec!["Down"], vec!["Up", "Down"]])),
                proptest::strategy::Union::new_weighted(modes.to_vec()),
                weighted(0.2, zero()),
            );
            let room = (of(vec(0_u32..=24, 0..=4)), vec((of(0_usize..4), 0_u32..=6), 0..=3), any::<bool>());
            (policy, room)
        })
        .prop_map(|((roles, pairs, schedule, held, mode, zero), (nodes, others, fit))| GroupCase {
            ratios: pairs
                .into_iter()
                .filter(|(first, second, min, max)| first != second && (min.is_some() || max.is_some()))
                .collect(),
            schedules: schedule.into_iter().collect(),
            hold: held.unwrap_or_default(),
            mode,
            nodes,
            others,
            fit,
            roles: roles.into_iter().map(|role| role.with(zero.as_ref())).collect(),
        })
        .prop_map(GroupCase::repaired)
}

/// Groups without anything that bars a direction: complete samples, no failures, no room to run out of.
pub(super) fn smooth_groups() -> impl Strategy<Value = GroupCase> {
    groups().prop_map(|mut group| {
        group.nodes = None;
        group.fit = false;
        for role in &mut group.roles {
            role.rollback = None;
            role.rolling_out = false;
            for replica in &mut role.replicas {
                replica.state = "ready";
            }
            for metric in &mut role.metrics {
                metric.failed = false;
                metric.silent = false;
                metric.values.iter_mut().for_each(|value| *value = Some(value.unwrap_or(700)));
            }
        }
        group
    })
}

impl GroupCase {
    /// Makes the policy one that is accepted: a ratio that cannot hold is dropped, and its roles sleep all or none.
    fn repaired(mut self) -> Self {
        self.ratios.retain(|(_, _, min, max)| match (min, max) {
            (Some((a, b)), Some((c, d))) => a * d <= c * b,
            _ => true,
        });
        let roles = self.roles.clone();
        self.ratios.retain(|(first, second, min, max)| {
            let counts = |role: &RoleCase| {
                (role.min..=role.min + role.more).map(|gangs| gangs * role.gang).collect::<Vec<_>>()
            };
            let (firsts, seconds) = (counts(&roles[*first]), counts(&roles[*second]));
            let holds = |a: u32, b: u32| {
                min.is_none_or(|(x, y)| a * y >= x * b) && max.is_none_or(|(x, y)| a * y <= x * b)
            };
            firsts.iter().any(|a| seconds.iter().any(|b| holds(*a, *b)))
        });
        for _ in 0..self.roles.len() {
            for (first, second, ..) in &self.ratios {
                if self.roles[*first].zero.is_none() || self.roles[*second].zero.is_none() {
                    (self.roles[*first].zero, self.roles[*second].zero) = (None, None);
                }
            }
        }
        self
    }
}

fn role() -> impl Strategy<Value = RoleCase> {
    let shape = (
        (1_u32..=4, 0_u32..=3, 0_u32..=5, any::<prop::sample::Index>(), weighted(0.3, Just(()))),
        -1_i32..=1,
        weighted(0.2, Just(())),
        (any::<bool>(), vec(replica(), 14), weighted(0.3, 0_usize..=14)),
        weighted(0.2, (select(vec!["pending", "unschedulable", "loading"]), 1_usize..=6, 0_u32..=900)),
        any::<bool>(),
    );
    let policy = (
        vec(metric(), 0..=3),
        of(behavior()),
        weighted(0.4, (1_u32..=300, 0_u32..=8)),
        weighted(0.3, zero()),
        weighted(0.1, Just(())),
        (weighted(0.15, Just(())), weighted(0.1, Just(())), weighted(0.3, Just(()))),
    );
    let past = (
        weighted(0.8, Just(())),
        of(vec((0_u32..=24, 0_u32..=900), 0..=6)),
        vec((-6_i32..=6, 0_u32..=400), 0..=4),
        of(0_u32..=600),
        of(0_u32..=1200),
        weighted(0.15, (1_u32..=4, 0_u32..=600, -300_i64..=600, 1_u32..=24)),
        (of(0_u32..=7200), of(0_u32..=900)),
    );
    (shape, policy, past).prop_map(|(shape, policy, past)| {
        let ((gang, min, more, place, anywhere), status_off, leader_worker, replicas, tail, templates) =
            shape;
        let (metrics, behavior, fallback, zero, rolling_out, (silent, quiet, asleep)) = policy;
        let (seen, recommendations, events, answered, idle, rollback, since) = past;
        let min = if zero.is_some() { min.max(1) } else { min };
        // A maximum is one gang at least, and a role without metrics has a fixed count.
        let (min, more) =
            if metrics.is_empty() { (min.max(1), 0) } else { (min, more.max(u32::from(min == 0))) };
        // Mostly inside its bounds, on the grid or off it.
        let (least, most) =
            if anywhere.is_some() { (0, (min + more + 1) * gang) } else { (min * gang, (min + more) * gang) };
        let places = usize::try_from(most - least).unwrap_or(0) + 1;
        let mut current = least + u32::try_from(place.index(places)).unwrap_or(0);
        if zero.is_some() && asleep.is_some() {
            current = 0;
        }
        let mut role = RoleCase {
            gang,
            min,
            more,
            current,
            status_off,
            pods: 1 + u32::from(leader_worker.is_some()),
            replicas: existing(current, replicas, tail),
            templates,
            metrics,
            behavior,
            fallback: fallback.map(|(after, gangs)| (after, gangs.min(min + more))),
            zero: zero.map(|rule| ZeroCase {
                wake_to: rule.wake_to.map(|gangs| gangs.clamp(min, min + more)),
                ..rule
            }),
            rolling_out: rolling_out.is_some(),
            seen: seen.is_some(),
            recommendations: recommendations.unwrap_or_default(),
            events,
            answered,
            idle,
            rollback,
            since,
        };
        for (at, metric) in role.metrics.iter_mut().enumerate() {
            metric.failed |= silent.is_some();
            // The throughput is the role's: one metric by it is enough.
            if at > 0 && metric.kind == "tokens" {
                metric.kind = "total";
            }
        }
        if quiet.is_some() {
            role.falls_quiet();
        }
        role
    })
}

/// The replicas of a role: mostly one per ordinal, sometimes fewer; often most of them ready, with some at the end that
/// stand alike.
fn existing(
    current: u32,
    (mixed, mut replicas, fewer): (bool, Vec<ReplicaCase>, Option<usize>),
    tail: Option<(&'static str, usize, u32)>,
) -> Vec<ReplicaCase> {
    let current = usize::try_from(current).unwrap_or(0);
    replicas.truncate(fewer.unwrap_or(current).min(current));
    if !mixed {
        for replica in &mut replicas {
            replica.state = "ready";
        }
    }
    if let Some((state, count, age)) = tail {
        for replica in replicas.iter_mut().rev().take(count) {
            (replica.state, replica.age) = (state, age);
        }
    }
    replicas
}

impl RoleCase {
    /// Lets a role sleep by a rule of the whole group, if it has none and may.
    fn with(mut self, zero: Option<&ZeroCase>) -> Self {
        if self.min > 0 && !self.metrics.is_empty() && self.zero.is_none() {
            let (min, max) = (self.min, self.min + self.more);
            self.zero = zero
                .cloned()
                .map(|rule| ZeroCase { wake_to: rule.wake_to.map(|gangs| gangs.clamp(min, max)), ..rule });
        }
        self
    }

    /// Makes everything answer zero, with all replicas ready.
    fn falls_quiet(&mut self) {
        let ready = ReplicaCase { state: "ready", age: 600 };
        self.replicas = vec![ready; usize::try_from(self.current).unwrap_or(0).min(14)];
        for metric in &mut self.metrics {
            (metric.failed, metric.silent) = (false, false);
            metric.values.iter_mut().for_each(|value| *value = Some(0));
        }
        if let Some(zero) = &mut self.zero {
            zero.wake = Some(0);
        }
    }
}

fn replica() -> impl Strategy<Value = ReplicaCase> {
    let states =
        ["ready", "ready", "ready", "ready", "loading", "pending", "unschedulable", "deleted", "failed"];
    (select(states.to_vec()), 0_u32..=900).prop_map(|(state, age)| ReplicaCase { state, age })
}

fn metric() -> impl Strategy<Value = MetricCase> {
    let value = weighted(0.9, prop_oneof![1 => Just(0_u32), 4 => 0_u32..=2500]);
    (select(KINDS.to_vec()), 1_u32..=100, vec(value, 14), weighted(0.15, Just(())), weighted(0.15, Just(())))
        .prop_map(|(kind, target, values, failed, silent)| MetricCase {
            kind,
            target,
            values,
            failed: failed.is_some(),
            silent: silent.is_some(),
        })
}

fn behavior() -> impl Strategy<Value = BehaviorCase> {
    (rules(), rules()).prop_map(|(up, down)| BehaviorCase { up, down })
}

fn rules() -> impl Strategy<Value = RulesCase> {
    let policy =
        (select(vec!["Pods", "Percent"]), 1_u32..=120, 1_u32..=300).prop_map(|(kind, value, period)| {
            (kind, if kind == "Pods" { value % 12 + 1 } else { value }, period)
        });
    (
        of(0_u32..=600),
        of(select(vec!["Max", "Min", "Max", "Disabled"])),
        vec(policy, 0..=2),
        weighted(0.3, 0_u32..=500),
    )
        .prop_map(|(window, select, policies, tolerance)| RulesCase {
            window,
            select,
            policies,
            tolerance,
        })
}

fn zero() -> impl Strategy<Value = ZeroCase> {
    (1_u32..=1200, of(1_u32..=4), of(0_u32..=3)).prop_map(|(idle_after, wake_to, wake)| ZeroCase {
        idle_after,
        wake_to,
        wake,
    })
}
