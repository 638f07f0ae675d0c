//! The controller beside others: people who edit, other autoscalers, other policies, policies that come and go.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscaler;
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    harness::{eventually, throughout},
    rbg::manifest::{Role, groups},
    scene::Scene,
};
use serde_json::{Value, json};

fn role_policy() -> Value {
    json!({"maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 2}}})
}

fn policy() -> Value {
    let mut role = role_policy();
    role["name"] = json!("decode");
    json!({"roles": [role]})
}

/// One replica whose queue asks for four.
async fn group_that_wants_four(scene: &Scene) -> Result<()> {
    scene.total_queue("demo", "decode", 40.0);
    scene.create_group("demo", [scene.serving(Role::standalone("decode", 1))]).await?;
    scene.pods_are_ready("demo", "decode", 1).await
}

async fn stays_at(scene: &Scene, replicas: u64) -> Result<()> {
    throughout(&format!("{replicas} replicas"), Duration::from_secs(4), async || {
        let seen = scene.replicas("demo", "decode").await?;
        ensure!(seen == replicas, "{seen}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn recommend_writes_nothing_and_the_policy_may_go() {
    shared().await.run(async |plane| recommend(plane).await).await;
}

async fn recommend(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "recommend").await?;
    group_that_wants_four(&scene).await?;
    let mut recommending = policy();
    recommending["mode"] = json!("Recommend");
    scene.create_policy("p", "demo", recommending).await?;
    let shows = |desired: i32| {
        move |status: &rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscalerStatus| {
            status.roles.first().is_some_and(|role| role.desired_replicas == desired)
        }
    };
    scene.status_shows("p", "4 desired", shows(4)).await?;
    scene.condition("p", "Ready", "True", "Recommending").await?;
    stays_at(&scene, 1).await?;
    scene.create_policy("p", "demo", policy()).await?;
    scene.role_asks_for("demo", "decode", 4).await?;
    let policies: Api<RoleBasedGroupAutoscaler> = scene.namespace().api();
    policies.delete("p", &DeleteParams::default()).await?;
    scene.total_queue("demo", "decode", 0.0);
    stays_at(&scene, 4).await?;
    eventually("no figures of the role are left", Duration::from_secs(20), async || {
        ensure!(!scene.metrics().await?.contains("desired_replicas{"), "still there");
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn another_autoscaler_and_another_policy_are_given_way_to() {
    shared().await.run(async |plane| conflicts(plane).await).await;
}

async fn conflicts(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "rival").await?;
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "keda-hpa-decode"},
        "spec": {"maxReplicas": 2, "minReplicas": 2, "scaleTargetRef":
            {"apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroupScalingAdapter", "name": "demo-decode"}}});
    scene.apply(hpa).await?;
    group_that_wants_four(&scene).await?;
    scene.create_policy("first", "demo", policy()).await?;
    let told = scene.condition("first", "Ready", "False", "Conflict").await?;
    ensure!(told.message.contains("keda-hpa-decode"), "{}", told.message);
    scene.event("first", "Conflict").await?;
    stays_at(&scene, 1).await?;
    let hpas: Api<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler> = scene.namespace().api();
    hpas.delete("keda-hpa-decode", &DeleteParams::default()).await?;
    scene.role_asks_for("demo", "decode", 4).await?;
    scene.condition("first", "Ready", "True", "Scaling").await?;
    // Creation times have whole seconds and the name decides between equal ones: z is the younger either way.
    scene.create_policy("z-second", "demo", policy()).await?;
    let told = scene.condition("z-second", "Ready", "False", "Conflict").await?;
    ensure!(told.message.contains("first scales this group"), "{}", told.message);
    Ok(())
}

#[tokio::test]
async fn edits_by_others_are_said_and_the_policy_goes_on() {
    shared().await.run(async |plane| edits(plane).await).await;
}

async fn edits(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "edits").await?;
    scene.queue("demo", "decode", 10.0);
    let decode = scene.serving(Role::standalone("decode", 2)).autoscaling(role_policy());
    scene.create_group("demo", [decode]).await?;
    scene.condition("demo-inline", "MetricsHealthy", "True", "AllAnswered").await?;
    let group = groups(&scene.namespace().client(), scene.namespace().name());
    let edit = |path: &str, value: Value| -> Result<Patch<()>> {
        let operations = json!([{"op": "replace", "path": path, "value": value}]);
        Ok(Patch::Json(serde_json::from_value(operations)?))
    };
    group.patch("demo", &PatchParams::default(), &edit("/spec/roles/0/replicas", json!(3))?).await?;
    let note = scene.event("demo-inline", "ReplicasEdited").await?;
    ensure!(note.contains("decode: somebody else changed the replicas from 2 to 3"), "{note}");

    // Inline text: an edit applies, a wrong one is told and changes nothing, its removal removes the policy.
    group
        .patch("demo", &PatchParams::default(), &edit("/spec/roles/0/autoscaling/maxReplicas", json!(6))?)
        .await?;
    eventually("the edit applies", Duration::from_secs(20), async || {
        let max = scene.policy("demo-inline").await?.spec.roles[0].max_replicas;
        ensure!(max == 6, "{max}");
        Ok(Some(()))
    })
    .await?;
    group
        .patch("demo", &PatchParams::default(), &edit("/spec/roles/0/autoscaling/maxReplicas", json!(0))?)
        .await?;
    let note = scene.event("demo", "InlinePolicyInvalid").await?;
    ensure!(note.contains("maxReplicas"), "{note}");
    ensure!(scene.policy("demo-inline").await?.spec.roles[0].max_replicas == 6, "the last good one stays");
    let told = scene.condition("demo-inline", "InlineRefused", "True", "InlinePolicyInvalid").await?;
    ensure!(told.message.contains("maxReplicas"), "{}", told.message);
    scene.condition("demo-inline", "Ready", "True", "InlinePolicyInvalid").await?;
    group
        .patch("demo", &PatchParams::default(), &edit("/spec/roles/0/autoscaling/maxReplicas", json!(5))?)
        .await?;
    scene.event("demo-inline", "InlineAccepted").await?;
    let operations = json!([{"op": "remove", "path": "/spec/roles/0/autoscaling"}]);
    let removal = Patch::<()>::Json(serde_json::from_value(operations)?);
    group.patch("demo", &PatchParams::default(), &removal).await?;
    let policies: Api<RoleBasedGroupAutoscaler> = scene.namespace().api();
    eventually("the policy is removed with its text", Duration::from_secs(20), async || {
        Ok(policies.get_opt("demo-inline").await?.is_none().then_some(()))
    })
    .await
}
