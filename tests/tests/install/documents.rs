//! Every object and command of the documentation, tried: objects by server-side dry run, commands as far as they can be run here.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use rbg_autoscaler_tests::{
    docs::{
        blocks::{Block, blocks, markdown, spans},
        root,
    },
    harness::{kubectl, program_file, run_tool},
};
use tokio::process::Command;

use crate::{examples::dry_run, world::World};

/// Commands that are not run here, by how they begin, and why.
const NOT_RUN: [(&str, &str); 6] = [
    ("helm uninstall", "nothing was installed by helm"),
    ("kubectl port-forward", "simulated pods forward nothing; the rest of its block is tried"),
    ("cargo deny check advisories", "needs a database from the network"),
    ("cargo insta review", "asks a person"),
    ("cargo install", "puts the plugin on the reader's path"),
    ("kubectl top", "a mention: metrics.k8s.io is tested by itself"),
];
/// What is left out in parts of objects, and what stands for it here.
const LEFT_OUT: (&str, &str) =
    ("template: …", "template: {spec: {containers: [{name: engine, image: engine}]}}");
/// Programs whose commands are tried where a text names them, too.
const PROGRAMS: [&str; 8] =
    ["cargo", "docker", "helm", "kubectl", "kubectl-rbga", "make", "rbg-autoscaler", "rbg-metrics-adapter"];

/// Tries all of it.
pub async fn documents(world: &World) -> Result<()> {
    let (mut objects, mut commands, mut wrong) = (0, 0, Vec::new());
    for file in markdown(&root())? {
        let mut before: Option<Block> = None;
        for block in blocks(&file)? {
            let outcome = match block.info.as_str() {
                "yaml" => object(world, &block.text).await,
                "yaml fragment" => fragment(world, &block.text).await,
                "sh" => {
                    let lines = block.text.lines().map(str::trim).filter(|line| !line.is_empty());
                    let mut outcome = Ok(());
                    for line in lines.filter(|line| !line.starts_with('#')) {
                        commands += 1;
                        outcome = outcome.and(command(world, line).await.with_context(|| line.to_owned()));
                    }
                    outcome
                }
                "" | "text" => printed(before.as_ref(), &block.text).await,
                other => Err(anyhow::anyhow!("what is a block of {other:?}?")),
            };
            objects += usize::from(block.info.starts_with("yaml"));
            if let Err(error) = outcome {
                wrong.push(format!("{}: {error:#}", block.place));
            }
            before = Some(block);
        }
        for (place, span) in spans(&file)? {
            let mut words = span.split_whitespace();
            if words.next().is_some_and(|word| PROGRAMS.contains(&word)) && words.next().is_some() {
                commands += 1;
                if let Err(error) = command(world, &span).await {
                    wrong.push(format!("{place}: {span}: {error:#}"));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(objects >= 8 && commands >= 60, "{objects} objects, {commands} commands");
    Ok(())
}

/// Asks the API server for a whole object.
async fn object(world: &World, text: &str) -> Result<()> {
    let file = world.plane.folder().join("block.yaml");
    fs::write(&file, text)?;
    dry_run(world, world.scene.namespace().name(), &file).await
}

/// Tries part of an object in its place.
async fn fragment(world: &World, text: &str) -> Result<()> {
    let text = text.replace(LEFT_OUT.0, LEFT_OUT.1);
    match text.split(':').next().unwrap_or_default() {
        "apiVersion" => object(world, &text).await,
        "metrics" => {
            let target = "{apiVersion: apps/v1, kind: Deployment, name: engine}";
            let head =
                "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: fragment}\n";
            let text = text.replace('\n', "\n  ");
            object(world, &format!("{head}spec:\n  scaleTargetRef: {target}\n  maxReplicas: 2\n  {text}\n"))
                .await
        }
        "scrape_configs" => {
            let file = world.plane.folder().join("scrape.yaml");
            fs::write(&file, &text)?;
            run_tool("promtool", &["check", "config", &file.display().to_string()]).await.map(drop)
        }
        other => bail!("no frame for a fragment that begins with {other:?}: add one here"),
    }
}

/// What a page says that the command before prints is what it prints.
async fn printed(before: Option<&Block>, text: &str) -> Result<()> {
    let line = before.filter(|block| block.info == "sh").map(|block| block.text.trim());
    let Some(args) = line.and_then(|line| line.strip_prefix("cargo run --quiet --bin kubectl-rbga -- "))
    else {
        return Ok(());
    };
    let output = run_own("kubectl-rbga", &args.split_whitespace().collect::<Vec<_>>()).await?;
    let is_shown = match text.trim().strip_suffix("\n…") {
        Some(beginning) => output.starts_with(beginning),
        None => output.trim() == text.trim(),
    };
    ensure!(is_shown, "it prints:\n{output}");
    Ok(())
}

/// Runs one of our programs in the checkout's folder.
async fn run_own(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program_file(program)?).args(args).current_dir(root()).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Tries one command: what would build, install or remove something is asked whether it would work instead.
async fn command(world: &World, line: &str) -> Result<()> {
    if NOT_RUN.iter().any(|(start, _)| line.starts_with(start)) {
        return Ok(());
    }
    // Of a pipeline the beginning is ours.
    let line = line.split(['>', '|', '&']).next().unwrap_or(line);
    let words: Vec<String> = line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", target, variables @ ..] => {
            let makefile = fs::read_to_string(root().join("Makefile"))?;
            ensure!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "no such target");
            for variable in variables {
                let name = variable.split('=').next().unwrap_or_default();
                let is_read =
                    makefile.contains(&format!("$({name})")) || makefile.contains(&format!(",$({name})"));
                ensure!(is_read, "the Makefile does not read {name}");
            }
            Ok(())
        }
        ["docker", "build", "-f", file, "--target", target, ..] => {
            let text = fs::read_to_string(root().join(file))?;
            ensure!(text.contains(&format!("AS {target}\n")), "no such target");
            Ok(())
        }
        ["cargo", "run", "--quiet", "--bin", program, "--", args @ ..] => {
            run_own(program, args).await.map(drop)
        }
        ["helm", "install" | "upgrade", release, chart, args @ ..] => {
            let args: Vec<String> = args
                .iter()
                .filter(|arg| **arg != "--reset-then-reuse-values")
                .map(|arg| if is_file(arg) { absolute(arg) } else { (*arg).to_owned() })
                .collect();
            let chart = absolute(chart);
            let mut all = vec!["template", *release, chart.as_str()];
            all.extend(args.iter().map(String::as_str));
            run_tool("helm", &all).await.map(drop)
        }
        // Flags before --help are checked, and nothing is done.
        ["kubectl", "rbga", args @ ..] | ["kubectl-rbga", args @ ..] => {
            run_own("kubectl-rbga", &[args, &["--help"]].concat()).await.map(drop)
        }
        [program @ ("rbg-autoscaler" | "rbg-metrics-adapter"), flag] if flag.starts_with("--") => {
            let flag = flag.split('=').next().unwrap_or_default();
            ensure!(run_own(program, &["--help"]).await?.contains(flag), "no such flag");
            Ok(())
        }
        [program @ ("rbg-autoscaler" | "rbg-metrics-adapter"), args @ ..] => {
            run_own(program, &[args, &["--help"]].concat()).await.map(drop)
        }
        ["kubectl", "apply", rest @ ..] => {
            let (flag, path) = (rest[rest.len() - 2], absolute(rest[rest.len() - 1]));
            let path = path.replace("NAME.yaml", "vllm-hpa.yaml");
            kubectl(&world.plane, &["apply", "--dry-run=client", "--validate=false", flag, &path])
                .await
                .map(drop)
        }
        ["kubectl", args @ ..] => {
            let told =
                kubectl(&world.plane, args).await.map_or_else(|error| error.to_string(), |_| String::new());
            // What is looked at need not be there, nor be of a kind that some cluster lacks.
            let is_missing = told.is_empty()
                || [
                    "not found",
                    "NotFound",
                    "doesn't have a resource type \"certificate\"",
                    "Invalid value: \"NAME\"",
                ]
                .iter()
                .any(|words| told.contains(words));
            ensure!(is_missing, "{told}");
            Ok(())
        }
        other => bail!("{:?} is not known here: try it, or say in NOT_RUN why not", other.join(" ")),
    }
}

fn absolute(path: &str) -> String {
    root().join(path).display().to_string()
}

fn is_file(path: &str) -> bool {
    path.contains('/') && Path::new(&absolute(path)).is_file()
}
