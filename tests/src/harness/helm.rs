//! Our Helm chart, rendered as users render it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::process::Command;

use crate::control_plane::programs;

/// Returns the folder `deploy` of this checkout.
pub fn deploy_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Runs one of the control plane's programs on files and returns what it prints.
///
/// Errors: it fails; the error holds what it wrote.
pub async fn run_tool(name: &str, args: &[&str]) -> Result<String> {
    let file = if name == "promtool" { programs::find_prometheus(name) } else { programs::find(name) };
    let output = Command::new(file?).args(args).output().await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{name} {}: {}{printed}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(printed)
}

/// A rendered chart: its objects.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The objects, in the order of the files.
    pub objects: Vec<Value>,
}

impl Rendered {
    /// Renders the chart as release `name` in `namespace`; `args` are more arguments of `helm template`.
    pub async fn chart(name: &str, namespace: &str, args: &[&str]) -> Result<Self> {
        let chart = deploy_folder().join("chart").display().to_string();
        let mut all = vec!["template", name, chart.as_str(), "--namespace", namespace];
        all.extend(args);
        Self::parse(&run_tool("helm", &all).await?)
    }

    /// Reads objects from YAML.
    pub fn parse(text: &str) -> Result<Self> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("not YAML")?;
        Ok(Self { objects: documents.into_iter().filter(|object| !object.is_null()).collect() })
    }

    /// Returns the objects of a kind.
    pub fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// Returns one object.
    pub fn object(&self, kind: &str, name: &str) -> Result<&Value> {
        let mut objects = self.of_kind(kind).into_iter();
        objects.find(|object| object["metadata"]["name"] == name).with_context(|| format!("no {kind} {name}"))
    }

    /// Returns the arguments of the first container of a Deployment.
    pub fn args(&self, deployment: &str) -> Result<Vec<String>> {
        let args =
            &self.object("Deployment", deployment)?["spec"]["template"]["spec"]["containers"][0]["args"];
        let args = args.as_array().with_context(|| format!("Deployment {deployment} without args"))?;
        Ok(args.iter().filter_map(|arg| arg.as_str().map(ToOwned::to_owned)).collect())
    }
}
