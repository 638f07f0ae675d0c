//! `rbga-bench`: the metrics adapter beside prometheus-adapter. `make bench` runs it.

use std::process::ExitCode;

use clap::Parser;
use rbg_autoscaler_tests::bench::{self, Options};

/// Measures rbg-metrics-adapter and prometheus-adapter side by side.
///
/// Starts a real control plane with 1,000 and then 10,000 pods and asks both adapters what the HPA controller asks them.
/// Prints as it goes; ends with the goals, and fails when one is missed. Needs two cores and taskset (util-linux).
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Args {
    /// 1,000 pods and short loads: minutes instead of a quarter of an hour. Missed goals are only told.
    #[arg(long)]
    quick: bool,
}

// One thread: client and stand-in share a core with the control plane.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match bench::run(Options { quick: args.quick }).await {
        Ok(is_met) if is_met || args.quick => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
