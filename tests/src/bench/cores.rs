//! [`Cores`]: the server under test alone on one core, everything else on another.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail};

/// Two cores of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// Of the server under test.
    pub server: usize,
    /// Of everything else: the client, and behind it the control plane and the stand-in for Prometheus.
    pub rest: usize,
}

impl Cores {
    /// Picks the first and the last core. Errors: there is only one.
    pub fn pick() -> Result<Self> {
        let count = std::thread::available_parallelism().context("the number of cores is unknown")?.get();
        if count < 2 {
            bail!("the benchmark needs two cores: one for the server, one for everything else");
        }
        Ok(Self { server: count - 1, rest: 0 })
    }

    /// Keeps this process, all its threads and all that it has started on [`Self::rest`], where this thread goes first: it is the
    /// client, and a request that it sends late would count as answered late.
    ///
    /// Errors: `taskset` or `chrt` (util-linux) is missing or refuses.
    pub fn pin_the_rest(self) -> Result<()> {
        let (own, rest) = (std::process::id(), self.rest.to_string());
        for process in descendants(own)?.into_iter().chain([own]) {
            tool("taskset", &["--all-tasks", "--cpu-list", "--pid", &rest], process)?;
            if process != own {
                tool("chrt", &["--all-tasks", "--idle", "--pid", "0"], process)?;
            }
        }
        for thread in fs::read_dir("/proc/self/task")? {
            let thread: u32 = thread?.file_name().to_string_lossy().parse().context("the id of a thread")?;
            if thread != own {
                tool("chrt", &["--idle", "--pid", "0"], thread)?;
            }
        }
        Ok(())
    }
}

/// Changes how a process or thread is scheduled, unless it has ended meanwhile.
fn tool(name: &str, args: &[&str], id: u32) -> Result<()> {
    let output = Command::new(name)
        .args(args)
        .arg(id.to_string())
        .output()
        .with_context(|| format!("{name} cannot be started; install util-linux"))?;
    if !output.status.success() && fs::exists(format!("/proc/{id}"))? {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Returns the ids of all processes that a process has started, and that those have.
pub fn descendants(of: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").context("/proc")? {
        let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(parent) = parent(process) {
            parents.push((process, parent));
        }
    }
    let mut found = vec![of];
    let mut next = 0;
    while let Some(known) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == known).map(|(process, _)| *process));
        next += 1;
    }
    Ok(found.split_off(1))
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // `pid (name) state parent …`; the name may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_found() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let found = descendants(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&child.id()), "{found:?}");
    }
}
