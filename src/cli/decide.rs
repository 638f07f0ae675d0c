//! `kubectl rbga decide`: one decision on a snapshot document, without a cluster.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
};

use clap::Args;
use jiff::Timestamp;
use rbg_autoscaler::api::snapshot::{DecisionDocument, DecisionInput, ScalingSnapshot};

use super::{CliError, Output, table};

pub(super) const ABOUT: &str = "\
Decide on a snapshot document, without a cluster.

A ScalingSnapshot (YAML or JSON) holds everything that one decision sees: the policy, the counts, pods and metrics of each role, what earlier
decisions left, and the room of the cluster. The answer tells for each role the count, why, and what to remember; give `history` back as
the next input to continue the run.";

pub(super) const EXAMPLES: &str = "\
Examples:
  kubectl rbga decide -f examples/snapshots/queue.yaml
  kubectl rbga decide -f snapshot.yaml -o json | jq '.writes'
  kubectl rbga decide -f - <<EOF
  apiVersion: rbg-autoscaler.dev/v1alpha1
  kind: ScalingSnapshot
  autoscaler:
    spec:
      groupRef: {name: demo}
      roles: [{name: decode, maxReplicas: 8, metrics: [{name: qps, target: \"4\", role: router}]}]
  roles:
    decode: {specReplicas: 2, readings: [{values: [\"13\"]}]}
  EOF

Exit codes: 0 decided, 2 the document is wrong (the message names the field, the value and the fix).";

/// What `decide` takes.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The snapshot document; - reads standard input
    #[arg(short, long = "filename", value_name = "FILE")]
    file: String,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(super) fn run(
    options: &Options,
    stdin: &mut dyn Read,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CliError> {
    let (input, document) = answer(ScalingSnapshot::parse(&read(&options.file, stdin)?)?, err)?;
    match options.output {
        Output::Table => out.write_all(table::render(&document, input.now).as_bytes())?,
        Output::Yaml => out.write_all(serde_saphyr::to_string(&document)?.as_bytes())?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, &document)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Decides on a document; what is odd about it goes to `err` as warnings.
pub(super) fn answer(
    snapshot: ScalingSnapshot,
    err: &mut dyn Write,
) -> Result<(DecisionInput, DecisionDocument), CliError> {
    let input = snapshot.into_input(present())?;
    for warning in &input.warnings {
        writeln!(err, "warning: {warning}")?;
    }
    let decision = DecisionDocument::new(&input.policy, input.decide());
    Ok((input, decision))
}

pub(super) fn read(path: &str, stdin: &mut dyn Read) -> Result<String, CliError> {
    let mut text = String::new();
    let result = if path == "-" {
        stdin.read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    match result {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(CliError::NoText { path: path.to_owned() })
        }
        Err(source) => Err(CliError::File { path: path.to_owned(), source }),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the program's edge: a document without `now` is decided at present"
)]
pub(super) fn present() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests;
