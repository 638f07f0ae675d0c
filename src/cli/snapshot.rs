//! `kubectl rbga snapshot`: everything that the next decision on a live group sees.

use std::io::Write;

use clap::Args;
use rbg_autoscaler::api::snapshot::{DecisionDocument, LiveDecision, ScalingSnapshot};

use super::{CliError, live::Cluster};

pub(super) const ABOUT: &str = "\
Print everything that the next decision on a live group sees.

The controller is asked for its next decision; what that saw is printed as a ScalingSnapshot: the policy, counts, trimmed pods, metrics and
what earlier decisions left. `kubectl rbga decide -f` decides on it again, without a cluster, and comes to the same. Attach it to bug reports;
it names pods and nodes and holds no environment, arguments or images.";

pub(super) const EXAMPLES: &str = "\
Examples:
  kubectl rbga snapshot chat -n serving > snapshot.yaml
  kubectl rbga decide -f snapshot.yaml
  kubectl rbga snapshot chat -n serving --controller http://127.0.0.1:8081 -o json

Permissions: get or list Leases, get pods and create pods/portforward in the controller's namespace; none with --controller.

Exit codes: 0 printed, 1 the controller cannot be asked, or decides nothing on this name.";

/// What `snapshot` takes.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The policy, or the group that it scales
    name: String,
    #[command(flatten)]
    cluster: Cluster,
    /// How it is written
    #[arg(short, long, value_parser = ["yaml", "json"], default_value = "yaml")]
    output: String,
}

pub(super) fn run(options: &Options, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), CliError> {
    let live = options.cluster.ask(&options.name)?;
    if let Some(difference) = difference(&live) {
        writeln!(err, "warning: {difference}; please report this with the snapshot")?;
    }
    if options.output == "json" {
        serde_json::to_writer_pretty(&mut *out, &live.snapshot)?;
        writeln!(out)?;
    } else {
        out.write_all(serde_saphyr::to_string(&live.snapshot)?.as_bytes())?;
    }
    out.flush()?;
    Ok(())
}

/// Returns in what a decision on the snapshot differs from the live one.
pub(super) fn difference(live: &LiveDecision) -> Option<String> {
    let text = match serde_json::to_string(&live.snapshot) {
        Ok(text) => text,
        Err(error) => return Some(format!("the snapshot cannot be written: {error}")),
    };
    let present = live.snapshot.now.unwrap_or_default();
    let input = ScalingSnapshot::parse(&text).and_then(|snapshot| snapshot.into_input(present));
    let again = match input {
        Ok(input) => DecisionDocument::new(&input.policy, input.decide()),
        Err(error) => return Some(format!("the snapshot cannot be decided on: {error}")),
    };
    (again != live.decision).then(|| "a decision on the snapshot differs from the live one".to_owned())
}
