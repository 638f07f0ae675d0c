//! `kubectl-rbga`, the kubectl plugin: decisions replayed, and the CustomResourceDefinition.

mod cli;

use std::{io, process::ExitCode};

use clap::Parser;

fn main() -> ExitCode {
    let stdin = io::stdin();
    let (mut out, mut err) = (io::stdout(), io::stderr());
    cli::run(cli::Arguments::parse(), &mut stdin.lock(), &mut out, &mut err)
}
