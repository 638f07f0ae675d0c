//! Our own programs, as users start them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::eventually::eventually;
use crate::control_plane::{CommandLine, StateFolder, Supervised, keep_logs_of_a_panic};

/// How long a program may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// One of our programs, running. Killed when dropped, and when this process ends in any other way. When a test panics, its log is
/// kept and its last errors are printed.
#[derive(Debug)]
pub struct Program {
    // The program drops before the folder it writes to.
    process: Supervised,
    state: StateFolder,
}

impl Program {
    /// Starts a program by its name, for example `rbg-autoscaler`, with arguments and additional environment.
    pub fn start(name: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        Self::start_file(name, program_file(name)?, args, env)
    }

    /// Starts any program file under a name for its log.
    pub fn start_file(name: &str, file: PathBuf, args: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        let mut command_line = CommandLine::new(file)
            .args(args.iter().copied())
            // Everything that tests talk to is on loopback, whatever proxy the environment names.
            .env("NO_PROXY", "127.0.0.0/8,localhost")
            .env("RUST_BACKTRACE", "1");
        for (name, value) in env {
            command_line = command_line.env(*name, *value);
        }
        let state = StateFolder::create("rbga-program-")?;
        let process = Supervised::start(name, &command_line, &state.logs().join(format!("{name}.log")))?;
        Ok(Self { process, state })
    }

    /// Returns a folder for files of this program; it vanishes with it.
    pub fn folder(&self) -> &Path {
        self.state.path()
    }

    /// Returns the file that it prints to.
    pub fn log_file(&self) -> PathBuf {
        self.state.logs().join(format!("{}.log", self.process.name()))
    }

    /// Returns all that it has printed so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it has printed `text`. Errors: it ended, or `patience` has passed.
    pub async fn printed(&mut self, text: &str, patience: Duration) -> Result<()> {
        let name = self.process.name().to_owned();
        let what = format!("{name} prints {text:?}");
        let ended = eventually(&what, patience, async || {
            // In this order, or the last words of a program that ends would be missed.
            let status = self.process.exited();
            let log = self.log();
            if log.contains(text) {
                return Ok(Some(None));
            }
            match status {
                Some(status) => Ok(Some(Some((status, log)))),
                None => bail!("{}", log.lines().next_back().unwrap_or("no output")),
            }
        });
        match ended.await? {
            None => Ok(()),
            Some((status, log)) => {
                bail!("{name} ended with {status} before it printed {text:?}; its log:\n{log}")
            }
        }
    }

    /// Returns its exit status, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.exited()
    }

    /// Waits for its end.
    pub async fn ended(&mut self, patience: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.process.name());
        eventually(&what, patience, async || Ok(self.process.exited())).await
    }

    /// Sends a signal by its name, for example `HUP`.
    pub fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Asks it to end (SIGTERM) and waits. Errors: it did not end by itself, and was killed.
    pub async fn stop(&mut self) -> Result<()> {
        if !self.process.stop(STOP_PATIENCE).await {
            bail!("{} did not end within {STOP_PATIENCE:?} of SIGTERM", self.process.name());
        }
        Ok(())
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        keep_logs_of_a_panic(&self.state.logs());
    }
}

/// Returns the file of one of our programs, which lies beside the running one.
///
/// Errors: it was not built.
pub fn program_file(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("this program has no path")?;
    let mut folder = own.parent().context("this program has no folder")?;
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder = folder.parent().context("this program has no target folder")?;
    }
    let file = folder.join(name);
    if !file.is_file() {
        let release = if folder.ends_with("release") { " --release" } else { "" };
        bail!("{} is not there: run `cargo build --workspace{release}`", file.display());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_not_built_says_how() {
        let error = Program::start("rbg-nothing", &[], &[]).unwrap_err().to_string();
        assert!(error.contains("rbg-nothing is not there: run `cargo build --workspace"), "{error}");
    }
}
