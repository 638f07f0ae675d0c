//! `rbga-bench`: the adapter beside prometheus-adapter, on one machine and in one run.
//!
//! The server under test has a core to itself; client, control plane and the stand-in for Prometheus share another. Both servers get
//! what kube-apiserver sends them for an HPA: requests over kept-alive TLS with the front proxy's certificate, about the pods that
//! a label selector selects. A real kube-apiserver authorizes and lists; caches are as each ships.

pub mod client;
pub mod cluster;
pub mod contestant;
pub mod controller;
pub mod cores;
pub mod direct;
pub mod load;
pub mod process;
pub mod report;
pub mod stand_in;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::time::{Instant, sleep_until};

use client::Request;
use cluster::{Cluster, Group};
use contestant::{Contestant, Running};
use cores::Cores;
use load::{Load, Outcome};
use process::client_kept_waiting;
use report::{Costs, Report, Row, say};

/// The HPA controller's sync period, and our collection interval.
const SYNC: Duration = Duration::from_secs(15);
/// The HPAs whose queries are counted.
const HPAS: usize = 100;

/// How it runs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Fewer pods and shorter loads, for a first look.
    pub quick: bool,
    /// How many pods the adapters are measured with; with [`SMALL`] and then with [`LARGE`] when absent.
    pub pods: Option<usize>,
}

/// A usual number of pods, and what there are of them: namespaces, and pods in each.
const SMALL: (usize, &[(usize, usize)]) = (1_000, &[(25, 20), (5, 100)]);
/// A large number, and what is added to the small one.
const LARGE: (usize, &[(usize, usize)]) = (10_000, &[(400, 20), (1, 1000)]);

/// Runs all of it, printing as it goes; returns whether every goal was met.
pub async fn run(options: Options) -> Result<bool> {
    let cores = Cores::pick()?;
    let mut report = Report::default();
    say("control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok");
    let mut cluster = Cluster::start().await?;
    let last = options.pods.unwrap_or(if options.quick { SMALL.0 } else { LARGE.0 });
    for (pods, added) in [SMALL, LARGE] {
        for (namespaces, pods) in added {
            say(&format!("pods: {namespaces} namespaces with {pods} pods each"));
            cluster.add(*namespaces, *pods).await?;
        }
        if options.pods.is_some_and(|only| only != pods) {
            continue;
        }
        cores.pin_the_rest()?;
        say(&format!(
            "{} pods; server on core {}, all else on core {}",
            cluster.pods(),
            cores.server,
            cores.rest
        ));
        report::heading(cluster.pods());
        for contestant in Contestant::ALL {
            let row = measure(&cluster, contestant, cores, options).await;
            report.add(row.with_context(|| contestant.name())?);
        }
        if pods == last {
            break;
        }
    }
    Ok(report.conclude())
}

/// Measures one contestant with the pods that there are.
async fn measure(cluster: &Cluster, contestant: Contestant, cores: Cores, options: Options) -> Result<Row> {
    let pods = cluster.pods();
    let running = contestant.start(cluster, cores).await?;
    let groups: Vec<&Group> = cluster.groups_of(20).collect();
    running.check(groups.first().context("no pods")?).await?;
    let seconds = |usual: u64| Duration::from_secs(if options.quick { 3 } else { usual });
    let load = |groups: &[&Group], connections: u32, duration: Duration, rate: Option<f64>| {
        let requests = groups.iter().map(|group| Request::new(running.path(group))).collect();
        Load { requests: Arc::new(requests), connections, duration, rate }
    };
    // Caches fill, permissions are asked for; as shipped the peer's throttle is then in force.
    load(&groups, 4, seconds(5), None).run(&running.endpoint).await?;

    let one = load(&groups, 1, seconds(10), None).run(&running.endpoint).await?;
    let (many, costs) = costly(&running, &load(&groups, 16, seconds(10), None)).await?;
    let rate = many.per_second() * 0.7;
    let before = (running.process.kept_waiting()?, client_kept_waiting()?);
    let paced = load(&groups, 16, seconds(10), Some(rate)).run(&running.endpoint).await?;
    let kept_waiting = (
        running.process.kept_waiting()?.saturating_sub(before.0),
        client_kept_waiting()?.saturating_sub(before.1),
    );
    let mut larger = Vec::new();
    for size in [100, 1000] {
        let groups: Vec<&Group> = cluster.groups_of(size).collect();
        if let Some(group) = groups.first() {
            running.check(group).await?;
            let outcome = load(&groups, 16, seconds(5), None).run(&running.endpoint).await?;
            larger.push((size, outcome));
        }
    }
    let queries =
        if pods == SMALL.0 { Some(queries(cluster, &running, &groups, options).await?) } else { None };
    let memory = running.process.memory()?;
    let row = Row { contestant, pods, one, many, costs, paced, kept_waiting, larger, queries, memory };
    row.print();
    Ok(row)
}

/// Runs a load and tells what it cost the server.
async fn costly(running: &Running, load: &Load) -> Result<(Outcome, Costs)> {
    let before = running.process.processor_time()?;
    let outcome = load.run(&running.endpoint).await?;
    let used = running.process.processor_time()?.saturating_sub(before);
    let costs = Costs {
        per_request: used / outcome.answers().max(1),
        busy: used.as_secs_f64() / outcome.elapsed().as_secs_f64().max(f64::EPSILON),
    };
    Ok((outcome, costs))
}

/// Counts the queries to Prometheus while 100 HPAs, each with one Pods metric, are synced as the HPA controller does it.
async fn queries(cluster: &Cluster, running: &Running, groups: &[&Group], options: Options) -> Result<f64> {
    let syncs = if options.quick { 1 } else { 2 };
    let requests: Vec<_> =
        groups.iter().cycle().take(HPAS).map(|group| Request::new(running.path(group))).collect();
    let (mut before, start) = (cluster.stand_in.queries(), Instant::now());
    for sync in 0..=syncs {
        // The first sync meets answers of the loads before it, so it does not count.
        if sync == 1 {
            before = cluster.stand_in.queries();
        }
        // Five workers, as many as the HPA controller has.
        let mut connections = Vec::new();
        for _ in 0..5 {
            connections.push(running.endpoint.connect().await?);
        }
        let work = connections.iter_mut().zip(0..).map(async |(connection, worker)| {
            for request in requests.iter().skip(worker).step_by(5) {
                connection.get(request).await?;
            }
            anyhow::Ok(())
        });
        futures::future::try_join_all(work).await?;
        sleep_until(start + SYNC * (sync + 1)).await;
    }
    Ok(f64::from(cluster.stand_in.queries() - before) / f64::from(syncs))
}
