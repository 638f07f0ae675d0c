//! Our programs as a kubelet starts them: with the arguments, the files and the token that a Deployment gives them.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Api, Client};
use rbg_autoscaler_tests::{
    control_plane::ControlPlane,
    harness::{Program, Rendered, deploy_folder, free_port, program_file, service_account_kubeconfig},
};
use serde_json::{Value, json};
use tokio::process::Command;

/// The containers of one namespace.
pub struct Containers<'a> {
    pub plane: &'a ControlPlane,
    pub client: Client,
    pub namespace: &'a str,
}

impl Containers<'_> {
    /// Starts a program as the container of a Deployment.
    pub async fn run(&self, rendered: &Rendered, deployment: &str, program: &str) -> Result<Program> {
        let pod = &rendered.object("Deployment", deployment)?["spec"]["template"]["spec"];
        let kubeconfig = self.kubeconfig(pod).await?.display().to_string();
        let mut args = rendered.args(deployment)?;
        for (path, volume) in mounts(pod)? {
            let folder = self.plane.folder().join(format!("volume-{}", free_port()?));
            self.mount(volume, &folder).await?;
            for arg in &mut args {
                *arg = arg.replace(path, &folder.display().to_string());
            }
        }
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        Program::start(program, &args, &environment(&kubeconfig))
    }

    /// The same out of the image's file tree: read-only, as its user, with nothing else in sight. Needs root.
    pub async fn run_image(&self, rendered: &Rendered, deployment: &str, program: &str) -> Result<Program> {
        let tree = self.plane.folder().join(format!("image-{program}"));
        let scripts = deploy_folder().join("image");
        let made = Command::new(scripts.join("tree")).arg(program_file(program)?).arg(&tree).status().await?;
        ensure!(made.success(), "the image's tree cannot be made");
        let pod = &rendered.object("Deployment", deployment)?["spec"]["template"]["spec"];
        let kubeconfig = self.kubeconfig(pod).await?;
        let mut parsed: Value = serde_json::from_str(&fs::read_to_string(kubeconfig)?)?;
        let cluster = &mut parsed["clusters"][0]["cluster"];
        *cluster = json!({"server": cluster["server"], "certificate-authority-data": ByteString(self.plane.pki().ca().into_bytes())});
        fs::write(tree.join("kubeconfig"), parsed.to_string())?;
        for (path, volume) in mounts(pod)? {
            self.mount(volume, &tree.join(path.trim_start_matches('/'))).await?;
        }
        let args = rendered.args(deployment)?;
        let tree = tree.display().to_string();
        let mut all = vec![tree.as_str(), program];
        all.extend(args.iter().map(String::as_str));
        Program::start_file(program, scripts.join("run"), &all, &environment("/kubeconfig"))
    }

    async fn kubeconfig(&self, pod: &Value) -> Result<PathBuf> {
        let account = pod["serviceAccountName"].as_str().context("no service account")?;
        service_account_kubeconfig(self.plane, self.namespace, account).await
    }

    /// Writes what a volume holds into a folder.
    async fn mount(&self, volume: &Value, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        if let Some(name) = volume["configMap"]["name"].as_str() {
            let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace);
            for (key, text) in api.get(name).await?.data.unwrap_or_default() {
                fs::write(folder.join(key), text)?;
            }
        } else if let Some(name) = volume["secret"]["secretName"].as_str() {
            let api: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
            for (key, bytes) in api.get(name).await?.data.unwrap_or_default() {
                fs::write(folder.join(key), bytes.0)?;
            }
        } else {
            bail!("what is the volume {volume}?");
        }
        Ok(())
    }
}

/// Makes sure that a program runs as the images' user, and that nothing can be written where it is, not even by root.
pub fn is_confined(program: &str) -> Result<()> {
    // The kernel keeps fifteen letters of a name.
    let name: String = program.chars().take(15).collect();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        let read = |file: &str| fs::read_to_string(process.join(file)).unwrap_or_default();
        let is_its_user = read("status").lines().any(|line| line == "Uid:\t65532\t65532\t65532\t65532");
        if is_its_user && read("comm").trim() == name {
            let wrote = fs::write(process.join("root/probe"), "");
            let is_read_only = wrote.is_err_and(|error| error.kind() == ErrorKind::ReadOnlyFilesystem);
            ensure!(is_read_only, "the root of {program} is not read-only");
            return Ok(());
        }
    }
    bail!("no {program} runs as uid 65532")
}

/// Returns where the first container of a pod has which volumes.
fn mounts(pod: &Value) -> Result<Vec<(&str, &Value)>> {
    let mut found = Vec::new();
    for mount in pod["containers"][0]["volumeMounts"].as_array().into_iter().flatten() {
        let mut volumes = pod["volumes"].as_array().into_iter().flatten();
        let volume = volumes.find(|volume| volume["name"] == mount["name"]).context("no volume")?;
        found.push((mount["mountPath"].as_str().context("no path")?, volume));
    }
    Ok(found)
}

/// How both programs find the API server.
fn environment(kubeconfig: &str) -> [(&str, &str); 2] {
    [("KUBECONFIG", kubeconfig), ("RBG_AUTOSCALER_KUBECONFIG", kubeconfig)]
}
