//! `kubectl rbga explain`: what happens to a group, why, and what would change it.

mod account;
mod advice;
mod outlook;
mod paint;
mod spark;

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Read, Write},
    thread,
    time::Duration,
};

use clap::Args;
use rbg_autoscaler::api::snapshot::{LiveDecision, ScalingSnapshot};

use self::{
    account::{Account, Material},
    paint::Ink,
};
use super::{
    CliError,
    decide::{answer, present, read},
    live::Cluster,
    snapshot::difference,
};

pub(super) const ABOUT: &str = "\
Tell what happens to a group, why, and what would change it.

The controller is asked for its next decision. For each role: how it came here, what each metric asks for and from which pods, every stage that
changed the number, what stands in the way and what to do, and at which load or time the count would change next.";

pub(super) const EXAMPLES: &str = "\
Examples:
  kubectl rbga explain chat -n serving
  kubectl rbga explain chat -n serving -w
  kubectl rbga explain -f snapshot.yaml
  kubectl rbga explain chat -o json | jq '.roles[].next'

Permissions: get or list Leases, get pods and create pods/portforward in the controller's namespace; none with -f or --controller.

Exit codes: 0 explained, 1 the controller cannot be asked, or decides nothing on this name, 2 the document is wrong.";

/// The time between two looks of --watch.
const LOOK: Duration = Duration::from_secs(2);

/// What `explain` takes.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The policy, or the group that it scales
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// A snapshot document instead of a live group; - reads standard input
    #[arg(short, long = "filename", value_name = "FILE", conflicts_with_all = ["name", "watch"])]
    file: Option<String>,
    /// Look again every two seconds
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    cluster: Cluster,
    /// How it is written
    #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

pub(super) fn run(
    options: &Options,
    stdin: &mut dyn Read,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CliError> {
    let is_terminal = std::io::stdout().is_terminal();
    let ink =
        Ink { colours: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    if let Some(file) = &options.file {
        let account = of_document(&read(file, stdin)?, err)?;
        return write(&account, options, ink, out);
    }
    let name = options.name.as_deref().unwrap_or_default();
    let mut has_answered = false;
    loop {
        match options.cluster.ask(name) {
            Ok(live) => {
                let account = of_live(live)?;
                if options.watch && is_terminal {
                    // The screen from its upper left corner on.
                    out.write_all(b"\x1b[H\x1b[2J")?;
                }
                write(&account, options, ink, out)?;
                has_answered = true;
            }
            // Who watches sees a controller go and another one come.
            Err(error) if has_answered => writeln!(err, "error: {error}")?,
            Err(error) => return Err(error.into()),
        }
        if !options.watch {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
}

fn write(account: &Account, options: &Options, ink: Ink, out: &mut dyn Write) -> Result<(), CliError> {
    if options.output == "json" {
        serde_json::to_writer_pretty(&mut *out, account)?;
        writeln!(out)?;
    } else {
        out.write_all(paint::text(account, ink).as_bytes())?;
    }
    out.flush()?;
    Ok(())
}

/// Explains a document.
fn of_document(text: &str, err: &mut dyn Write) -> Result<Account, CliError> {
    let snapshot = ScalingSnapshot::parse(text)?;
    let metadata = snapshot.autoscaler.metadata.clone();
    let (input, decision) = answer(snapshot, err)?;
    Ok(Account::of(Material {
        namespace: metadata.namespace.unwrap_or_else(|| "default".to_owned()),
        policy: metadata.name.unwrap_or_else(|| input.policy.group.clone()),
        input: &input,
        decision: &decision,
        status: None,
        trail: BTreeMap::new(),
        warning: None,
    }))
}

/// Explains what a controller answered.
fn of_live(live: LiveDecision) -> Result<Account, CliError> {
    let warning = difference(&live);
    let metadata = live.snapshot.autoscaler.metadata.clone();
    let text = serde_json::to_string(&live.snapshot)?;
    let input = ScalingSnapshot::parse(&text)?.into_input(present())?;
    Ok(Account::of(Material {
        namespace: metadata.namespace.unwrap_or_default(),
        policy: metadata.name.unwrap_or_default(),
        input: &input,
        decision: &live.decision,
        status: Some(&live.status),
        trail: live.trail,
        warning,
    }))
}

#[cfg(test)]
mod tests;
