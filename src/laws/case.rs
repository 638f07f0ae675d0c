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
    /// Directions that are held.
    pub hold: Vec<&'static str>,
    pub recommend: bool,
    /// GPUs free on each node, when Fit looks at nodes.
    pub nodes: Option<Vec<u32>>,
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
    pub replicas: Vec<ReplicaCase>,
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
    /// Attempts, age, seconds until it ends, count.
    pub rollback: Option<(u32, u32, u32, u32)>,
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
#[derive(Clone, Debug)]
pub(super) struct BehaviorCase {
    pub up: RulesCase,
    pub down: RulesCase,
}

/// One direction.
#[derive(Clone, Debug)]
pub(super) struct RulesCase {
    pub window: Option<u32>,
    pub select: &'static str,
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
pub(super) const KINDS: [&str; 6] = ["signal", "pods", "cpu", "total", "object", "external"];

/// Groups of every kind.
pub(super) fn groups() -> impl Strategy<Value = GroupCase> {
    (1_usize..=3)
        .prop_flat_map(|roles| {
            let pair = (0..roles, 0..roles, of((1_u32..=4, 1_u32..=4)), of((1_u32..=4, 1_u32..=4)));
            (
                vec(role(), roles),
                vec(pair, 0..=3),
                weighted(0.1, select(vec!["Up", "Down"])),
                weighted(0.05, Just(())),
                of(vec(0_u32..=24, 0..=4)),
                any::<bool>(),
            )
        })
        .prop_map(|(roles, pairs, held, recommend, nodes, fit)| GroupCase {
            ratios: pairs
                .into_iter()
                .filter(|(first, second, min, max)| first != second && (min.is_some() || max.is_some()))
                .collect(),
            hold: held.into_iter().collect(),
            recommend: recommend.is_some(),
            nodes,
            fit,
            roles,
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
        let sleeping: Vec<bool> = self.roles.iter().map(|role| role.zero.is_some()).collect();
        self.ratios.retain(|(first, second, min, max)| {
            let ordered = match (min, max) {
                (Some((a, b)), Some((c, d))) => a * d <= c * b,
                _ => true,
            };
            ordered && sleeping[*first] == sleeping[*second]
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
        self
    }
}

fn role() -> impl Strategy<Value = RoleCase> {
    let shape =
        (1_u32..=4, 1_u32..=3, 0_u32..=5, any::<prop::sample::Index>(), -1_i32..=1, vec(replica(), 0..=14));
    let policy = (
        vec(metric(), 1..=3),
        of(behavior()),
        weighted(0.3, (1_u32..=300, 0_u32..=8)),
        weighted(0.3, zero()),
        weighted(0.1, Just(())),
    );
    let past = (
        weighted(0.8, Just(())),
        vec((0_u32..=24, 0_u32..=900), 0..=6),
        vec((-6_i32..=6, 0_u32..=400), 0..=4),
        of(0_u32..=600),
        of(0_u32..=1200),
        weighted(0.15, (1_u32..=4, 0_u32..=600, 0_u32..=600, 1_u32..=24)),
    );
    (shape, policy, past).prop_map(|(shape, policy, past)| {
        let (gang, min, more, place, status_off, mut replicas) = shape;
        let (metrics, behavior, fallback, zero, rolling_out) = policy;
        let (seen, recommendations, events, answered, idle, rollback) = past;
        let most = (min + more + 1) * gang;
        let current = u32::try_from(place.index(usize::try_from(most).unwrap_or(1) + 1)).unwrap_or(0);
        replicas.truncate(usize::try_from(current).unwrap_or(0));
        RoleCase {
            gang,
            min,
            more,
            current,
            status_off,
            replicas,
            metrics,
            behavior,
            fallback: fallback.map(|(after, gangs)| (after, gangs.min(min + more))),
            zero: zero.map(|rule| ZeroCase {
                wake_to: rule.wake_to.map(|gangs| gangs.clamp(min, min + more)),
                ..rule
            }),
            rolling_out: rolling_out.is_some(),
            seen: seen.is_some(),
            recommendations,
            events,
            answered,
            idle,
            rollback,
        }
    })
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
        select(vec!["Max", "Min", "Max", "Disabled"]),
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
