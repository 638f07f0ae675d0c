//! Writes the pages of `docs/` that are made from the program. `make docs` runs it.

use std::fs;

use anyhow::{Context as _, Result};
use rbg_autoscaler_tests::docs::{pages, root};

fn main() -> Result<()> {
    for page in pages()? {
        let file = root().join("docs").join(page.name);
        fs::write(&file, page.text).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
