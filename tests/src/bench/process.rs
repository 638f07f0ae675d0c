//! [`Process`]: what a running program has used, as the kernel counts it.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use super::cores::descendants;

/// The kernel counts processor time in hundredths of a second, whatever its own clock.
const TICK: Duration = Duration::from_millis(10);

/// A running program.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    id: u32,
}

impl Process {
    /// Finds a program that this process has started, by its file.
    pub fn find(file: &Path) -> Result<Self> {
        let file = file.canonicalize().with_context(|| file.display().to_string())?;
        let is_it = |id: &u32| fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| exe == file);
        let found = descendants(std::process::id())?.into_iter().find(is_it);
        Ok(Self { id: found.with_context(|| format!("{} does not run", file.display()))? })
    }

    /// Returns the processor time used so far, in user and kernel mode.
    pub fn processor_time(self) -> Result<Duration> {
        let stat = self.read("stat")?;
        let fields = stat.rsplit_once(')').context("an unknown form of stat")?.1;
        let ticks = |at: usize| fields.split_whitespace().nth(at).and_then(|field| field.parse::<u32>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("an unknown form of stat")?;
        Ok(TICK * (user + system))
    }

    /// Returns the resident memory in MiB: now, and at its highest.
    pub fn memory(self) -> Result<(f64, f64)> {
        let status = self.read("status")?;
        let mebibytes = |name: &str| -> Option<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kibibytes| kibibytes / 1024.0)
        };
        mebibytes("VmRSS").zip(mebibytes("VmHWM")).context("an unknown form of status")
    }

    fn read(self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.id);
        fs::read_to_string(&path).with_context(|| format!("{path}: has the program ended?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = Process { id: std::process::id() };
        let (now, highest) = own.memory().unwrap();
        assert!(now > 0.5 && highest >= now, "{now} {highest}");
        own.processor_time().unwrap();
    }
}
