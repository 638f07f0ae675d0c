//! The command line: what can be asked, and the exit codes.
//!
//! 0 = answered, 1 = could not be answered, 2 = the input is wrong (the message names the field, the value and the fix).

mod complete;
mod decide;
mod explain;
mod live;
mod signals;
mod snapshot;
mod table;

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use rbg_autoscaler::api::{autoscaler::InputError, crd};

const EXAMPLES: &str = "\
Examples:
  kubectl get rbga -A                    which group needs a look: REASON is not Scaling
  kubectl rbga explain chat -n serving   what happens to it, why, and what would change it
  kubectl rbga signals                   the metrics that policies can name

Completion: kubectl offers commands and flags when a program kubectl_complete-rbga is on the PATH:
  printf '#!/bin/sh\\nexec kubectl rbga __complete \"$@\"\\n' > ~/.local/bin/kubectl_complete-rbga
  chmod +x ~/.local/bin/kubectl_complete-rbga";

/// Autoscaling of RoleBasedGroups, seen from the command line.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-rbga",
    bin_name = "kubectl rbga",
    version,
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Decide on a snapshot document, without a cluster
    #[command(long_about = decide::ABOUT, after_long_help = decide::EXAMPLES)]
    Decide(decide::Options),
    /// List the named metrics that policies and HPAs can use
    #[command(long_about = signals::ABOUT, after_long_help = signals::EXAMPLES)]
    Signals(signals::Options),
    /// Tell what happens to a group, why, and what would change it
    #[command(long_about = explain::ABOUT, after_long_help = explain::EXAMPLES)]
    Explain(explain::Options),
    /// Print everything that the next decision on a live group sees
    #[command(long_about = snapshot::ABOUT, after_long_help = snapshot::EXAMPLES)]
    Snapshot(snapshot::Options),
    /// Print the CustomResourceDefinition
    #[command(after_long_help = "Examples:\n  kubectl rbga crds | kubectl apply -f -")]
    Crds,
    #[command(name = "__complete", hide = true)]
    Complete(complete::Options),
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For programs and people
    Yaml,
    /// For programs
    Json,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("{0}")]
    Input(#[from] InputError),
    #[error("{path}: cannot be read: {source}; name a file, or - for standard input")]
    File { path: String, source: io::Error },
    #[error("{path}: is no text in UTF-8; name a document in YAML or JSON")]
    NoText { path: String },
    #[error("there is no signal {name:?}; write one of {known}")]
    UnknownSignal { name: String, known: String },
    #[error("{0}")]
    Live(#[from] live::LiveError),
    #[error("the CustomResourceDefinition cannot be made: {0}")]
    Crd(#[from] crd::CrdError),
    #[error("the answer cannot be written as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    #[error("the answer cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the answer cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Runs one command; the answer goes to `out`, everything else to `err`.
pub fn run(arguments: Arguments, stdin: &mut dyn Read, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let result = match arguments.command {
        Command::Decide(options) => decide::run(&options, stdin, out, err),
        Command::Signals(options) => signals::run(&options, out),
        Command::Explain(options) => explain::run(&options, stdin, out, err),
        Command::Snapshot(options) => snapshot::run(&options, out, err),
        Command::Complete(options) => complete::run(&options, out),
        Command::Crds => {
            crd::yaml().map_err(CliError::from).and_then(|text| Ok(out.write_all(text.as_bytes())?))
        }
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    let output = match &error {
        CliError::Output(error) => Some(error.kind()),
        CliError::Json(error) => error.io_error_kind(),
        _ => None,
    };
    // A reader that went away (`| head`) is no fault.
    if output == Some(io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    // With standard error closed there is nobody left to tell.
    let _ = writeln!(err, "error: {error}");
    match error {
        CliError::Input(_)
        | CliError::File { .. }
        | CliError::NoText { .. }
        | CliError::UnknownSignal { .. } => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
