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

    /// Returns how long its threads have been kept from their core by others although they had work.
    pub fn kept_waiting(self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id)).context("its threads")? {
            nanoseconds += waited(&thread?.path())?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    fn read(self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.id);
        fs::read_to_string(&path).with_context(|| format!("{path}: has the program ended?"))
    }
}

/// Returns how long the main thread of this process, which is the client, has been kept from its core.
pub fn client_kept_waiting() -> Result<Duration> {
    Ok(Duration::from_nanos(waited(Path::new(&format!("/proc/self/task/{}", std::process::id())))?))
}

/// Nanoseconds for which a thread was ready and did not run; none if it has ended.
fn waited(thread: &Path) -> Result<u64> {
    let Ok(statistics) = fs::read_to_string(thread.join("schedstat")) else { return Ok(0) };
    let waited = statistics.split_whitespace().nth(1).and_then(|waited| waited.parse().ok());
    waited.context("an unknown form of schedstat")
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
        own.kept_waiting().unwrap();
        client_kept_waiting().unwrap();
    }
}
