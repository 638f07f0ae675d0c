//! The fenced blocks and links of Markdown pages, so that tests can try them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it begins, `file:line`.
    pub place: String,
    /// Its language, such as `yaml`; then what else stands behind the fence.
    pub info: String,
    /// What is in it.
    pub text: String,
}

impl Block {
    /// Says whether it holds whole objects, such as can be applied; parts of some, and such with something left out, do not.
    pub fn is_whole(&self) -> bool {
        let parsed: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&self.text);
        let is_object = |object: &Value| object["kind"].is_string() && object["apiVersion"].is_string();
        self.info == "yaml" && !self.text.contains('…') && parsed.is_ok_and(|all| all.iter().all(is_object))
    }
}

/// Returns the pages of people's documentation: README, the guides beside it, everything in `docs/`, and READMEs of folders.
pub fn markdown(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/examples/README.md"]
            .map(|name| root.join(name))
            .to_vec();
    for entry in fs::read_dir(root.join("docs")).context("docs")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the fenced blocks of a page.
pub fn blocks(file: &Path) -> Result<Vec<Block>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                let place = format!("{}:{}", file.display(), number + 1);
                open = Some(Block { place, info: info.trim().to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    Ok(found)
}

/// Returns what the links and pictures of a page lead to, outside of fenced blocks.
pub fn links(file: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let mut rest = line;
        while let Some(start) = rest.find("](") {
            rest = &rest[start + 2..];
            let Some(end) = rest.find(')') else { break };
            found.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
    }
    Ok(found)
}

/// Returns the anchor that GitHub gives a heading.
pub fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}
