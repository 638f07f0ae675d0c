//! The adapter without Prometheus: it scrapes pods by the thousand itself, every five seconds.
//!
//! Each pod answers with the page of a real engine. Pods are objects in a real kube-apiserver with addresses of the loopback network,
//! behind which is one process.

mod engines;

use anyhow::{Context as _, Result};
use rbg_autoscaler::metrics::catalog;
use tokio::time::sleep;

use self::engines::{Engines, address};
use super::{
    Options,
    client::Request,
    cluster::{Cluster, Group},
    contestant::{Contestant, INTERVAL, Running},
    cores::Cores,
    report::say,
};

/// Pods in all.
const SIZES: [usize; 2] = [1_000, 5_000];
/// Pods per namespace.
const PER_GROUP: usize = 20;

/// Runs all of it, printing as it goes.
pub async fn run(options: Options) -> Result<bool> {
    let cores = Cores::pick()?;
    let engines = Engines::serve().await?;
    say("control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok");
    let mut cluster = Cluster::start_scraped(engines.port(), address).await?;
    println!(
        "| pods | every | processor | memory now, most | a round: half within, longest | of 1,000 scrapes by a new connection |"
    );
    for size in SIZES.into_iter().filter(|size| !options.quick || *size == SIZES[0]) {
        let added = size - cluster.pods();
        say(&format!("pods: {added} more"));
        cluster.add(added / PER_GROUP, PER_GROUP).await?;
        cores.pin_the_rest()?;
        let running = Contestant::Direct.start(&cluster, cores).await?;
        want_all(&cluster, &running).await?;
        // Histories fill, so that every round does the same work.
        sleep(INTERVAL * if options.quick { 4 } else { 13 }).await;
        let span = INTERVAL * if options.quick { 4 } else { 12 };
        for hangs in [false, true] {
            engines.hang(hangs);
            if hangs {
                // The first time nobody knows which they are.
                sleep(INTERVAL * 3).await;
            }
            engines.asked();
            let before = running.process.processor_time()?;
            sleep(span).await;
            let used = running.process.processor_time()?.saturating_sub(before);
            let asked = engines.asked();
            let scrapes: usize = asked.rounds.iter().map(|(_, requests)| requests).sum();
            let (now, most) = running.process.memory()?;
            let half = asked.rounds.get(asked.rounds.len() / 2).context("no round")?.0;
            let longest = asked.rounds.last().context("no round")?.0;
            let new = f64::from(asked.connections) * 1000.0 / f64::from(u32::try_from(scrapes)?);
            println!(
                "| {size}{} | {} s | {:.1} % | {now:.0}, {most:.0} MiB | {:.2} s, {:.2} s | {new:.1} | {} rounds, {scrapes} scrapes",
                if hangs { ", 1 of 20 hangs" } else { "" },
                INTERVAL.as_secs(),
                used.as_secs_f64() / span.as_secs_f64() * 100.0,
                half.as_secs_f64(),
                longest.as_secs_f64(),
                asked.rounds.len(),
            );
        }
        engines.hang(false);
    }
    Ok(true)
}

/// Asks for every signal once, so that all are collected.
async fn want_all(cluster: &Cluster, running: &Running) -> Result<()> {
    let group: &Group = cluster.groups_of(PER_GROUP).next().context("no pods")?;
    let mut connection = running.endpoint.connect().await?;
    for signal in catalog::built_in(catalog::RATE_WINDOW) {
        let path = running.path(group).replace("queue_length", &signal.name);
        connection.get(&Request::new(path)).await?;
    }
    Ok(())
}
