//! The folder that holds all that a control plane or a program under test writes. It never outlives the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Reads until the harness is gone, then removes the folder `$1`. Programs that are being killed at the same moment may still
/// write, so it looks twice.
const JANITOR: &str = r#"
while read -r _; do :; done
tries=0
until rm -rf -- "$1" 2>/dev/null && sleep 0.5 && [ ! -e "$1" ]; do
  tries=$((tries + 1)); [ "$tries" -lt 50 ] || exit 1
  sleep 0.1
done
"#;

/// A temporary folder that is removed on drop, and by a waiting shell when the process ends in any other way: `kill -9`, abort, or
/// statics that are never dropped.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    janitor: Child,
}

impl StateFolder {
    /// Creates a folder in the system's folder for temporary files; its name begins with `prefix`.
    pub fn create(prefix: &str) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix(prefix).tempdir().context("cannot create a state folder")?;
        fs::create_dir(folder.path().join("logs")).context("cannot create the folder for logs")?;
        let janitor =
            detached(JANITOR).arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let janitor = janitor.context("cannot start sh")?;
        Ok(Self { path: folder.keep(), janitor })
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder of the log files inside it.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        for _ in 0..50 {
            match fs::remove_dir_all(&self.path) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
        let _ = self.janitor.kill();
        let _ = self.janitor.wait();
    }
}

/// Returns a shell that runs `script` and reads from this process through a pipe: the pipe ends when this process ends.
///
/// It leads a process group of its own, so that Ctrl-C in a terminal reaches only this process.
pub(super) fn detached(script: &str) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).stdin(Stdio::piped()).process_group(0);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_with_its_owner() {
        let state = StateFolder::create("rbga-state-").unwrap();
        let path = state.path().to_owned();
        fs::write(state.logs().join("a.log"), "text").unwrap();
        drop(state);
        assert!(!path.exists());
    }
}
