//! [`Audit`]: what one user wrote, as kube-apiserver's audit log tells it.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::time::sleep;

use crate::control_plane::ControlPlane;

/// The audit log of a control plane, read for one user. Leases are not in it.
pub(super) struct Audit {
    file: PathBuf,
    user: &'static str,
}

/// How often what was written.
#[derive(Debug, Default)]
pub(super) struct Writes(BTreeMap<String, usize>);

impl Audit {
    /// Reads the log of a control plane that was started with one.
    pub(super) fn of(plane: &ControlPlane, user: &'static str) -> Self {
        Self { file: plane.logs().join("audit.log"), user }
    }

    /// Waits and returns what the user wrote meanwhile.
    pub(super) async fn writes_during(&self, span: Duration) -> Result<Writes> {
        let before = self.read()?.len();
        sleep(span).await;
        let log = self.read()?;
        let mut writes = Writes::default();
        for line in log.get(before..).unwrap_or_default().lines() {
            let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
            let verb = entry["verb"].as_str().unwrap_or_default();
            if entry["user"]["username"] == self.user
                && matches!(verb, "create" | "update" | "patch" | "delete")
            {
                let object = &entry["objectRef"];
                let [resource, part] =
                    ["resource", "subresource"].map(|key| object[key].as_str().unwrap_or_default());
                *writes.0.entry(format!("{verb} {resource} {part}").trim().to_owned()).or_default() += 1;
            }
        }
        Ok(writes)
    }

    fn read(&self) -> Result<String> {
        fs::read_to_string(&self.file).with_context(|| format!("cannot read {}", self.file.display()))
    }
}

impl Writes {
    /// Returns how many writes there were.
    pub(super) fn total(&self) -> usize {
        self.0.values().sum()
    }
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let told: Vec<_> = self.0.iter().map(|(what, times)| format!("{times} × {what}")).collect();
        f.write_str(&told.join(", "))
    }
}
