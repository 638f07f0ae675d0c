//! The kustomize overlay without Prometheus, at work: both programs under its accounts, scraping the pods themselves.

use anyhow::{Context, Result, ensure};
use rbg_autoscaler_tests::{
    harness::{Rendered, apply_yaml, deploy_folder, free_port, kubectl},
    rbg::manifest::Role,
};
use serde_json::{Value, json};

use crate::{
    containers::Containers,
    each_right::complaints,
    world::{ADAPTER, CONTROLLER, PATIENCE, World},
};

const NAMESPACE: &str = "rbg-autoscaler";

/// Scales a role and answers an HPA's question, without a word of a missing right.
pub async fn direct(world: &World) -> Result<()> {
    let folder = deploy_folder().join("kustomize/overlays/direct").display().to_string();
    let rendered = Rendered::parse(&kubectl(&world.plane, &["kustomize", &folder]).await?)?;
    let rendered = here(world, &rendered)?;
    apply_yaml(
        &world.client,
        "",
        &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}"),
    )
    .await?;
    world.install_in(NAMESPACE, &rendered).await?;
    let containers = Containers { plane: &world.plane, client: world.client.clone(), namespace: NAMESPACE };
    let mut adapter = containers.run(&rendered, ADAPTER, "rbg-metrics-adapter").await?;
    let mut controller = containers.run(&rendered, CONTROLLER, "rbg-autoscaler").await?;
    adapter.printed("pods listed", PATIENCE).await?;
    controller.printed("became the leader", PATIENCE).await?;
    world.available(&rendered).await?;

    let scene = &world.scene;
    scene.queue("direct", "decode", 20.0);
    scene.create_group("direct", [scene.serving(Role::standalone("decode", 2))]).await?;
    let role =
        json!({"name": "decode", "maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}]});
    scene.create_policy("direct", "direct", json!({"roles": [role]})).await?;
    scene.role_asks_for("direct", "decode", 4).await?;
    let namespace = scene.namespace().name();
    let path = format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*/queue_length");
    world.answers(&path).await?;

    let told = complaints(&format!("{}\n{}", adapter.log(), controller.log()));
    ensure!(told.is_empty(), "{told:?}");
    adapter.stop().await?;
    controller.stop().await
}

/// The overlay as it is, but for ports that are free on this machine and intervals that suit a test.
fn here(world: &World, rendered: &Rendered) -> Result<Rendered> {
    let text = Value::Array(rendered.objects.clone()).to_string();
    let changes = [
        ("--secure-port=6443".to_owned(), format!("--secure-port={}", world.port())),
        ("--listen=0.0.0.0:8080".to_owned(), format!("--listen=0.0.0.0:{}", free_port()?)),
        ("--log=info".to_owned(), "--snapshots-listen=off".to_owned()),
        ("--interval=15s".to_owned(), "--interval=1s".to_owned()),
        ("--collection-interval=5s".to_owned(), "--collection-interval=1s".to_owned()),
        ("--sync-period=5s".to_owned(), "--sync-period=1s".to_owned()),
    ];
    let mut here = text;
    for (from, to) in changes {
        ensure!(here.contains(&from), "the overlay has no {from}");
        here = here.replace(&from, &to);
    }
    let mut objects: Vec<Value> = serde_json::from_str(&here)?;
    for service in objects.iter_mut().filter(|object| object["kind"] == "APIService") {
        service["spec"]["service"]["port"] = json!(world.port());
    }
    objects.iter().find(|object| object["kind"] == "APIService").context("no APIService")?;
    Ok(Rendered { objects })
}
