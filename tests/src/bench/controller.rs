//! The controller at work on a real control plane: a thousand groups, what it writes, how soon and at what cost.
//!
//! Everything is real but the engines: one process tells Prometheus the metrics of all pods, because thousands of
//! scrapes a second would be the benchmark of something else.

mod audit;
mod engines;
mod fleet;
mod latency;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep};

use self::{audit::Audit, engines::Engines, fleet::Fleet};
use super::{Options, process::Process, report::say};
use crate::{
    control_plane::{ControlPlane, Options as PlaneOptions},
    harness::{Program, eventually, free_port, program_file},
};

/// The controller's program, and the user that it is for the audit log.
const PROGRAM: &str = "rbg-autoscaler";
/// The goals: of one core, in MiB, and beyond the collection interval.
const GOAL_CPU: f64 = 0.10;
const GOAL_MEMORY: f64 = 150.0;
const GOAL_BEYOND_INTERVAL: Duration = Duration::from_secs(1);
/// How often metrics are collected while latency is measured.
const FAST: Duration = Duration::from_secs(1);

/// Runs all of it, printing as it goes; returns whether every goal was met.
pub async fn run(options: Options) -> Result<bool> {
    let (groups, span, rounds) = if options.quick { (100, 20, 5) } else { (1000, 60, 20) };
    let port = free_port()?;
    say("control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok, Prometheus");
    let plane = ControlPlane::start(PlaneOptions {
        prometheus: true,
        audit: true,
        scrape_configs: vec![engines::scrape_config(port)],
        ..PlaneOptions::default()
    })
    .await?;
    let fleet = Fleet::create(&plane, groups).await?;
    let engines = Engines::serve(port, &fleet).await?;

    let mut controller = Controller::start(&plane, &fleet, Duration::from_secs(5)).await?;
    fleet.is_told().await?;
    let audit = Audit::of(&plane, PROGRAM);
    say("waiting for the controller to come to rest");
    let rest = Instant::now();
    loop {
        let writes = audit.writes_during(Duration::from_secs(15)).await?;
        latency::still_runs(&mut controller.program)?;
        if writes.total() == 0 {
            break;
        }
        ensure!(rest.elapsed() < Duration::from_secs(300), "it keeps on writing: {writes}");
    }
    println!("\n{} groups of 3 roles, {} pods, 2 metrics per role", fleet.groups, fleet.pods());
    say(&format!("constant metrics, collected every 5 s, for {span} s"));
    let process = Process::find(&program_file(PROGRAM)?)?;
    let (began, before) = (Instant::now(), process.processor_time()?);
    let writes = audit.writes_during(Duration::from_secs(span)).await?;
    latency::still_runs(&mut controller.program)?;
    let used = process.processor_time()?.saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64();
    let (memory, highest) = process.memory()?;
    let mut goals = vec![
        told(&format!("writes in {span} s of constant metrics, leases aside: {writes}"), writes.total() == 0),
        told(
            &format!("processor: {:.1} % of one core (goal {:.0} %)", used * 100.0, GOAL_CPU * 100.0),
            used <= GOAL_CPU,
        ),
        told(
            &format!(
                "resident memory: {memory:.0} MiB, at its highest {highest:.0} MiB (goal {GOAL_MEMORY:.0} MiB)"
            ),
            memory <= GOAL_MEMORY,
        ),
    ];
    controller.program.stop().await?;

    let mut controller = Controller::start(&plane, &fleet, FAST).await?;
    say(&format!("latency: {rounds} times ten roles whose queue doubles, collected every {FAST:?}"));
    let latencies =
        latency::measure(&plane, &fleet, &engines, &audit, &mut controller.program, rounds).await?;
    let limit = FAST + GOAL_BEYOND_INTERVAL;
    goals.push(told(
        &format!("from Prometheus to replicas (goal {limit:?} at p95): {latencies}"),
        latencies.whole.percentile(95) <= limit,
    ));
    Ok(goals.iter().all(|met| *met))
}

/// Prints a result and returns whether its goal was met.
fn told(text: &str, met: bool) -> bool {
    println!("{} {text}", if met { "  met   " } else { "  MISSED" });
    met
}

/// The controller's process.
struct Controller {
    program: Program,
}

impl Controller {
    /// Starts it and waits until its caches are filled.
    async fn start(plane: &ControlPlane, fleet: &Fleet, interval: Duration) -> Result<Self> {
        let port = free_port()?;
        let kubeconfig = plane.user(PROGRAM, Some("system:masters"))?;
        let interval = format!("{}s", interval.as_secs());
        let (listen, prometheus) = (format!("127.0.0.1:{port}"), plane.prometheus_url());
        let flags = [
            ("--kubeconfig", kubeconfig.to_str().context("a path that is no text")?),
            ("--prometheus-url", &prometheus),
            ("--sync-period", &interval),
            ("--collection-interval", &interval),
            ("--listen", &listen),
            ("--lease-namespace", fleet.namespace()),
        ];
        let mut args: Vec<&str> = flags.iter().flat_map(|(flag, value)| [*flag, *value]).collect();
        args.push("--leader-elect");
        let program = Program::start(PROGRAM, &args, &[])?;
        eventually("the controller is ready", Duration::from_secs(60), async || {
            let answer = reqwest::get(format!("http://{listen}/readyz")).await?;
            ensure!(answer.status().is_success(), "{}", answer.text().await?);
            Ok(Some(()))
        })
        .await?;
        sleep(Duration::from_secs(1)).await;
        Ok(Self { program })
    }
}
