//! The documentation: made pages are up to date, links lead somewhere, blocks are what they say they are.

use std::fs;

use rbg_autoscaler_tests::docs::{
    blocks::{anchor, blocks, links, markdown},
    pages, root,
};
use serde_json::Value;

#[test]
fn made_pages_are_what_the_program_says() {
    for page in pages().unwrap() {
        let stored = fs::read_to_string(root().join("docs").join(page.name)).unwrap_or_default();
        assert!(stored == page.text, "docs/{} is not up to date: run `make docs`", page.name);
    }
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for file in markdown(&root()).unwrap() {
        for link in links(&file).unwrap() {
            if link.starts_with("http") || link.starts_with("mailto:") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let headings = fs::read_to_string(&target).unwrap_or_default();
            let is_there = target.exists()
                && (fragment.is_empty()
                    || headings.lines().any(|line| line.starts_with('#') && anchor(line) == fragment));
            if !is_there {
                dead.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_index_names_every_page() {
    let index = root().join("docs/README.md");
    let named = links(&index).unwrap();
    for file in markdown(&root().join("docs")).unwrap() {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || named.iter().any(|link| link == name), "docs/README.md lacks {name}");
    }
}

#[test]
fn the_images_are_built_with_the_toolchain_of_the_checkout() {
    let toolchain = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let version = toolchain.split('"').nth(1).unwrap();
    let dockerfile = fs::read_to_string(root().join("deploy/Dockerfile")).unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{version}-slim")), "deploy/Dockerfile, {version}");
    assert!(dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={version}\n")), "deploy/Dockerfile, {version}");
}

#[test]
fn yaml_blocks_are_yaml() {
    for file in markdown(&root()).unwrap() {
        for block in blocks(&file).unwrap() {
            if block.info.starts_with("yaml") {
                let parsed: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&block.text);
                assert!(parsed.is_ok(), "{}: {parsed:?}", block.place);
            }
        }
    }
}
