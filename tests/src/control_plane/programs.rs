//! Where the programs of the control plane lie: names and versions from the table that the build script reads too.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

const TABLE: &str = include_str!("../../control-plane/programs");

/// Returns the file of a program of the control plane, for example `kube-apiserver` or `kubectl`.
///
/// Errors: the program is not in the table, or was not built yet.
pub fn find(name: &str) -> Result<PathBuf> {
    let version = rows()
        .find(|row| row.name == name)
        .map(|row| row.version)
        .with_context(|| format!("{name} is not a program of the control plane"))?;
    let file = bin_folder()?.join(format!("{name}-{version}"));
    if !file.is_file() {
        bail!("{} is not there: run `make tools` first", file.display());
    }
    Ok(file)
}

/// Returns the file of `prometheus` or `promtool`.
///
/// The kind is what `PROMETHEUS_FROM` names (go, debian or path), else the first of these that is there.
pub fn find_prometheus(name: &str) -> Result<PathBuf> {
    let wanted = env::var("PROMETHEUS_FROM").unwrap_or_default();
    let kinds = if wanted.is_empty() { vec!["go", "debian", "path"] } else { vec![wanted.as_str()] };
    for kind in kinds {
        let file = match kind {
            "debian" => Some(bin_folder()?.join(format!("{name}-debian"))).filter(|file| file.is_file()),
            "go" => find(name).ok(),
            "path" => on_path(name),
            other => bail!("PROMETHEUS_FROM is {other:?}; it must be go, debian or path"),
        };
        if let Some(file) = file {
            return Ok(file);
        }
    }
    bail!("{name} is not there: run `make tools` first (with the same PROMETHEUS_FROM, if you set it)")
}

/// Returns the file of `victoria-metrics` or `vmalert`, or nothing on a machine without Debian's packages, where tests do without.
pub fn find_victoria_metrics(name: &str) -> Result<Option<PathBuf>> {
    let file = bin_folder()?.join(format!("{name}-debian"));
    if file.is_file() {
        return Ok(Some(file));
    }
    if on_path("apt-get").is_some() {
        bail!("{} is not there: run `make tools` first", file.display());
    }
    Ok(None)
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn bin_folder() -> Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => {
            Path::new(&env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache")
        }
    };
    Ok(cache.join("rbg-autoscaler").join("bin"))
}

/// One program of the table, as far as the harness needs it.
struct Row {
    name: &'static str,
    version: &'static str,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the build script reads it; the test compares it with go.mod")
    )]
    module: &'static str,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the build script reads it; the test compares it with go.mod")
    )]
    package: &'static str,
}

fn rows() -> impl Iterator<Item = Row> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (name, version, _when, module, _cold, package) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        Some(Row { name, version, module, package })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_table_are_those_of_go_mod() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane/go");
        let mut count = 0;
        for row in rows() {
            let go_mod = std::fs::read_to_string(folder.join(row.module).join("go.mod")).unwrap();
            let required = go_mod.lines().any(|line| {
                let mut words = line.trim().trim_start_matches("require ").split_whitespace();
                let (Some(module), Some(version)) = (words.next(), words.next()) else { return false };
                (row.package == module || row.package.starts_with(&format!("{module}/")))
                    && version == row.version
            });
            assert!(
                required,
                "{} {}: go/{}/go.mod requires another version",
                row.name, row.version, row.module
            );
            count += 1;
        }
        assert!(count > 10, "{count} rows of the table");
    }

    #[test]
    fn an_unknown_program_is_refused() {
        assert!(find("kubelet").unwrap_err().to_string().contains("not a program"));
    }
}
