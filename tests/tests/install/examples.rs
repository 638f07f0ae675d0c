//! Everything that people are told to apply, asked of a real API server: server-side dry run with strict validation.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rbg_autoscaler_tests::harness::{Rendered, apply_yaml, deploy_folder, kubectl, run_tool, write_schemas};

use crate::world::World;

/// Kinds of others, as far as examples and the chart use them.
pub const FOREIGN: &str = include_str!("../../data/foreign-crds.yaml");

/// The examples, the overlays, and the chart with every part of monitoring and with cert-manager: taken by the API server, and by
/// kubeconform, which also refuses fields that are written twice.
pub async fn examples(world: &World) -> Result<()> {
    apply_yaml(&world.client, "", FOREIGN).await?;
    let namespace = world.scene.namespace().name();
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(deploy_folder().join("examples"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|it| it == "yaml") && !name.starts_with("values-") {
            files.push(path);
        }
    }
    ensure!(files.len() >= 12, "{files:?}");
    files.sort();
    for file in &files {
        dry_run(world, namespace, file).await?;
    }
    // Its objects need its namespace, which a dry run does not make.
    apply_yaml(&world.client, "", "{apiVersion: v1, kind: Namespace, metadata: {name: rbg-autoscaler}}")
        .await?;
    for (name, text) in rendered(world).await? {
        let file = world.plane.folder().join(format!("{name}.yaml"));
        fs::write(&file, text)?;
        dry_run(world, "rbg-autoscaler", &file).await.with_context(|| name.clone())?;
        files.push(file);
    }
    conform(world, &files).await
}

/// The overlays, and the chart with values of several kinds, by name.
async fn rendered(world: &World) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for overlay in ["prometheus", "victoria-metrics", "direct"] {
        let folder = deploy_folder().join("kustomize/overlays").join(overlay).display().to_string();
        all.push((format!("overlay-{overlay}"), kubectl(&world.plane, &["kustomize", &folder]).await?));
    }
    let chart = deploy_folder().join("chart").display().to_string();
    let with: [(&str, &[&str]); 4] = [
        ("defaults", &[]),
        ("k3s", &["--values", "examples/values-k3s.yaml"]),
        ("migration", &["--values", "examples/values-migration.yaml"]),
        (
            "namespaced",
            &[
                "--set",
                "controller.namespace=default,controller.networkPolicy.enabled=true,adapter.networkPolicy.enabled=true",
            ],
        ),
    ];
    for (name, args) in with {
        let args = args.iter().map(|arg| match arg.strip_prefix("examples/") {
            Some(file) => deploy_folder().join("examples").join(file).display().to_string(),
            None => (*arg).to_owned(),
        });
        let args: Vec<_> = args.collect();
        let mut all_args = vec!["template", "rbg-autoscaler", &chart, "--namespace", "rbg-autoscaler"];
        all_args.extend(args.iter().map(String::as_str));
        all.push((format!("chart-{name}"), run_tool("helm", &all_args).await?));
    }
    Ok(all)
}

/// Has kubeconform look at files, with the schemas of this API server.
async fn conform(world: &World, files: &[PathBuf]) -> Result<()> {
    let mut objects = Vec::new();
    for file in files {
        objects.extend(Rendered::parse(&fs::read_to_string(file)?)?.objects);
    }
    let location = write_schemas(&world.client, &objects, &world.plane.folder().join("schemas")).await?;
    let mut args = vec!["-strict".to_owned(), "-summary".to_owned(), "-schema-location".to_owned(), location];
    args.extend(files.iter().map(|file| file.display().to_string()));
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let told = run_tool("kubeconform", &args).await?;
    ensure!(told.contains("Invalid: 0, Errors: 0, Skipped: 0"), "{told}");
    Ok(())
}

/// Asks the API server whether it would take what is in a file.
pub async fn dry_run(world: &World, namespace: &str, file: &Path) -> Result<()> {
    let name = file.display().to_string();
    let args = ["create", "--dry-run=server", "--validate=strict", "--namespace", namespace, "-f", &name];
    match kubectl(&world.plane, &args).await {
        Ok(_) => Ok(()),
        // What exists already was valid when it was made; the rest must be all right.
        Err(error) => {
            let told = error.to_string();
            let wrong = told.lines().find(|line| line.contains("rror") && !line.contains("AlreadyExists"));
            ensure!(wrong.is_none(), "{name}: {told}");
            Ok(())
        }
    }
}
