//! kubectl, for what people would type.

use anyhow::{Result, bail};
use tokio::process::Command;

use super::program_file;
use crate::control_plane::{ControlPlane, programs};

/// Runs kubectl as an administrator and returns what it prints. Our plugin is on its path when it was built.
///
/// Errors: it fails; the error holds what it wrote to standard error.
pub async fn kubectl(plane: &ControlPlane, args: &[&str]) -> Result<String> {
    let mut command = Command::new(programs::find("kubectl")?);
    command.arg("--kubeconfig").arg(plane.kubeconfig()).args(args).env("KUBECONFIG", plane.kubeconfig());
    if let Ok(plugin) = program_file("kubectl-rbga") {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let folders =
            plugin.parent().map(ToOwned::to_owned).into_iter().chain(std::env::split_paths(&others));
        command.env("PATH", std::env::join_paths(folders)?);
    }
    let output = command.output().await?;
    if !output.status.success() {
        bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
