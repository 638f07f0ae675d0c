//! [`Audit`]: what one user wrote, as kube-apiserver's audit log tells it.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

use crate::control_plane::ControlPlane;

/// The audit log of a control plane, read for one user. Leases are not in it.
pub(super) struct Audit {
    file: PathBuf,
    user: &'static str,
}

/// A place in the log.
#[derive(Clone, Copy)]
pub(super) struct Place(u64);

/// How often what was written.
#[derive(Debug, Default)]
pub(super) struct Writes(BTreeMap<String, usize>);

/// One write as the API server saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// When the request came.
    pub(super) received: Timestamp,
    /// When it was answered.
    pub(super) answered: Timestamp,
}

impl Audit {
    /// Reads the log of a control plane that was started with one.
    pub(super) fn of(plane: &ControlPlane, user: &'static str) -> Self {
        Self { file: plane.logs().join("audit.log"), user }
    }

    /// Returns where the log ends now.
    pub(super) fn end(&self) -> Result<Place> {
        let file = std::fs::metadata(&self.file);
        Ok(Place(file.with_context(|| format!("cannot read {}", self.file.display()))?.len()))
    }

    /// Waits and returns what the user wrote meanwhile.
    pub(super) async fn writes_during(&self, span: Duration) -> Result<Writes> {
        let before = self.end()?;
        sleep(span).await;
        let mut writes = Writes::default();
        for entry in self.writes_since(before)? {
            let object = &entry["objectRef"];
            let [verb, resource, part] =
                [&entry["verb"], &object["resource"], &object["subresource"]].map(text);
            *writes.0.entry(format!("{verb} {resource} {part}").trim().to_owned()).or_default() += 1;
        }
        Ok(writes)
    }

    /// Returns the first patch of each group since a place.
    pub(super) fn groups_patched_since(&self, place: Place) -> Result<BTreeMap<String, Seen>> {
        let mut patched = BTreeMap::new();
        for entry in self.writes_since(place)? {
            let object = &entry["objectRef"];
            if entry["verb"] == "patch" && object["resource"] == "rolebasedgroups" {
                let time = |field: &str| text(&entry[field]).parse::<Timestamp>();
                let seen =
                    Seen { received: time("requestReceivedTimestamp")?, answered: time("stageTimestamp")? };
                patched.entry(text(&object["name"]).to_owned()).or_insert(seen);
            }
        }
        Ok(patched)
    }

    fn writes_since(&self, place: Place) -> Result<impl Iterator<Item = Value>> {
        let mut log = String::new();
        let read = || -> std::io::Result<File> {
            let mut file = File::open(&self.file)?;
            file.seek(SeekFrom::Start(place.0))?;
            Ok(file)
        };
        read()
            .and_then(|mut file| file.read_to_string(&mut log))
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        // Most of the log is of others, and long.
        let of_user = format!("\"username\":\"{}\"", self.user);
        let lines = log.lines().filter(|line| line.contains(&of_user));
        let entries: Vec<Value> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        let user = self.user;
        Ok(entries.into_iter().filter(move |entry| {
            entry["user"]["username"] == user
                && matches!(text(&entry["verb"]), "create" | "update" | "patch" | "delete")
        }))
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
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
