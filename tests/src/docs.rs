//! The parts of `docs/` that are made from the program itself, so that they cannot lag behind it.

pub mod blocks;
mod policy;
mod signals;

use std::path::{Path, PathBuf};

use anyhow::Result;

/// A page that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its name in `docs/`.
    pub name: &'static str,
    /// What it is to hold.
    pub text: String,
}

/// Returns the folder of this checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns all made pages.
pub fn pages() -> Result<Vec<Page>> {
    Ok(vec![
        Page { name: "policy.md", text: policy::page()? },
        Page { name: "signals.md", text: signals::page() },
    ])
}
