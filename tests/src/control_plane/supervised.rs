//! A child process that cannot outlive this process, however this process ends.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::state::detached;

/// Runs `"$@"`, passes it the signals named on standard input, kills it when standard input ends, and exits as it exits.
const SUPERVISOR: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null &
child=$!
(
  while read -r signal <&3; do kill -s "$signal" "$child" 2>/dev/null; done
  kill -s KILL "$child" 2>/dev/null
) &
watcher=$!
exec 3<&-
wait "$child"
status=$?
kill -s KILL "$watcher" 2>/dev/null
exit "$status"
"#;

/// A running program, its output in a log file. Killed on drop, and by a small shell beside it when this process is gone.
#[derive(Debug)]
pub struct Supervised {
    name: String,
    log: PathBuf,
    shell: Child,
}

/// How a program is started: its file, arguments and additional environment.
#[derive(Debug, Clone)]
pub struct CommandLine {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl CommandLine {
    /// Begins a command line with a program and no arguments.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

impl Supervised {
    /// Starts a program; what it prints is appended to `log`.
    pub fn start(name: &str, command_line: &CommandLine, log: &Path) -> Result<Self> {
        let open = || -> Result<File> {
            let file = File::options().create(true).append(true).open(log);
            file.with_context(|| format!("cannot open {}", log.display()))
        };
        let mut shell: Command = detached(SUPERVISOR);
        shell.arg(&command_line.program).args(&command_line.args);
        shell.envs(command_line.env.iter().map(|(name, value)| (name, value)));
        let shell = shell.stdout(open()?).stderr(open()?).spawn();
        let shell = shell.with_context(|| format!("cannot start sh for {name}"))?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), shell })
    }

    /// Returns the name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns all that it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Returns its exit status, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.shell.try_wait().ok().flatten()
    }

    /// Sends a signal by its name, for example `TERM` or `HUP`. A program that has ended does not mind.
    pub fn signal(&mut self, name: &str) {
        if let Some(pipe) = &mut self.shell.stdin {
            let _ = writeln!(pipe, "{name}");
        }
    }

    /// Asks it to end (SIGTERM) and waits; kills it when it has not ended by then. Returns whether it ended by itself.
    pub async fn stop(&mut self, patience: Duration) -> bool {
        const STEP: Duration = Duration::from_millis(20);
        self.signal("TERM");
        let mut waited = Duration::ZERO;
        while self.exited().is_none() {
            if waited >= patience {
                self.kill();
                return false;
            }
            sleep(STEP).await;
            waited += STEP;
        }
        true
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        self.signal("KILL");
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::eventually;

    fn start(script: &str, folder: &Path) -> Supervised {
        let command_line = CommandLine::new("sh").args(["-c", script]).env("GREETING", "hello");
        Supervised::start("script", &command_line, &folder.join("script.log")).unwrap()
    }

    async fn prints(program: &Supervised, text: &str) {
        let seen = async || Ok(program.log().contains(text).then_some(()));
        eventually(text, Duration::from_secs(10), seen).await.unwrap();
    }

    #[tokio::test]
    async fn exit_status_and_output_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = start("echo $GREETING; echo bad >&2; exit 7", folder.path());
        let status =
            eventually("its end", Duration::from_secs(10), async || Ok(program.exited())).await.unwrap();
        assert_eq!(status.code(), Some(7));
        assert_eq!(program.log(), "hello\nbad\n");
    }

    #[tokio::test]
    async fn a_polite_program_ends_by_itself_and_another_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut polite =
            start("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done", folder.path());
        prints(&polite, "up").await;
        assert!(polite.stop(Duration::from_secs(10)).await);
        assert!(polite.log().contains("bye"));

        let folder = tempfile::tempdir().unwrap();
        let mut deaf = start("trap '' TERM; echo up; while :; do sleep 0.02; done", folder.path());
        prints(&deaf, "up").await;
        assert!(!deaf.stop(Duration::from_millis(100)).await);
        assert!(deaf.exited().is_some());
    }
}
