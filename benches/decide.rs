//! What a decision costs: one large role, a whole fleet in one pass, and finding room for gangs in a large cluster.
//!
//! Goals: one role with three metrics and 100 replicas in 50 µs; 30,000 roles of 4 replicas and 2 metrics in 0.5 s on
//! one core; 100 gangs of eight pods on 5,000 nodes in 50 ms. The bench fails when a goal is missed by the best of its own
//! rounds: whatever else runs on the machine can only add to what a decision costs.

#![expect(clippy::expect_used, reason = "a benchmark's own input is right, or it ends")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use rbg_autoscaler::{
    api::snapshot::{DecisionInput, ScalingSnapshot},
    scaling::{RoleHistory, decide},
};
use serde_json::json;

const NOW: &str = "2026-11-21T10:00:00Z";
const GOAL_ROLE: Duration = Duration::from_micros(50);
const GOAL_FLEET: Duration = Duration::from_millis(500);
const GOAL_FIT: Duration = Duration::from_millis(50);
/// Of so many rounds the best one counts.
const ROUNDS: u32 = 7;
/// Groups of the fleet, with three roles each.
const GROUPS: usize = 10_000;

/// A group of roles named r0, r1 …, each with that many replicas and metrics, some way above target.
fn group(roles: usize, replicas: usize, metrics: usize, seed: usize) -> DecisionInput {
    let names: Vec<String> = (0..roles).map(|role| format!("r{role}")).collect();
    let policy = |name: &String| {
        let metrics: Vec<_> =
            (0..metrics).map(|at| json!({"name": format!("signal_{at}"), "target": "10"})).collect();
        json!({"name": name, "minReplicas": 1, "maxReplicas": 1000, "metrics": metrics, "behavior": {}})
    };
    let observed = |name: &String| {
        let pod = |at: usize| {
            json!({
                "metadata": {"name": format!("{name}-{at}")},
                "status": {
                    "phase": "Running", "startTime": "2026-11-21T08:00:00Z",
                    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T08:01:00Z"}],
                },
            })
        };
        let reading = |metric: usize| {
            let sample = |at: usize| {
                let value = 5 + (at * 7 + metric * 3 + seed) % 20;
                json!({"pod": format!("{name}-{at}"), "value": value, "timestamp": NOW, "window": "30s"})
            };
            json!({"samples": (0..replicas).map(sample).collect::<Vec<_>>()})
        };
        let recommendations: Vec<_> = (0..5)
            .map(|at| json!({"replicas": replicas + 4 - at, "time": format!("2026-11-21T09:5{at}:30Z")}))
            .collect();
        json!({
            "specReplicas": replicas,
            "pods": (0..replicas).map(pod).collect::<Vec<_>>(),
            "readings": (0..metrics).map(reading).collect::<Vec<_>>(),
            "history": {"recommendations": recommendations, "scaleEvents": [{"from": 1, "to": 2, "time": "2026-11-21T09:59:50Z"}]},
        })
    };
    let document = json!({
        "now": NOW,
        "autoscaler": {"spec": {"groupRef": {"name": "demo"}, "roles": names.iter().map(policy).collect::<Vec<_>>()}},
        "roles": names.iter().map(|name| (name.clone(), observed(name))).collect::<serde_json::Map<_, _>>(),
    });
    let now: Timestamp = NOW.parse().expect("a time");
    ScalingSnapshot::parse(&document.to_string())
        .and_then(|snapshot| snapshot.into_input(now))
        .expect("a document")
}

/// A role that wants so many more gangs of four replicas of two pods, each a whole node of eight GPUs, in a cluster whose
/// nodes are taken every other one.
fn cluster(nodes: usize, gangs: usize) -> DecisionInput {
    let requests = json!({"nvidia.com/gpu": "8", "cpu": "32", "memory": "512Gi"});
    let spec = json!({
        "nodeSelector": {"gpu": "h100"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "containers": [{"name": "engine", "resources": {"requests": requests}}],
    });
    let node = |at: usize| {
        json!({
            "metadata": {"name": format!("node-{at:05}"), "labels": {"gpu": if at % 10 == 9 { "a100" } else { "h100" }}},
            "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
            "status": {
                "allocatable": {"nvidia.com/gpu": "8", "cpu": "128", "memory": "2000Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    };
    let pod = |at: usize| {
        let mut spec = spec.clone();
        spec["nodeName"] = json!(format!("node-{:05}", at * 2));
        json!({"metadata": {"name": format!("other-{at}")}, "spec": spec, "status": {"phase": "Running"}})
    };
    let most = 4 * (gangs + 1);
    let document = json!({
        "now": NOW,
        "autoscaler": {"spec": {
            "groupRef": {"name": "demo"},
            "capacity": {"mode": "Fit"},
            "roles": [{
                "name": "worker", "minReplicas": 4, "maxReplicas": most, "gang": {"replicas": 4},
                "metrics": [{"name": "qps", "target": "1", "role": "router"}],
                "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": most, "periodSeconds": 15}]}},
            }],
        }},
        "roles": {"worker": {
            "specReplicas": 4,
            "templates": [{"count": 2, "spec": spec}],
            "readings": [{"values": [most], "expected": 1, "reported": 1}],
            "history": {"recommendations": []},
        }},
        "capacity": {
            "nodes": (0..nodes).map(node).collect::<Vec<_>>(),
            "pods": (0..nodes / 2).map(pod).collect::<Vec<_>>(),
        },
    });
    let now: Timestamp = NOW.parse().expect("a time");
    ScalingSnapshot::parse(&document.to_string())
        .and_then(|snapshot| snapshot.into_input(now))
        .expect("a document")
}

/// Decides on the whole fleet, each group with its own history, and returns how many writes came out.
fn pass(fleet: &[DecisionInput]) -> usize {
    let decide_one = |input: &DecisionInput| {
        let history: &[RoleHistory] = &input.history;
        black_box(decide(&input.policy, &input.observation, history, input.now)).writes.len()
    };
    fleet.iter().map(decide_one).sum()
}

/// What one run costs, over `times` of them, in the best round.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn timed(run: impl Fn() -> usize, times: u32) -> Duration {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..times {
            black_box(run());
        }
        start.elapsed() / times
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

fn costs(criterion: &mut Criterion) {
    let large = vec![group(1, 100, 3, 0)];
    criterion.bench_function("one role, 3 metrics, 100 replicas", |bencher| {
        bencher.iter(|| pass(black_box(&large)));
    });
    let fleet: Vec<DecisionInput> = (0..GROUPS).map(|seed| group(3, 4, 2, seed)).collect();
    criterion.bench_function("30,000 roles, 2 metrics, 4 replicas", |bencher| {
        bencher.iter_batched(|| (), |()| pass(black_box(&fleet)), BatchSize::PerIteration);
    });
    for (nodes, gangs) in [(500, 10), (500, 100), (5_000, 10), (5_000, 100)] {
        let room = vec![cluster(nodes, gangs)];
        criterion.bench_function(&format!("Fit, {nodes} nodes, {gangs} gangs of 8 pods"), |bencher| {
            bencher.iter(|| pass(black_box(&room)));
        });
    }
    let room = vec![cluster(5_000, 100)];
    let (role, all) = (timed(|| pass(&large), 500), timed(|| pass(&fleet), 1));
    let fit = timed(|| pass(&room), 3);
    println!(
        "one role: {role:?} (goal {GOAL_ROLE:?}); 30,000 roles: {all:?} (goal {GOAL_FLEET:?}); \
         Fit on 5,000 nodes: {fit:?} (goal {GOAL_FIT:?})"
    );
    assert!(role <= GOAL_ROLE && all <= GOAL_FLEET && fit <= GOAL_FIT, "a goal is missed");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5)).without_plots();
    targets = costs
}
criterion_main!(benches);
