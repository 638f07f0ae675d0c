//! `rbga-bench`: the programs at work on a real control plane. `make bench` runs it.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use rbg_autoscaler_tests::bench::{self, Options};

/// Measures the programs at work on a real control plane.
///
/// adapter: rbg-metrics-adapter and prometheus-adapter side by side, with 1,000 and then 10,000 pods. Both are asked what
/// the HPA controller asks them. Needs two cores and taskset (util-linux).
///
/// controller: rbg-autoscaler with 1,000 groups of three roles: what it writes while metrics are constant, its processor
/// time and memory, and how long it takes from a metric in Prometheus to replicas.
///
/// direct: rbg-metrics-adapter without Prometheus, with 1,000 and then 5,000 pods that it scrapes every five seconds: its
/// processor time and memory, how long a round takes, and what it is when one pod of twenty hangs. Needs two cores and taskset.
///
/// Prints as it goes; ends with the goals, and fails when one is missed.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Args {
    /// What to measure.
    #[arg(value_enum)]
    what: What,
    /// A tenth of the pods and short spans: minutes instead of a quarter of an hour. Missed goals are only told.
    #[arg(long)]
    quick: bool,
    /// Measure the adapters with this many pods only.
    #[arg(long, value_parser = ["1000", "10000"])]
    pods: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// The metrics adapter.
    Adapter,
    /// The controller.
    Controller,
    /// The metrics adapter without Prometheus.
    Direct,
}

// One thread: client and stand-in share a core with the control plane.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let pods = args.pods.and_then(|pods| pods.parse().ok());
    let options = Options { quick: args.quick, pods };
    let measured = match args.what {
        What::Adapter => bench::run(options).await,
        What::Controller => bench::controller::run(options).await,
        What::Direct => bench::direct::run(options).await,
    };
    match measured {
        Ok(is_met) if is_met || args.quick => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
