//! Every object and command of the documentation, tried: objects by server-side dry run, commands as far as they can be run here.

use std::fs;

use anyhow::{Context, Result, ensure};
use rbg_autoscaler_tests::{
    docs::{
        blocks::{Block, blocks, markdown},
        root,
    },
    harness::{kubectl, program_file, run_tool},
};
use tokio::process::Command;

use crate::{examples::dry_run, world::World};

/// Tries all of it.
pub async fn documents(world: &World) -> Result<()> {
    let (mut objects, mut commands) = (0, 0);
    for file in markdown(&root())? {
        for block in blocks(&file)? {
            if block.is_whole() {
                let file = world.plane.folder().join("block.yaml");
                fs::write(&file, &block.text)?;
                dry_run(world, world.scene.namespace().name(), &file)
                    .await
                    .with_context(|| block.place.clone())?;
                objects += 1;
            }
            if block.info == "sh" {
                commands += tried(world, &block).await.with_context(|| block.place.clone())?;
            }
        }
    }
    ensure!(objects >= 5 && commands >= 15, "{objects} objects, {commands} commands");
    Ok(())
}

async fn tried(world: &World, block: &Block) -> Result<usize> {
    let mut count = 0;
    for line in block.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        command(world, line).await.with_context(|| line.to_owned())?;
        count += 1;
    }
    Ok(count)
}

/// Tries one command: what would build, install or remove something is asked whether it would work instead.
async fn command(world: &World, line: &str) -> Result<()> {
    // Of a pipeline the beginning is ours.
    let line = line.split(['>', '|', '&']).next().unwrap_or(line);
    let words: Vec<String> = line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", target, ..] => {
            let makefile = fs::read_to_string(root().join("Makefile"))?;
            ensure!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "no such target");
        }
        ["docker", "build", "-f", file, "--target", target, ..] => {
            let text = fs::read_to_string(root().join(file))?;
            ensure!(text.contains(&format!("AS {target}\n")), "no such target");
        }
        ["cargo", "run", "--quiet", "--bin", program, "--", args @ ..] => {
            let output = Command::new(program_file(program)?).args(args).current_dir(root()).output().await?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        ["helm", "install" | "upgrade", release, chart, args @ ..] => {
            let chart = root().join(chart).display().to_string();
            let mut all = vec!["template", *release, chart.as_str()];
            let mut args = args.iter();
            let paths: Vec<String> = Vec::new();
            let mut values = paths;
            while let Some(arg) = args.next() {
                match *arg {
                    "--reuse-values" => {}
                    "--values" => {
                        let file = args.next().context("a file")?;
                        values.push(root().join(file).display().to_string());
                    }
                    other => all.push(other),
                }
            }
            for file in &values {
                all.extend(["--values", file]);
            }
            run_tool("helm", &all).await?;
        }
        // Flags before --help are checked, and nothing is done.
        ["kubectl", "rbga", args @ ..] | ["kubectl-rbga", args @ ..] => {
            let output =
                Command::new(program_file("kubectl-rbga")?).args(args).arg("--help").output().await?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        [program @ ("rbg-autoscaler" | "rbg-metrics-adapter"), args @ ..] => {
            let output = Command::new(program_file(program)?).args(args).arg("--help").output().await?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        ["helm", "uninstall", ..] | ["kubectl", "port-forward", ..] => {}
        ["kubectl", "apply", rest @ ..] => {
            let (flag, path) = (rest[rest.len() - 2], rest[rest.len() - 1]);
            let path = root().join(path).display().to_string();
            kubectl(&world.plane, &["apply", "--dry-run=client", "--validate=false", flag, &path]).await?;
        }
        ["kubectl", args @ ..] => {
            // What is looked at need not be there.
            if let Err(error) = kubectl(&world.plane, args).await {
                let told = error.to_string();
                ensure!(told.contains("not found") || told.contains("NotFound"), "{told}");
            }
        }
        other => eprintln!("not tried: {}", other.join(" ")),
    }
    Ok(())
}
