//! Real inputs: those that the tests of this project use, and a few lines in `seeds/`.

use std::{
    fs,
    io::{self, Error},
    path::{Path, PathBuf},
};

/// What engines expose.
pub fn expositions() -> io::Result<Vec<Vec<u8>>> {
    files("tests/data/expositions", "prom")
}

/// Label selectors.
pub fn selectors() -> io::Result<Vec<Vec<u8>>> {
    lines("fuzz/seeds/selectors")
}

/// Configurations of rules.
pub fn rules() -> io::Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for folder in folders("adapter/tests/rules")? {
        all.push(fs::read(folder.join("config.yaml"))?);
    }
    Ok(all)
}

/// Paths of requests.
pub fn paths() -> io::Result<Vec<Vec<u8>>> {
    let mut all = lines("fuzz/seeds/paths")?;
    for folder in folders("adapter/tests/rules")? {
        all.extend(lines_of(&fs::read(folder.join("requests.txt"))?));
    }
    Ok(all)
}

/// Headers, certificates and lists of names.
pub fn headers() -> io::Result<Vec<Vec<u8>>> {
    let mut all = lines("fuzz/seeds/headers")?;
    all.push(all.join(&b'\n'));
    Ok(all)
}

/// Answers of Prometheus.
pub fn answers() -> io::Result<Vec<Vec<u8>>> {
    lines("fuzz/seeds/answers")
}

/// Snapshot documents.
pub fn snapshots() -> io::Result<Vec<Vec<u8>>> {
    files("examples/snapshots", "yaml")
}

fn root() -> io::Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(Path::to_owned).ok_or_else(|| Error::other("this crate lies nowhere"))
}

fn folders(folder: &str) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(root()?.join(folder))?.collect::<io::Result<Vec<_>>>()?;
    let mut folders: Vec<_> =
        entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

fn files(folder: &str, extension: &str) -> io::Result<Vec<Vec<u8>>> {
    let entries = fs::read_dir(root()?.join(folder))?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths.iter().map(fs::read).collect()
}

fn lines(file: &str) -> io::Result<Vec<Vec<u8>>> {
    Ok(lines_of(&fs::read(root()?.join(file))?))
}

fn lines_of(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}
