//! `kubectl rbga explain`, `snapshot` and `decide`, and `kubectl get rbga`.

use std::{net::UdpSocket, os::unix::fs::symlink, process::Output};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use rbg_autoscaler_tests::{
    control_plane::{Component, programs},
    harness::{apply, apply_yaml, kubectl, program_file, service_account_kubeconfig},
};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    replay::replayed,
    world::{POD, World, ask, seen},
};

pub async fn a_snapshot_decides_as_the_controller_did(world: &World) -> Result<()> {
    replayed(&world.scene, "demo").await?;
    let namespace = world.scene.namespace().name();
    let yaml = rbga(&["snapshot", "demo", "-n", namespace, "--controller", &address(world)]).await?;
    ensure!(yaml.starts_with("apiVersion: rbg-autoscaler.dev/v1alpha1\nkind: ScalingSnapshot\n"), "{yaml}");
    ensure!(!yaml.contains("image:") && !yaml.contains("env:"), "more than a decision reads:\n{yaml}");
    let (code, why) = ask(&world.scene, "nothing").await?;
    ensure!(code == 404 && why.contains("there is no policy"), "{code}: {why}");
    let (code, why) = ask(&world.scene, "lost").await?;
    ensure!(
        code == 409 && why.contains("GroupNotFound: there is no RoleBasedGroup nowhere"),
        "{code}: {why}"
    );
    Ok(())
}

pub async fn explain_tells_each_role(world: &World) -> Result<()> {
    let namespace = world.scene.namespace().name();
    let flags = ["explain", "demo", "-n", namespace, "--controller", &address(world)];
    let text = rbga(&flags).await?;
    println!("{text}");
    ensure!(!text.contains('\u{1b}'), "colours, but no terminal:\n{text}");
    for wanted in [
        "up  stays at 4; the metrics ask for",
        "ScalingLimited TooManyReplicas",
        "down  stays at 1",
        "capacity",
        "silent  stays at 1",
        "zero  stays at 0",
        "queue_length: 20 ÷ 10 = 2, × 4 replicas = 8 → 8  ← decides",
        "raises to 2 when queue_length passes 11 per replica",
        "in steps of 1 replica × 1 pod = 1 pod",
        "replicas  ",
        "next: wakes to 1 when queue_length of router passes 0",
    ] {
        ensure!(text.contains(wanted), "{wanted:?} is not in\n{text}");
    }
    ensure!(!text.contains("differs from the live one"), "{text}");
    let json = rbga(&[&flags[..], &["-o", "json"]].concat()).await?;
    let account: Value = serde_json::from_str(&json)?;
    let roles = account["roles"].as_array().context("no roles")?;
    ensure!(roles.len() == 5 && roles.iter().all(|role| role["trail"].is_array()), "{account:#}");
    Ok(())
}

pub async fn who_cannot_be_asked_says_why(world: &World) -> Result<()> {
    let namespace = world.scene.namespace().name();
    let plane = world.plane.kubeconfig().display().to_string();
    let by_lease = ["explain", "demo", "-n", namespace, "--kubeconfig", &plane];
    let told = refused(&[&by_lease[..], &["--lease", "nothing"]].concat()).await?;
    ensure!(told.contains("no Lease nothing was found"), "{told}");
    let told = refused(&by_lease).await?;
    ensure!(told.contains("is no pod of the namespace") && told.contains("--controller http://"), "{told}");
    let told = refused(&["explain", "demo", "--controller", "http://127.0.0.1:1"]).await?;
    ensure!(told.contains("the controller at http://127.0.0.1:1 cannot be asked"), "{told}");
    let wrong_port = format!("http://127.0.0.1:{}", world.scene.port());
    let told = refused(&["explain", "demo", "-n", namespace, "--controller", &wrong_port]).await?;
    ensure!(told.contains("they have a port of their own, 8081"), "{told}");
    let told = refused(&["explain", "nothing", "-n", namespace, "--controller", &address(world)]).await?;
    ensure!(told.contains("there is no policy"), "{told}");
    Ok(())
}

/// The controller of a test runs in no pod: kwok plays the kubelet that forwards from its pod's name to it.
pub async fn the_leader_is_asked_through_kubectl(world: &World) -> Result<()> {
    let namespace = world.scene.namespace();
    let plane = world.plane.kubeconfig().display().to_string();
    let name = namespace.name();
    world.plane.forward_to(world.scene.snapshots_port())?;
    let kubelet = world.plane.address(Component::Kwok);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "forwarding"}, "status": {
        "addresses": [{"type": "InternalIP", "address": kubelet.ip()}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port()}}}});
    apply(&namespace.client(), "", node).await?;
    let pods: Api<Pod> = namespace.api();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": {"nodeName": "forwarding",
        "tolerations": [{"operator": "Exists"}], "containers": [{"name": "controller", "image": "controller"}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let running = json!({"status": {"phase": "Running"}});
    pods.patch_status(POD, &PatchParams::default(), &Patch::Merge(running)).await?;
    let flags = ["explain", "demo", "-n", name, "--kubeconfig"];
    let text = rbga(&[&flags[..], &[&plane]].concat()).await?;
    ensure!(text.contains("policy demo  Enforce"), "{text}");

    let may = async |forward: &str| {
        let rights = format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: reader}}\nrules:\n\
             - {{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get]}}\n\
             - {{apiGroups: [\"\"], resources: [pods], verbs: [get]}}\n{forward}---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: reader}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}}\n\
             subjects: [{{kind: ServiceAccount, name: default, namespace: {name}}}]\n"
        );
        apply_yaml(&namespace.client(), name, &rights).await
    };
    may("").await?;
    let weak = service_account_kubeconfig(&world.plane, name, "default").await?.display().to_string();
    let told = refused(&[&flags[..], &[&weak]].concat()).await?;
    ensure!(
        told.contains("Lease rbg-autoscaler cannot be read") && told.contains("--controller-namespace"),
        "{told}"
    );
    let told = refused(&[&flags[..], &[&weak, "--controller-namespace", name]].concat()).await?;
    ensure!(told.contains(&format!("kubectl auth can-i create pods/portforward -n {name}")), "{told}");
    may("- {apiGroups: [\"\"], resources: [pods/portforward], verbs: [create]}\n").await?;
    seen("the right is enough", async || {
        let text = rbga(&[&flags[..], &[&weak, "--controller-namespace", name]].concat()).await?;
        ensure!(text.contains("policy demo  Enforce"), "{text}");
        Ok(Some(()))
    })
    .await
}

/// Who reaches the controller's port for probes and metrics is told of no group.
pub async fn snapshots_are_served_on_loopback_only(world: &World) -> Result<()> {
    let (namespace, port) = (world.scene.namespace().name(), world.scene.port());
    let path = format!("snapshots/{namespace}/demo");
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/{path}")).await?;
    ensure!(answer.status() == 404, "{}", answer.text().await?);
    let Some(address) = outer_address() else { return Ok(()) };
    let outside = reqwest::get(format!("http://{address}:{}/{path}", world.scene.snapshots_port())).await;
    ensure!(outside.is_err(), "reached from {address}: {}", outside?.text().await?);
    Ok(())
}

pub async fn the_list_shows_which_group_needs_a_look(world: &World) -> Result<()> {
    let namespace = world.scene.namespace().name();
    let table = seen("the list of policies", async || {
        let table = kubectl(&world.plane, &["get", "rbga", "-n", namespace]).await?;
        for (policy, wanted) in [("demo", ["True", "MetricsFailing"]), ("lost", ["False", "GroupNotFound"])] {
            let line = table.lines().find(|line| line.starts_with(policy)).context("no line")?;
            if !wanted.iter().all(|word| line.contains(word)) {
                bail!("{wanted:?} not in\n{table}");
            }
        }
        Ok(Some(table))
    })
    .await?;
    println!("{table}");
    Ok(())
}

fn address(world: &World) -> String {
    format!("http://127.0.0.1:{}", world.scene.snapshots_port())
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent.
fn outer_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

pub async fn rbga(args: &[&str]) -> Result<String> {
    let output = run(args).await?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && err.is_empty(), "kubectl-rbga {}: {err}{out}", args.join(" "));
    Ok(out.into_owned())
}

async fn refused(args: &[&str]) -> Result<String> {
    let output = run(args).await?;
    ensure!(output.status.code() == Some(1), "kubectl-rbga {}: {output:?}", args.join(" "));
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn run(args: &[&str]) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    symlink(programs::find("kubectl")?, folder.path().join("kubectl"))?;
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program_file("kubectl-rbga")?);
    command.args(args).env("PATH", path).env("NO_PROXY", "127.0.0.0/8,localhost");
    Ok(command.output().await?)
}
