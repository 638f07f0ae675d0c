//! `rbg-metrics-adapter check`: says without a cluster what a configuration does.
//!
//! Which metrics it exposes for given series, what is wrong with it, and which PromQL a request becomes.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, ValueEnum};

use crate::{
    check::{input::Input, report::Report},
    rules::{
        config::RuleSet,
        id::{Finding, RuleId},
    },
};

mod answer;
mod input;
mod report;
mod table;

/// Shows which metrics a configuration exposes and which queries its requests become, without a cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "check", bin_name = "rbg-metrics-adapter check", after_help = EXAMPLES)]
pub struct Args {
    /// The configuration: prometheus-adapter's format.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// What /api/v1/series answers, as JSON; optionally with "resources" (kinds) and "objects" (what * means).
    #[arg(long, value_name = "FILE")]
    pub series: Option<PathBuf>,
    /// A request path to plan, with its query; may be repeated.
    #[arg(long = "request", value_name = "PATH")]
    pub requests: Vec<String>,
    /// For people, or for programs.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// The forms of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One JSON document.
    Json,
    /// Text in columns.
    Table,
}

const EXAMPLES: &str = "Examples:
  What a configuration exposes in a cluster:
    curl -s 'http://prometheus:9090/api/v1/series?match[]={namespace!=\"\"}' > series.json
    rbg-metrics-adapter check --config config.yaml --series series.json

  Which PromQL an HPA's request becomes:
    rbg-metrics-adapter check --config config.yaml --series series.json -o json \\
      --request '/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/queue_length?labelSelector=app%3Dweb'

Exit code: 0, or 2 when a rule is refused or a file cannot be read. A request that fails is part of the report.";

/// The exit code for a configuration with errors.
const REFUSED: u8 = 2;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: is not what /api/v1/series answers, {{\"data\": […]}}: {source}", path.display())]
    Series { path: PathBuf, source: serde_json::Error },
    #[error("writing the report: {0}")]
    Write(#[from] io::Error),
}

/// Runs the subcommand: the report goes to `out`, what prevents one to the standard error.
pub fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    match report(args).and_then(|report| {
        report.write(args.output, out)?;
        Ok(report)
    }) {
        Ok(report) if report.errors.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(REFUSED),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(REFUSED)
        }
    }
}

fn report(args: &Args) -> Result<Report, CheckError> {
    let config = read(&args.config)?;
    let input = match &args.series {
        None => Input::default(),
        Some(path) => {
            Input::parse(&read(path)?).map_err(|source| CheckError::Series { path: path.clone(), source })?
        }
    };
    Ok(check(&config, &input, &args.requests))
}

fn read(path: &Path) -> Result<String, CheckError> {
    fs::read_to_string(path).map_err(|source| CheckError::Read { path: path.to_owned(), source })
}

/// Checks a configuration's text. Pure.
fn check(config: &str, input: &Input, requests: &[String]) -> Report {
    let rules = match RuleSet::load(config) {
        Ok(rules) => rules,
        Err(error) => {
            let finding = Finding::new(&RuleId::Key("config".to_owned()), error.to_string());
            return Report { errors: vec![finding], ..Report::default() };
        }
    };
    let map = Arc::new(input.resource_map());
    let book = input.rulebook(rules.bind(&map), &map);
    Report {
        exposed: book.registry().exposed(),
        errors: book.rules().errors.clone(),
        warnings: crate::rules::lint::lint(&book),
        requests: requests.iter().map(|path| answer::answer(&book, input, path)).collect(),
        idle: report::idle(&book),
    }
}

#[cfg(test)]
mod tests;
