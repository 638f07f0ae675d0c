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

/// Returns all pages of the checkout: the guides, `docs/`, and the READMEs of folders.
pub fn markdown(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if kind.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|it| it == "md") {
                files.push(path);
            }
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
    let mut found = Vec::new();
    for (_, line) in prose(file)? {
        let mut rest = line.as_str();
        while let Some(start) = rest.find("](") {
            rest = &rest[start + 2..];
            let Some(end) = rest.find(')') else { break };
            found.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
    }
    Ok(found)
}

/// Returns what stands between backticks in the text of a page, with its place, `file:line`.
pub fn spans(file: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (number, line) in prose(file)? {
        let place = format!("{}:{number}", file.display());
        found.extend(line.split('`').skip(1).step_by(2).map(|span| (place.clone(), span.to_owned())));
    }
    Ok(found)
}

/// The lines of a page outside of fenced blocks, numbered from 1.
fn prose(file: &Path) -> Result<Vec<(usize, String)>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.push((number + 1, line.to_owned()));
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
