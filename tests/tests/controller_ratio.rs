//! Roles that keep a proportion: at every write, with gangs, with silent metrics, and when writes are refused.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use axum::http::Method;
use kube::{
    Error,
    api::{Patch, PatchParams},
};
use rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscalerStatus;
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    fleet::{endpoint::Target, load::Load, pin::Fault, trace::Trace},
    harness::{Gate, Hold, eventually, throughout},
    rbg::manifest::{Role, groups},
    scene::{History, Scene},
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn role(name: &str, bounds: [u32; 2], gang: u32, metric: &Value) -> Value {
    json!({"name": name, "minReplicas": bounds[0], "maxReplicas": bounds[1], "gang": {"replicas": gang},
        "metrics": [metric], "behavior": {"scaleDown": {"stabilizationWindowSeconds": 2}}})
}

fn lockstep() -> Value {
    json!([{"roles": ["prefill", "decode"], "min": "1:2", "max": "1:2"}])
}

#[tokio::test]
async fn a_ratio_holds_at_every_write_through_a_day() {
    shared().await.run(async |plane| day(plane).await).await;
}

/// A recorded trace bent to a day of 24 seconds.
async fn day(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "day").await?;
    let roles = ["prefill", "decode"].into_iter().zip([1, 2]);
    let roles = roles.map(|(name, replicas)| scene.serving(Role::standalone(name, replicas)));
    scene.create_group("demo", roles).await?;
    let running = json!({"name": "running_requests", "target": "20"});
    let spec = json!({"ratios": lockstep(),
        "roles": [role("prefill", [1, 4], 1, &running), role("decode", [2, 8], 1, &running)]});
    scene.create_policy("p", "demo", spec).await?;
    let history = scene.watch_roles("demo", ["prefill", "decode"]).await?;
    scene.pods_are_ready("demo", "decode", 2).await?;
    let curve = [(0, 5.0), (6, 60.0), (12, 60.0), (18, 2.0), (24, 2.0)];
    let curve = curve.map(|(second, rate)| (Duration::from_secs(second), rate));
    let trace = Trace::azure_conversation()?.shaped(&curve, 7);
    let target = Target::role(scene.namespace().name(), "demo", "decode");
    scene.fleet().add_load(Load::once(target, trace));
    eventually("the day is over", PATIENCE, async || {
        let counts = history.counts();
        let peak = counts.iter().map(|[_, decode]| *decode).max();
        ensure!(peak >= Some(6) && counts.last() == Some(&[1, 2]), "{counts:?}");
        Ok(Some(()))
    })
    .await?;
    let counts = history.counts();
    println!("prefill and decode through the day: {counts:?}");
    ensure!(counts.iter().all(|[prefill, decode]| *decode == 2 * prefill), "{counts:?}");
    scene.condition("p", "RatioSatisfied", "True", "Satisfied").await?;
    Ok(())
}

#[tokio::test]
async fn a_role_whose_metrics_are_silent_follows_its_partner_up_and_never_down() {
    shared().await.run(async |plane| silent(plane).await).await;
}

async fn silent(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "silent").await?;
    let prefill = Target::role(scene.namespace().name(), "demo", "prefill");
    scene.fleet().fail(prefill.clone(), Fault::Error);
    scene.queue("demo", "prefill", 0.0);
    scene.queue("demo", "decode", 10.0);
    let roles = ["prefill", "decode"].into_iter().zip([2, 4]);
    let roles = roles.map(|(name, replicas)| scene.serving(Role::standalone(name, replicas)));
    scene.create_group("demo", roles).await?;
    let queue = json!({"name": "queue_length", "target": "10"});
    let spec = json!({"ratios": lockstep(),
        "roles": [role("prefill", [2, 8], 2, &queue), role("decode", [4, 16], 4, &queue)]});
    scene.create_policy("p", "demo", spec).await?;
    let history = scene.watch_roles("demo", ["prefill", "decode"]).await?;
    scene.condition("p", "MetricsHealthy", "False", "FailedGetPodsMetric").await?;
    scene.queue("demo", "decode", 13.0);
    history.ends_with([4, 8]).await?;
    scene.queue("demo", "decode", 1.0);
    scene.pods_are_ready("demo", "decode", 8).await?;
    throughout("nothing shrinks while prefill is silent", Duration::from_secs(5), async || {
        ensure!(history.counts() == [[2, 4], [4, 8]], "{:?}", history.counts());
        Ok(())
    })
    .await?;
    scene.fleet().mend(prefill);
    let counts = history.ends_with([2, 4]).await?;
    ensure!(counts == [[2, 4], [4, 8], [2, 4]], "{counts:?}");
    Ok(())
}

#[tokio::test]
async fn replicas_that_change_sides_are_never_more_than_before_or_after() {
    shared().await.run(async |plane| change_sides(plane).await).await;
}

/// Prefill is to go from 6 to 1 and decode from 2 to 6 by one decision; first one and then the other is refused.
async fn change_sides(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "sides").await?;
    let history = lopsided(&scene).await?;
    refuse(&scene, "prefill", "<").await?;
    change(&scene).await?;

    let told = scene.condition("p", "Ready", "False", "WriteFailed").await?;
    ensure!(told.message.contains("not now"), "{}", told.message);
    ensure!(history.counts() == [[6, 2]], "no raise without the lower: {:?}", history.counts());
    refuse(&scene, "decode", ">").await?;
    history.ends_with([1, 2]).await?;
    scene.condition("p", "Ready", "False", "WriteFailed").await?;
    allow(&scene).await?;
    let counts = history.ends_with([1, 6]).await?;
    ensure!(counts == [[6, 2], [1, 2], [1, 6]], "{counts:?}");
    scene.condition("p", "Ready", "True", "Scaling").await?;
    Ok(())
}

/// Prefill has six replicas and decode two.
async fn lopsided(scene: &Scene) -> Result<History<[u64; 2]>> {
    scene.queue("demo", "prefill", 1.0);
    scene.queue("demo", "decode", 30.0);
    let roles = ["prefill", "decode"].into_iter().zip([6, 2]);
    let roles = roles.map(|(name, replicas)| scene.serving(Role::standalone(name, replicas)));
    scene.create_group("demo", roles).await?;
    scene.pods_are_ready("demo", "prefill", 6).await?;
    scene.pods_are_ready("demo", "decode", 2).await?;
    scene.watch_roles("demo", ["prefill", "decode"]).await
}

/// Creates a policy by which it should be one and six, and has it enforced once one decision says both.
async fn change(scene: &Scene) -> Result<()> {
    let queue = json!({"name": "queue_length", "target": "10"});
    let mut roles = [role("prefill", [1, 8], 1, &queue), role("decode", [1, 6], 1, &queue)];
    for role in &mut roles {
        role["behavior"] = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
    }
    scene.create_policy("p", "demo", json!({"mode": "Recommend", "roles": roles.clone()})).await?;
    let both = |status: &RoleBasedGroupAutoscalerStatus| {
        status.roles.iter().map(|role| role.desired_replicas).eq([1, 6])
    };
    scene.status_shows("p", "one and six", both).await?;
    scene.create_policy("p", "demo", json!({"mode": "Enforce", "roles": roles})).await
}

#[tokio::test]
async fn replicas_change_sides_although_no_answer_comes_back() {
    shared().await.run(async |plane| unheard(plane).await).await;
}

/// The API server does what it is asked, and the controller is never told.
async fn unheard(plane: &ControlPlane) -> Result<()> {
    let mut scene = Scene::without_controller(plane, "unheard").await?;
    let history = lopsided(&scene).await?;
    let gate = Gate::open(plane.client().await?).await?;
    gate.hold(Hold::Answer, Method::PATCH, "/rolebasedgroups/demo");
    scene.use_kubeconfig(gate.kubeconfig());
    scene.start_controller(&[]).await?;
    change(&scene).await?;
    gate.holds_one(PATIENCE).await?;
    history.ends_with([1, 2]).await?;
    let counts = history.ends_with([1, 6]).await?;
    ensure!(counts == [[6, 2], [1, 2], [1, 6]], "{counts:?}");
    Ok(())
}

/// Has the API server refuse writes that make a role's count less (`<`) or more (`>`), and nothing that was refused before.
async fn refuse(scene: &Scene, role: &str, direction: &str) -> Result<()> {
    let name = format!("refuse-{}", scene.namespace().name());
    let count = |object: &str| format!("{object}.spec.roles.filter(r, r.name == '{role}')[0].replicas");
    let expression = format!("!({} {direction} {})", count("object"), count("oldObject"));
    scene
        .apply(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {"failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{"apiGroups": ["workloads.x-k8s.io"], "apiVersions": ["v1alpha2"],
                    "operations": ["UPDATE"], "resources": ["rolebasedgroups"]}]},
                "validations": [{"expression": expression, "message": "not now", "reason": "Forbidden"}]}}))
        .await?;
    scene
        .apply(json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector":
                {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace().name()}}}}}))
        .await?;
    let by = if direction == "<" { 0 } else { 99 };
    eventually(&format!("{role} {direction} is refused"), PATIENCE, async || {
        Ok(is_refused(scene, role, by).await?.then_some(()))
    })
    .await
}

/// Has the API server refuse nothing any more.
async fn allow(scene: &Scene) -> Result<()> {
    let name = format!("refuse-{}", scene.namespace().name());
    let client = scene.namespace().client();
    let bindings: kube::Api<k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding> =
        kube::Api::all(client.clone());
    bindings.delete(&name, &kube::api::DeleteParams::default()).await?;
    let policies: kube::Api<k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy> =
        kube::Api::all(client);
    policies.delete(&name, &kube::api::DeleteParams::default()).await?;
    Ok(())
}

/// Tries a count of a role without storing it.
async fn is_refused(scene: &Scene, role: &str, replicas: u32) -> Result<bool> {
    let place = usize::from(role == "decode");
    let change =
        json!([{"op": "replace", "path": format!("/spec/roles/{place}/replicas"), "value": replicas}]);
    let patch = Patch::<()>::Json(serde_json::from_value(change)?);
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    let group = groups(&scene.namespace().client(), scene.namespace().name());
    match group.patch("demo", &dry_run, &patch).await {
        Ok(_) => Ok(false),
        Err(Error::Api(status)) if status.message.contains("not now") => Ok(true),
        Err(error) => bail!("{error}"),
    }
}
