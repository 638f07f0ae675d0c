//! The chart at work: certificates three ways, roles scaled, and no right that is missing or spare.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use k8s_openapi::{
    api::{
        authorization::v1::SubjectAccessReview,
        core::v1::{Pod, Secret},
        rbac::v1::ClusterRole,
    },
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use rbg_autoscaler_tests::{
    harness::{Program, Rendered, apply_yaml, eventually, kubectl},
    rbg::manifest::{Role, groups},
};
use serde_json::{Value, json};

use crate::{
    audit::Asked,
    containers::is_confined,
    documents::documents,
    examples::{FOREIGN, examples},
    others::{cert_manager, values},
    overlay::direct,
    rights::{granted, spare},
    world::{ADAPTER, CONTROLLER, NAMESPACE, PATIENCE, World},
};

/// One adapter and one controller per control plane, so the parts share one world, in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_at_work() {
    at_work().await.unwrap();
}

async fn at_work() -> Result<()> {
    let world = World::start().await?;
    let rendered = world.render(&[]).await?;
    world.install(&rendered).await?;
    let mut adapter = world.run(&rendered, ADAPTER, "rbg-metrics-adapter").await?;
    let mut controller = world.run(&rendered, CONTROLLER, "rbg-autoscaler").await?;
    adapter.printed("pods listed", PATIENCE).await?;
    controller.printed("became the leader", PATIENCE).await?;
    world.available(&rendered).await?;
    scaled_inline(&world).await?;
    scaled_by_verbatim_metrics(&world).await?;
    scaled_by_a_rule(&world).await?;
    objects_are_listed(&world).await?;
    // Each tells its own failure; one does not hide the others.
    let mut parts = vec![
        ("admission", admitted(&world).await),
        ("rights", no_right_is_missing_or_spare(&world, &rendered)),
        ("readers", readers_may_read(&world).await),
        ("a missing right", a_missing_right_is_told(&world, &rendered).await),
        ("directWrites: false", direct_writes_off(&world).await),
        ("documents", documents(&world).await),
        ("certificates made again", certificates_are_made_again(&world, &rendered).await),
    ];
    controller.stop().await?;
    adapter.stop().await?;
    parts.push(("own certificates", own_certificates(&world).await));
    parts.push(("images", images(&world).await));
    parts.push(("values of others", values(&world).await));
    parts.push(("the overlay without Prometheus", direct(&world).await));
    parts.push(("examples", examples(&world).await));
    let failed: Vec<_> = parts
        .into_iter()
        .filter_map(|(part, outcome)| outcome.err().map(|error| format!("{part}: {error:#}")))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Pod Security admission (restricted) lets the pods of both Deployments in.
async fn admitted(world: &World) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), NAMESPACE);
    eventually("two pods of each Deployment", PATIENCE, async || {
        let names: Vec<_> =
            pods.list(&ListParams::default()).await?.items.iter().map(ResourceExt::name_any).collect();
        let of = |name: &str| names.iter().filter(|pod| pod.starts_with(name)).count();
        ensure!(of(ADAPTER) == 2 && of(CONTROLLER) == 2, "{names:?}");
        Ok(Some(()))
    })
    .await
}

fn behavior() -> Value {
    json!({"scaleDown": {"stabilizationWindowSeconds": 2}})
}

/// A role is scaled by text inside its group; the text changes and goes.
async fn scaled_inline(world: &World) -> Result<()> {
    let scene = &world.scene;
    let policy = |target: &str| json!({"maxReplicas": 8, "behavior": behavior(), "metrics": [{"name": "queue_length", "target": target}]});
    let group = |role: Role| scene.create_group("inline", [scene.serving(role)]);
    let decode = || Role::standalone("decode", 2);
    scene.queue("inline", "decode", 20.0);
    group(decode().autoscaling(policy("10"))).await?;
    scene.role_asks_for("inline", "decode", 4).await?;
    scene.queue("inline", "decode", 10.0);
    scene.pods_are_ready("inline", "decode", 4).await?;
    // The counts are the controller's: whoever writes the group again leaves them alone.
    let change = |op: &'static str, value: Value| async move {
        let text = json!([{"op": op, "path": "/spec/roles/0/autoscaling", "value": value}]);
        let patch: Patch<()> = Patch::Json(serde_json::from_value(text)?);
        groups(&world.client, scene.namespace().name())
            .patch("inline", &PatchParams::default(), &patch)
            .await?;
        Ok::<_, anyhow::Error>(())
    };
    change("replace", policy("20")).await?;
    scene.role_asks_for("inline", "decode", 2).await?;
    change("remove", Value::Null).await?;
    eventually("the adopted policy is removed", PATIENCE, async || {
        Ok(scene.policy("inline-inline").await.is_err().then_some(()))
    })
    .await
}

/// A role with a scaling adapter is scaled by what the metrics APIs answer.
async fn scaled_by_verbatim_metrics(world: &World) -> Result<()> {
    let scene = &world.scene;
    scene.queue("verbatim", "decode", 20.0);
    scene.create_group("verbatim", [scene.serving(Role::standalone("decode", 2)).scaling_adapter()]).await?;
    let metrics = json!([
        {"type": "Pods", "pods": {"metric": {"name": "queue_length"}, "target": {"type": "AverageValue", "averageValue": "10"}}},
        {"type": "External", "external": {"metric": {"name": "waiting_in_all"}, "target": {"type": "AverageValue", "averageValue": "1k"}}},
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
    ]);
    let role = json!({"name": "decode", "maxReplicas": 8, "behavior": behavior(), "metrics": metrics});
    let policy = json!({"roles": [role], "capacity": {"mode": "Fit"}});
    scene.create_policy("verbatim", "verbatim", policy).await?;
    scene.role_asks_for("verbatim", "decode", 4).await?;
    scene.queue("verbatim", "decode", 10.0);
    scene.pods_are_ready("verbatim", "decode", 4).await?;
    scene.event("verbatim", "SuccessfulRescale").await?;
    Ok(())
}

/// The controller reads the chart's rules, too: a signal of the user's own is like a built-in one.
async fn scaled_by_a_rule(world: &World) -> Result<()> {
    let scene = &world.scene;
    scene.queue("ruled", "decode", 20.0);
    scene.create_group("ruled", [scene.serving(Role::standalone("decode", 2))]).await?;
    let metrics = json!([{"name": "waiting_by_query", "target": "10"}]);
    let role = json!({"name": "decode", "maxReplicas": 8, "behavior": behavior(), "metrics": metrics});
    scene.create_policy("ruled", "ruled", json!({"roles": [role]})).await?;
    scene.role_asks_for("ruled", "decode", 4).await?;
    scene.queue("ruled", "decode", 10.0);
    Ok(())
}

/// Requests for all objects of a kind make the adapter list them.
async fn objects_are_listed(world: &World) -> Result<()> {
    let metric = "num_requests_waiting_by_rule";
    let namespace = world.scene.namespace().name();
    let below = "/apis/custom.metrics.k8s.io/v1beta2";
    world
        .apply("{apiVersion: v1, kind: Service, metadata: {name: decode}, spec: {ports: [{port: 80}]}}")
        .await?;
    world.answers(&format!("{below}/namespaces/*/metrics/{metric}")).await?;
    world.answers(&format!("{below}/namespaces/{namespace}/services/*/{metric}")).await?;
    // The label holds addresses, not names of nodes: the nodes are listed, and none has a value.
    let request = axum::http::Request::get(format!("{below}/nodes/*/{metric}")).body(Vec::new())?;
    let _: Value = world.client.request(request).await?;
    Ok(())
}

fn no_right_is_missing_or_spare(world: &World, rendered: &Rendered) -> Result<()> {
    let mut wrong = Vec::new();
    for account in [ADAPTER, CONTROLLER] {
        let asked = Asked::read(&world.audit_log(), NAMESPACE, account)?;
        ensure!(!asked.allowed.is_empty(), "{account} asked for nothing?");
        for right in &asked.refused {
            wrong.push(format!("{account} lacks: {right}"));
        }
        for right in spare(&granted(rendered, account), &asked.allowed) {
            wrong.push(format!("{account} never used: {right}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The HPA controller, and people who may view a namespace, may read its metrics; others may not.
async fn readers_may_read(world: &World) -> Result<()> {
    let namespace = world.scene.namespace().name();
    let reviews: Api<SubjectAccessReview> = Api::all(world.client.clone());
    let may = async |user: &str, verb: &str, resource: &str, group: &str| {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes = json!({
            "namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource,
        });
        let review = json!({"metadata": {}, "spec": {"user": user, "resourceAttributes": attributes}});
        let review: SubjectAccessReview = serde_json::from_value(review)?;
        let answer = reviews.create(&PostParams::default(), &review).await?;
        anyhow::Ok(answer.status.is_some_and(|status| status.allowed))
    };
    let (custom, external, own) = ("custom.metrics.k8s.io", "external.metrics.k8s.io", "rbg-autoscaler.dev");
    let hpa = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
    ensure!(may(hpa, "get", "pods/queue_length", custom).await?, "the HPA controller, custom metrics");
    ensure!(may(hpa, "list", "waiting_in_all", external).await?, "the HPA controller, external metrics");
    ensure!(!may("jane", "get", "pods/queue_length", custom).await?, "jane, before she may view");
    let args =
        ["create", "rolebinding", "jane", "--clusterrole=view", "--user=jane", "--namespace", namespace];
    kubectl(&world.plane, &args).await?;
    eventually("the roles are aggregated", PATIENCE, async || {
        let metrics = may("jane", "get", "pods/queue_length", custom).await?;
        let policies = may("jane", "list", "rolebasedgroupautoscalers", own).await?;
        Ok((metrics && policies).then_some(()))
    })
    .await?;
    ensure!(!may("jane", "create", "rolebasedgroupautoscalers", own).await?, "jane, who may only view");
    Ok(())
}

/// Takes the rules of a resource out of a role.
async fn without(world: &World, role: &str, resource: &str) -> Result<()> {
    let roles: Api<ClusterRole> = Api::all(world.client.clone());
    let mut stored = roles.get(role).await?;
    let granted = stored.rules.get_or_insert_default();
    let before = granted.len();
    granted.retain(|rule| !rule.resources.iter().flatten().any(|it| it == resource));
    if granted.len() == before {
        bail!("{role} has no rule about {resource}");
    }
    stored.metadata.managed_fields = None;
    roles.replace(role, &PostParams::default(), &stored).await?;
    Ok(())
}

/// Without a right the status says what could not be done; with it the work goes on.
async fn a_missing_right_is_told(world: &World, rendered: &Rendered) -> Result<()> {
    let scene = &world.scene;
    without(world, CONTROLLER, "rolebasedgroupscalingadapters/scale").await?;
    scene.queue("verbatim", "decode", 20.0);
    let told = scene.condition("verbatim", "Ready", "False", "WriteFailed").await?;
    ensure!(told.message.contains("forbidden"), "{}", told.message);
    world.install(rendered).await?;
    scene.role_asks_for("verbatim", "decode", 8).await?;
    scene.queue("verbatim", "decode", 10.0);
    Ok(())
}

/// With `directWrites: false` a role without a scaling adapter is left alone, and its policy says what to do.
async fn direct_writes_off(world: &World) -> Result<()> {
    let scene = &world.scene;
    world.install(&world.render(&["--set", "controller.directWrites=false"]).await?).await?;
    scene.queue("plain", "decode", 20.0);
    scene.create_group("plain", [scene.serving(Role::standalone("decode", 2))]).await?;
    let role =
        json!({"name": "decode", "maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}]});
    scene.create_policy("plain", "plain", json!({"roles": [role]})).await?;
    let told = scene.condition("plain", "Ready", "False", "ScalingAdapterRequired").await?;
    ensure!(told.message.contains("scalingAdapter"), "{}", told.message);
    ensure!(scene.replicas("plain", "decode").await? == 2);
    Ok(())
}

/// Somebody empties the Secret and the caBundle: the adapter makes and tells them again, by itself.
async fn certificates_are_made_again(world: &World, rendered: &Rendered) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
    let registrations: Api<APIService> = Api::all(world.client.clone());
    let name = format!("{ADAPTER}-certificate");
    let before = secrets.get(&name).await?.data;
    let (empty, untold) = (json!({"data": null}), json!({"spec": {"caBundle": null}}));
    secrets.patch(&name, &PatchParams::default(), &Patch::Merge(&empty)).await?;
    registrations
        .patch("v1beta2.custom.metrics.k8s.io", &PatchParams::default(), &Patch::Merge(&untold))
        .await?;
    eventually("the Secret is filled again", PATIENCE, async || {
        let now = secrets.get(&name).await?.data;
        Ok((now.is_some() && now != before).then_some(()))
    })
    .await?;
    eventually("the authority is told again", PATIENCE, async || {
        let registration = registrations.get("v1beta2.custom.metrics.k8s.io").await?;
        Ok(registration.spec.and_then(|spec| spec.ca_bundle).map(drop))
    })
    .await?;
    world.available(rendered).await
}

/// A certificate by value, one in a Secret that the user made, and one of cert-manager, whose part the test plays.
async fn own_certificates(world: &World) -> Result<()> {
    let host = format!("{ADAPTER}.{NAMESPACE}.svc");
    let files = world.plane.pki().server("own", &[&host])?;
    let (certificate, key) = (files.certificate.display().to_string(), files.key.display().to_string());
    let ca = world.plane.pki().ca_file().display().to_string();
    let ca = format!("tls.ca={ca}");
    let by_value = [format!("tls.certificate={certificate}"), format!("tls.key={key}")];
    let enable = ["--set", "tls.enable=true", "--set-file", ca.as_str()];
    let mut args = enable.to_vec();
    args.extend(by_value.iter().flat_map(|file| ["--set-file", file.as_str()]));
    let rendered = world.render(&args).await?;
    world.install(&rendered).await?;
    let mut adapter = serves(world, &rendered).await?;
    adapter.stop().await?;

    let files = [format!("--cert={certificate}"), format!("--key={key}")];
    let create =
        ["create", "secret", "tls", "mine", "--namespace", NAMESPACE, files[0].as_str(), files[1].as_str()];
    kubectl(&world.plane, &create).await?;
    let mut args = enable.to_vec();
    args.extend(["--set", "tls.existingSecret=mine"]);
    let rendered = world.render(&args).await?;
    world.install(&rendered).await?;
    serves(world, &rendered).await?.stop().await?;

    let rendered = world.render(&["--set", "certManager.enabled=true"]).await?;
    apply_yaml(&world.client, "", FOREIGN).await?;
    world.install(&rendered).await?;
    cert_manager(world, &rendered).await?;
    serves(world, &rendered).await?.stop().await
}

/// Starts the adapter and waits until kube-apiserver has its values, past any answer it still knows.
async fn serves(world: &World, rendered: &Rendered) -> Result<Program> {
    let mut adapter = world.run(rendered, ADAPTER, "rbg-metrics-adapter").await?;
    adapter.printed("pods listed", PATIENCE).await?;
    world.available(rendered).await?;
    let namespace = world.scene.namespace().name();
    let path = format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*/queue_length");
    tokio::time::timeout(Duration::from_secs(60), world.answers(&path)).await??;
    Ok(adapter)
}

/// Both programs run in the file trees of their images.
async fn images(world: &World) -> Result<()> {
    if !is_root().await? {
        eprintln!("not root: the images' file trees are not tried");
        return Ok(());
    }
    let rendered = world.render(&[]).await?;
    world.install(&rendered).await?;
    let containers = world.containers();
    let mut adapter = containers.run_image(&rendered, ADAPTER, "rbg-metrics-adapter").await?;
    adapter.printed("pods listed", PATIENCE).await?;
    world.available(&rendered).await?;
    let mut controller = containers.run_image(&rendered, CONTROLLER, "rbg-autoscaler").await?;
    controller.printed("became the leader", PATIENCE).await?;
    is_confined("rbg-metrics-adapter")?;
    is_confined("rbg-autoscaler")?;
    // What it was not allowed before.
    world.scene.role_asks_for("plain", "decode", 4).await?;
    controller.stop().await?;
    adapter.stop().await
}

async fn is_root() -> Result<bool> {
    let output = tokio::process::Command::new("id").arg("-u").output().await?;
    Ok(output.stdout.starts_with(b"0"))
}
