//! What the shell offers after `kubectl rbga`, in the form that kubectl asks of plugins: one offer a line, then what else is offered.

use std::io::Write;

use clap::{Args, Command, CommandFactory, ValueHint};

use super::{Arguments, CliError};

/// Nothing else is offered.
const NOTHING: &str = ":4";
/// Files are offered besides.
const FILES: &str = ":0";

/// What has been typed so far; the last word may be empty.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let (offers, rest) = offered(&options.words);
    for offer in offers {
        writeln!(out, "{offer}")?;
    }
    writeln!(out, "{rest}")?;
    Ok(())
}

fn offered(words: &[String]) -> (Vec<String>, &'static str) {
    let program = Arguments::command();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let command = before.iter().find_map(|word| program.find_subcommand(word));
    let begins = |offer: &String| offer.starts_with(last);
    let flag = before.last().and_then(|flag| value_of(command.unwrap_or(&program), flag));
    if let Some(flag) = flag {
        let values = flag.get_possible_values().into_iter().map(|value| value.get_name().to_owned());
        let rest = if flag.get_value_hint() == ValueHint::FilePath || flag.get_id() == "file" {
            FILES
        } else {
            NOTHING
        };
        return (values.filter(begins).collect(), rest);
    }
    let Some(command) = command else {
        let known = program.get_subcommands().filter(|command| !command.is_hide_set());
        let about = |command: &Command| command.get_about().map(ToString::to_string).unwrap_or_default();
        let offers = known.map(|command| format!("{}\t{}", command.get_name(), about(command)));
        return (offers.filter(begins).collect(), NOTHING);
    };
    if !last.starts_with('-') {
        return (Vec::new(), NOTHING);
    }
    let flags = command.get_arguments().filter_map(|flag| {
        let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        Some(format!("--{}\t{}", flag.get_long()?, help.lines().next().unwrap_or_default()))
    });
    (flags.filter(begins).collect(), NOTHING)
}

/// The flag of that name, if a value must follow it.
fn value_of<'a>(command: &'a Command, word: &str) -> Option<&'a clap::Arg> {
    let takes_value = |flag: &&clap::Arg| flag.get_action().takes_values();
    let long = word.strip_prefix("--");
    let short = word.strip_prefix('-').and_then(|rest| rest.chars().next());
    command.get_arguments().filter(takes_value).find(|flag| match long {
        Some(long) => flag.get_long() == Some(long),
        None => short.is_some() && flag.get_short() == short,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_flags_and_values_are_offered() {
        for (typed, wanted, rest) in [
            (&["ex"][..], &["explain\t"][..], NOTHING),
            (&["explain", "--wa"], &["--watch\tLook again every two seconds"], NOTHING),
            (&["explain", "chat", "-o", ""], &["text", "json"], NOTHING),
            (&["decide", "-f", ""], &[], FILES),
            (&["explain", "ch"], &[], NOTHING),
        ] {
            let words: Vec<_> = typed.iter().map(|word| (*word).to_owned()).collect();
            let (offers, told) = offered(&words);
            let matches = offers.len() == wanted.len()
                && offers.iter().zip(wanted).all(|(offer, wanted)| offer.starts_with(wanted));
            assert!(matches && told == rest, "{typed:?}: {offers:?} {told}");
        }
        assert!(offered(&[String::new()]).0.len() >= 5, "all commands");
    }
}
