//! The contended scenario: a plain HPA and rbg-autoscaler side by side, each in a pool of its own in which a training job takes
//! GPUs for a while.

mod picture;
mod pool;
mod tally;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    fleet::{endpoint::Target, load::Load, pool::LoadId, record::Sample, time::SimTime, trace::Trace},
    harness::{NodePool, apply_yaml, eventually},
    rbg::groups,
};

use super::{
    Options,
    scenario::NAMESPACE,
    stack::{self, Stack, say},
};
use pool::{GPUS_OF_A_POD, Pool, TRAINING};
use tally::{Tally, table};

const WORKLOADS: &str = include_str!("../../demo/contended.yaml");
const PATIENCE: Duration = Duration::from_secs(90);
/// Nodes of each pool, with eight GPUs each: room for four gangs.
const NODES: u32 = 8;
/// (share of the run, requests per simulated second) of each side.
const CURVE: [(f64, f64); 6] =
    [(0.0, 10.0), (0.12, 12.0), (0.4, 34.0), (0.72, 34.0), (0.85, 10.0), (1.0, 8.0)];
/// The shares of the run at which the training job begins and ends.
const TRAINS: (f64, f64) = (0.25, 0.62);

/// One of the two that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The name of the group and of its pool.
    pub group: &'static str,
    /// Who scales it.
    pub scaler: &'static str,
}

/// The two, in the order they are shown.
pub const SIDES: [Side; 2] =
    [Side { group: "plain", scaler: "plain HPA" }, Side { group: "gangs", scaler: "rbg-autoscaler" }];

/// Runs the scenario from beginning to end, printing as it goes.
///
/// Errors: something could not be started, or the chart cannot be saved.
pub async fn run(options: &Options) -> Result<()> {
    let began = Instant::now();
    let speed = f64::from(options.speed);
    println!("Starting");
    let stack = Stack::bare(speed).await?;
    stack::namespace(&stack.client).await?;
    say(&format!(
        "two pools of {NODES} nodes with 8 GPUs each; in each one the same model, a gang of four pods at least"
    ));
    for side in SIDES {
        NodePool::new(side.group, NODES, 8).create(&stack.client).await?;
    }
    apply_yaml(&stack.client, NAMESPACE, WORKLOADS).await.context("tests/demo/contended.yaml")?;
    say("waiting for the first gangs");
    eventually("the first gangs to serve", PATIENCE, async || {
        for side in SIDES {
            let pool = look(&stack, side).await?;
            if pool.serving != 4 {
                bail!("{}: {pool:?}", side.group);
            }
        }
        Ok(Some(()))
    })
    .await?;
    println!("Up after {:.0} s\n", began.elapsed().as_secs_f64());

    println!(
        "Replaying the Azure conversation trace, bent to one short day, against both: {} s of load at {} times its speed.\n\
         A training job takes {} of {} GPUs of each pool from {:.0} s to {:.0} s.\n",
        options.seconds,
        options.speed,
        TRAINING * GPUS_OF_A_POD,
        NODES * 8,
        TRAINS.0 * f64::from(options.seconds),
        TRAINS.1 * f64::from(options.seconds),
    );
    let span = Duration::from_secs(u64::from(options.seconds) * u64::from(options.speed));
    let mut loads = Vec::new();
    for side in SIDES {
        let curve = CURVE.map(|(share, rate)| (span.mul_f64(share), rate));
        let trace = Trace::azure_conversation()?.shaped(&curve, 7);
        let target = Target::role(NAMESPACE, side.group, "engine");
        loads.push(stack.fleet.add_load(Load::once(target, trace)));
    }
    let tallies = watch(&stack, options).await?;
    conclude(&stack, &loads, &tallies, options)?;
    super::end(&stack, began, options).await;
    Ok(())
}

/// Looks at a side, and lets the engines of whole gangs find each other.
async fn look(stack: &Stack, side: Side) -> Result<Pool> {
    let pods: Api<Pod> = Api::namespaced(stack.client.clone(), NAMESPACE);
    let of_side = ListParams::default().labels(&format!("app={}", side.group));
    let listed = pods.list(&of_side).await?.items;
    pool::join(&pods, &listed).await?;
    let group = groups(&stack.client, NAMESPACE).get(side.group).await?;
    let asked = group.data.pointer("/spec/roles/0/replicas").and_then(Value::as_u64).unwrap_or_default();
    Ok(Pool::of(u32::try_from(asked)?, &listed))
}

/// Notes what happens, second by second, and lets the training job come and go.
async fn watch(stack: &Stack, options: &Options) -> Result<Vec<Tally>> {
    let mut tallies: Vec<Tally> = SIDES.into_iter().map(Tally::new).collect();
    let began = Instant::now();
    let seconds = f64::from(options.seconds);
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut trains = false;
    let mut next_print = 0.0;
    while began.elapsed().as_secs_f64() < seconds + 30.0 {
        ticks.tick().await;
        let at = began.elapsed().as_secs_f64();
        let wanted = at >= TRAINS.0 * seconds && at < TRAINS.1 * seconds;
        if wanted != trains {
            trains = wanted;
            println!("{at:>4.0} s  the training job {}", if trains { "begins" } else { "ends" });
            for side in SIDES {
                pool::train(&stack.client, side.group, trains).await?;
            }
        }
        for (tally, side) in tallies.iter_mut().zip(SIDES) {
            let pool = look(stack, side).await?;
            if tally.note(at, pool) {
                println!("{at:>4.0} s  {:14}  {pool}", side.scaler);
            }
        }
        if at >= next_print {
            next_print = at + 30.0;
            println!("{at:>4.0} s of {:.0} s", seconds + 30.0);
        }
    }
    Ok(tallies)
}

/// Prints the table and saves the chart.
fn conclude(stack: &Stack, loads: &[LoadId], tallies: &[Tally], options: &Options) -> Result<()> {
    let speed = f64::from(options.speed);
    let samples: Vec<Vec<Sample>> = loads.iter().map(|load| stack.fleet.samples(*load)).collect();
    let summaries = loads.iter().map(|load| stack.fleet.summary(*load, SimTime::ZERO).unwrap_or_default());
    let columns: Vec<_> = tallies.iter().zip(summaries).collect();
    println!("\n{}", table(&columns, speed));
    say(
        "objective: first token within 2 s (1 s more per 4k prompt tokens beyond 4k), 100 ms per token; engines are simulated",
    );
    say(&format!("times are of the trace, which runs {} times as fast as the clock", options.speed));
    super::save(&picture::picture(tallies, &samples, f64::from(options.seconds), speed).to_svg(), options)
}
