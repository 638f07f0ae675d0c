//! Everything that people are told to apply, asked of a real API server: server-side dry run with strict validation.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rbg_autoscaler_tests::harness::{apply_yaml, deploy_folder, kubectl, run_tool};

use crate::world::World;

/// Kinds of others, as far as examples and the chart use them.
const FOREIGN: &str = include_str!("../../data/foreign-crds.yaml");

/// The examples, the overlays, and the chart with every part of monitoring and with cert-manager.
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
    for overlay in ["prometheus", "victoria-metrics", "direct"] {
        let folder = deploy_folder().join("kustomize/overlays").join(overlay).display().to_string();
        let text = kubectl(&world.plane, &["kustomize", &folder]).await?;
        // Its objects need its namespace, which a dry run does not make.
        apply_yaml(&world.client, "", "{apiVersion: v1, kind: Namespace, metadata: {name: rbg-autoscaler}}")
            .await?;
        let file = world.plane.folder().join(format!("{overlay}.yaml"));
        fs::write(&file, text)?;
        dry_run(world, "rbg-autoscaler", &file).await.with_context(|| format!("overlay {overlay}"))?;
    }
    let chart = deploy_folder().join("chart").display().to_string();
    for values in ["values-k3s", "values-migration"] {
        let values = deploy_folder().join(format!("examples/{values}.yaml")).display().to_string();
        let args =
            ["template", "rbg-autoscaler", &chart, "--namespace", "rbg-autoscaler", "--values", &values];
        let file = world.plane.folder().join("chart.yaml");
        fs::write(&file, run_tool("helm", &args).await?)?;
        dry_run(world, "rbg-autoscaler", &file).await.with_context(|| values)?;
    }
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
