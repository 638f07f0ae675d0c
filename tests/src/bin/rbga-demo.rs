//! `rbga-demo`: everything on one machine, driven by a recorded trace. `make demo` runs it.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use rbg_autoscaler_tests::demo::{self, Options, Scenario};

/// Scales a simulated LLM fleet on a real control plane and shows what happens.
///
/// Starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok and Prometheus on loopback, then
/// rbg-metrics-adapter and rbg-autoscaler, replays a recorded trace against simulated model servers, prints a live table
/// and ends with a summary and a chart.
///
/// Examples:
///   rbga-demo
///   rbga-demo --seconds 120 --speed 20
///   rbga-demo --scenario contended
///   rbga-demo --keep            (then look around with kubectl)
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Args {
    /// What is shown: a day of three workloads, or a plain HPA and rbg-autoscaler side by side in a contended pool.
    #[arg(long, value_enum, default_value_t)]
    scenario: Scenario,
    /// Leave everything running at the end and print how to look around; ends with Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Wall seconds of load.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(30..=3600))]
    seconds: u32,
    /// Simulated seconds per wall second, for the trace and the engines (never for windows of policies).
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=60))]
    speed: u32,
    /// Where the chart is saved, as SVG; target/demo/chart.svg by default, or contended.svg beside it.
    #[arg(long)]
    chart: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let name = if args.scenario == Scenario::Contended { "contended" } else { "chart" };
    let chart = args.chart.unwrap_or_else(|| PathBuf::from(format!("target/demo/{name}.svg")));
    let Args { scenario, keep, seconds, speed, .. } = args;
    let options = Options { scenario, keep, seconds, speed, chart };
    tokio::select! {
        ended = demo::run(&options) => match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("demo: {error:#}");
                ExitCode::FAILURE
            }
        },
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\ndemo: interrupted; everything it started is being stopped");
            ExitCode::FAILURE
        }
    }
}
