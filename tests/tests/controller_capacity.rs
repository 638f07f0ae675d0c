//! Room: whole gangs that fit or do not, on nodes with fake GPUs that the real scheduler fills.
//!
//! Every test has nodes of its own, which only its pods select.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    harness::{NodePool, POOL_LABEL, eventually, service_account_kubeconfig, throughout},
    rbg::{labels, manifest::Role},
    scene::Scene,
};
use serde_json::{Value, json};

/// A policy of the role `decode` that may grow to `max` replicas.
fn policy(max: u32, gang: u32, capacity: impl Into<Value>) -> Value {
    json!({"capacity": capacity.into(), "roles": [{"name": "decode", "minReplicas": gang, "maxReplicas": max, "gang": {"replicas": gang},
        "metrics": [{"name": "queue_length", "target": "10"}]}]})
}

fn fit() -> Value {
    json!({"mode": "Fit", "pendingTimeout": "3s", "backoff": {"initial": "4s", "max": "1m"}})
}

fn optimistic(timeout: &str, backoff: &str) -> Value {
    json!({"mode": "Optimistic", "pendingTimeout": timeout, "backoff": {"initial": backoff, "max": "30m"}})
}

/// Pods of `decode` by name.
async fn pods(scene: &Scene) -> Result<BTreeMap<String, Pod>> {
    let api: Api<Pod> = scene.namespace().api();
    let of_role = ListParams::default().labels(&format!("{}=decode", labels::ROLE_NAME));
    Ok(api.list(&of_role).await?.into_iter().map(|pod| (pod.name_any(), pod)).collect())
}

fn waits(pod: &Pod) -> bool {
    pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none())
}

async fn nothing_waits(scene: &Scene, pods: usize) -> Result<()> {
    throughout(&format!("{pods} pods and none waits for a node"), Duration::from_secs(2), async || {
        let seen = self::pods(scene).await?;
        let waiting: Vec<_> = seen.iter().filter(|(_, pod)| waits(pod)).map(|(name, _)| name).collect();
        ensure!(seen.len() == pods && waiting.is_empty(), "of {:?} wait {waiting:?}", seen.keys());
        Ok(())
    })
    .await
}

/// Creates nodes of a pool up to that number.
async fn grow(scene: &Scene, pool: &str, nodes: u32, gpus: u32) -> Result<()> {
    NodePool::new(pool, nodes, gpus).create(&scene.namespace().client()).await?;
    Ok(())
}

/// A pod of a training job on one of the nodes of a pool.
async fn job(scene: &Scene, name: &str, pool: &str, gpus: u32) -> Result<()> {
    let container = json!({"name": "train", "image": "train", "resources": {"limits": {"nvidia.com/gpu": gpus.to_string()}}});
    scene
        .apply(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
            "nodeSelector": {POOL_LABEL: pool}, "tolerations": [{"operator": "Exists"}], "containers": [container]}}))
        .await?;
    let api: Api<Pod> = scene.namespace().api();
    eventually(&format!("{name} has a node"), Duration::from_secs(20), async || {
        Ok((!waits(&api.get(name).await?)).then_some(()))
    })
    .await
}

#[tokio::test]
async fn only_whole_gangs_that_fit_are_created_and_the_rest_follows_new_nodes() {
    shared().await.run(async |plane| whole_gangs(plane).await).await;
}

/// Gangs of eight pods, room for two and a half, four wanted.
async fn whole_gangs(plane: &ControlPlane) -> Result<()> {
    let mut scene = Scene::without_controller(plane, "fit").await?;
    grow(&scene, "fit", 5, 4).await?;
    let decode = Role::leader_worker("decode", 1, 8).gpus(1).on_pool("fit");
    scene.queue("demo", "decode", 40.0);
    scene.create_group("demo", [scene.serving(decode)]).await?;
    scene.pods_are_ready("demo", "decode", 8).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.create_policy("p", "demo", policy(4, 1, fit())).await?;
    // So seldom that what follows within a few seconds follows an event.
    scene.set_flag("--sync-period", "12s");
    scene.set_flag("--collection-interval", "12s");
    scene.start_controller(&[]).await?;
    history.ends_with(2).await?;
    let told = scene.condition("p", "CapacityLimited", "True", "NoFit").await?;
    let refused = "new replicas do not fit: nvidia.com/gpu is short: 8 pods need 1 each, fit-4 has 4";
    ensure!(
        told.message.contains(refused),
        "how many, what, and the nodes that came closest: {}",
        told.message
    );
    scene.pods_are_ready("demo", "decode", 16).await?;
    nothing_waits(&scene, 16).await?;
    // A round that a busy Prometheus does not answer asks for nothing, and so limits nothing.
    eventually("NoFit is a figure", Duration::from_secs(60), async || {
        let metrics = scene.metrics().await?;
        let limited = metrics
            .lines()
            .any(|line| line.starts_with("rbg_autoscaler_limited{") && line.contains("reason=\"NoFit\""));
        ensure!(limited, "{metrics}");
        Ok(Some(()))
    })
    .await?;
    scene.event("p", "NoFit").await?;

    grow(&scene, "fit", 8, 4).await?;
    // At once, or one as soon as the first of the new nodes is seen.
    eventually("the rest follows at once", Duration::from_secs(6), async || {
        let counts = history.counts();
        ensure!(counts == [1, 2, 4] || counts == [1, 2, 3, 4], "{counts:?}");
        Ok(Some(()))
    })
    .await?;
    scene.pods_are_ready("demo", "decode", 32).await?;
    scene.condition("p", "CapacityLimited", "False", "NotLimited").await?;
    scene.event("p", "CapacityAvailable").await?;
    Ok(())
}

#[tokio::test]
async fn what_stays_unschedulable_is_rolled_back_exactly_and_tried_again_with_less() {
    shared().await.run(async |plane| rollback(plane).await).await;
}

async fn rollback(plane: &ControlPlane) -> Result<()> {
    let mut scene = Scene::start(plane, "rollback").await?;
    grow(&scene, "rollback", 5, 4).await?;
    let decode = Role::leader_worker("decode", 2, 8).gpus(1).on_pool("rollback");
    scene.queue("demo", "decode", 40.0);
    scene.create_group("demo", [scene.serving(decode)]).await?;
    scene.pods_are_ready("demo", "decode", 16).await?;
    let running = pods(&scene).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.create_policy("p", "demo", policy(4, 1, optimistic("3s", "5s"))).await?;
    history.ends_with(4).await?;
    let waiting = |status: &rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscalerStatus| {
        status.roles.iter().any(|role| role.pending_replicas == 2)
    };
    scene.status_shows("p", "two pending replicas", waiting).await?;
    let told = scene.condition("p", "CapacityLimited", "False", "WaitingForNodes").await?;
    ensure!(told.message.contains(" for a node, to be taken back at "), "{}", told.message);
    history.ends_with(2).await?;
    let told = scene.condition("p", "CapacityLimited", "True", "RolledBack").await?;
    ensure!(told.message.starts_with("decode: "), "{}", told.message);
    let note = scene.event("p", "RolledBack").await?;
    ensure!(note.contains("Insufficient nvidia.com/gpu"), "the scheduler's words: {note}");
    ensure!(scene.metrics().await?.contains("rbg_autoscaler_gang_rollbacks_total{"), "counted");
    scene.pods_are_ready("demo", "decode", 16).await?;
    let uid = |pod: &Pod| pod.uid();
    let same = pods(&scene).await?.iter().all(|(name, pod)| running.get(name).and_then(uid) == pod.uid());
    ensure!(same, "what ran was never touched");

    // A new controller remembers; then half of what did not fit is tried, and taken back too.
    scene.take_controller()?.kill();
    scene.start_controller(&[]).await?;
    let counts = history.ends_with(3).await?;
    ensure!(counts == [2, 4, 2, 3], "{counts:?}");
    history.ends_with(2).await?;
    let again = |status: &rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscalerStatus| {
        let history = status.roles.first().and_then(|role| role.history.as_ref());
        history.and_then(|history| history.rollback).is_some_and(|rollback| rollback.attempts == 2)
    };
    scene.status_shows("p", "the second rollback", again).await?;

    // New nodes end the wait.
    grow(&scene, "rollback", 8, 4).await?;
    eventually("all follow new nodes", Duration::from_secs(9), async || {
        let counts = history.counts();
        ensure!(counts == [2, 4, 2, 3, 2, 3, 4], "{counts:?}");
        Ok(Some(()))
    })
    .await?;
    scene.pods_are_ready("demo", "decode", 32).await?;
    scene.condition("p", "CapacityLimited", "False", "NotLimited").await?;
    Ok(())
}

#[tokio::test]
async fn room_that_vanishes_between_check_and_bind_is_given_up_and_found_again() {
    shared().await.run(async |plane| vanished(plane).await).await;
}

/// A gate keeps new pods from the scheduler until a training job has taken what they were to get.
async fn vanished(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "vanish").await?;
    grow(&scene, "vanish", 2, 8).await?;
    let gates = json!([{"name": "example.com/later"}]);
    let decode = Role::standalone("decode", 1).gpus(8).on_pool("vanish").pod_spec("schedulingGates", gates);
    scene.queue("demo", "decode", 40.0);
    scene.create_group("demo", [scene.serving(decode)]).await?;
    open_gates(&scene, 1).await?;
    scene.pods_are_ready("demo", "decode", 1).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.create_policy("p", "demo", policy(2, 1, fit())).await?;
    history.ends_with(2).await?;
    job(&scene, "train", "vanish", 1).await?;
    open_gates(&scene, 2).await?;
    let counts = history.ends_with(1).await?;
    ensure!(counts == [1, 2, 1], "{counts:?}");
    let told = scene.event("p", "RolledBack").await?;
    ensure!(told.contains("Insufficient nvidia.com/gpu"), "{told}");
    let api: Api<Pod> = scene.namespace().api();
    api.delete("train", &DeleteParams::default()).await?;
    history.ends_with(2).await?;
    open_gates(&scene, 2).await?;
    scene.pods_are_ready("demo", "decode", 2).await
}

async fn open_gates(scene: &Scene, pods: usize) -> Result<()> {
    let api: Api<Pod> = scene.namespace().api();
    let open = Patch::Merge(json!({"spec": {"schedulingGates": []}}));
    eventually(&format!("{pods} pods without a gate"), Duration::from_secs(20), async || {
        let mut free = 0;
        for (name, pod) in self::pods(scene).await? {
            if pod.spec.is_some_and(|spec| spec.scheduling_gates.is_some_and(|gates| !gates.is_empty())) {
                api.patch(&name, &PatchParams::default(), &open).await?;
            } else {
                free += 1;
            }
        }
        ensure!(free == pods, "{free}");
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn two_groups_and_a_training_job_share_what_there_is() {
    shared().await.run(async |plane| tenants(plane).await).await;
}

/// Twelve GPUs: one group runs on four, one on two, the job on four; each group wants four more, and two are left.
async fn tenants(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "tenants").await?;
    grow(&scene, "tenants", 2, 6).await?;
    job(&scene, "train-0", "tenants", 4).await?;
    job(&scene, "train-1", "tenants", 2).await?;
    let decode = || scene.serving(Role::standalone("decode", 1).gpus(2).on_pool("tenants"));
    for group in ["one", "two"] {
        scene.queue(group, "decode", 10.0);
        scene.create_group(group, [decode()]).await?;
        scene.create_policy(group, group, policy(3, 1, fit())).await?;
    }
    scene.pods_are_ready("one", "decode", 1).await?;
    scene.pods_are_ready("two", "decode", 1).await?;
    let (one, two) = (scene.watch_role("one", "decode").await?, scene.watch_role("two", "decode").await?);
    // Both see the same two free GPUs, in the same round.
    for group in ["one", "two"] {
        scene.queue(group, "decode", 20.0);
    }
    let sum = || one.counts().last().copied().unwrap_or(0) + two.counts().last().copied().unwrap_or(0);
    eventually("one of them grows", Duration::from_secs(20), async || {
        ensure!(sum() == 3, "{:?} {:?}", one.counts(), two.counts());
        Ok(Some(()))
    })
    .await?;
    let winner = if one.counts().last() == Some(&2) { "one" } else { "two" };
    let loser = if winner == "one" { "two" } else { "one" };
    scene.queue(winner, "decode", 10.0);
    scene.condition(loser, "CapacityLimited", "True", "NoFit").await?;
    scene.pods_are_ready(winner, "decode", 2).await?;
    nothing_waits(&scene, 3).await?;
    ensure!(sum() == 3, "{:?} {:?}", one.counts(), two.counts());
    // The job ends: the group that was refused gets its share.
    let api: Api<Pod> = scene.namespace().api();
    api.delete("train-1", &DeleteParams::default()).await?;
    scene.role_asks_for(loser, "decode", 2).await?;
    scene.queue(loser, "decode", 10.0);
    scene.pods_are_ready(loser, "decode", 2).await?;
    nothing_waits(&scene, 4).await
}

#[tokio::test]
async fn a_node_that_dies_takes_only_its_own_pod() {
    shared().await.run(async |plane| dead_node(plane).await).await;
}

async fn dead_node(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "dead").await?;
    grow(&scene, "dead", 4, 8).await?;
    let decode = Role::standalone("decode", 4).gpus(8).on_pool("dead");
    scene.queue("demo", "decode", 10.0);
    scene.create_group("demo", [scene.serving(decode)]).await?;
    scene.pods_are_ready("demo", "decode", 4).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.create_policy("p", "demo", policy(8, 2, optimistic("2s", "1m"))).await?;
    scene.condition("p", "Ready", "True", "Scaling").await?;
    let before = pods(&scene).await?;
    let (name, pod) = before.iter().next().context("four pods")?;
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    let nodes: Api<Node> = Api::all(scene.namespace().client());
    nodes.delete(&node, &DeleteParams::default()).await?;
    // As the garbage collector of pods does, at once.
    let api: Api<Pod> = scene.namespace().api();
    api.delete(name, &DeleteParams::default().grace_period(0)).await?;
    let told = scene.condition("p", "CapacityLimited", "True", "PartialGang").await?;
    ensure!(told.message.contains(&format!("{name} has been unschedulable for")), "{}", told.message);
    ensure!(told.message.contains("replicas 0 to 1 stay"), "{}", told.message);
    throughout("nobody else is touched", Duration::from_secs(3), async || {
        ensure!(history.counts() == [4], "{:?}", history.counts());
        let now = pods(&scene).await?;
        let same = before
            .iter()
            .filter(|(other, _)| *other != name)
            .all(|(other, pod)| now.get(other).and_then(ResourceExt::uid) == pod.uid());
        ensure!(same, "{:?}", now.keys());
        Ok(())
    })
    .await?;
    grow(&scene, "dead", 4, 8).await?;
    scene.pods_are_ready("demo", "decode", 4).await?;
    scene.condition("p", "CapacityLimited", "False", "NotLimited").await?;
    Ok(())
}

#[tokio::test]
async fn what_waits_goes_first_and_at_once_when_demand_falls() {
    shared().await.run(async |plane| demand_falls(plane).await).await;
}

async fn demand_falls(plane: &ControlPlane) -> Result<()> {
    let scene = Scene::start(plane, "falls").await?;
    grow(&scene, "falls", 4, 8).await?;
    let decode = Role::standalone("decode", 4).gpus(8).on_pool("falls");
    scene.queue("demo", "decode", 20.0);
    scene.create_group("demo", [scene.serving(decode)]).await?;
    scene.pods_are_ready("demo", "decode", 4).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.create_policy("p", "demo", policy(8, 2, optimistic("10m", "1m"))).await?;
    history.ends_with(8).await?;
    scene.queue("demo", "decode", 4.0);
    // The default window of five minutes keeps what runs.
    let counts = history.ends_with(4).await?;
    // A pod that is not scraped yet counts as idle on the way up: the climb may take two steps, the fall may not.
    ensure!(counts.starts_with(&[4]) && counts.ends_with(&[8, 4]), "{counts:?}");
    scene.pods_are_ready("demo", "decode", 4).await
}

#[tokio::test]
async fn without_the_right_to_list_nodes_gangs_are_taken_as_fitting() {
    shared().await.run(async |plane| forbidden(plane).await).await;
}

async fn forbidden(plane: &ControlPlane) -> Result<()> {
    let mut scene = Scene::without_controller(plane, "blind").await?;
    let namespace = scene.namespace().name().to_owned();
    let everything_here = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "blind"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]});
    scene.apply(everything_here).await?;
    let kubeconfig = service_account_kubeconfig(plane, &namespace, "default").await?;
    let decode = scene.serving(Role::standalone("decode", 1));
    scene.queue("demo", "decode", 20.0);
    scene.create_group("demo", [decode]).await?;
    scene.pods_are_ready("demo", "decode", 1).await?;
    let history = scene.watch_role("demo", "decode").await?;
    scene.create_policy("p", "demo", policy(2, 1, fit())).await?;
    scene.set_flag("--kubeconfig", &kubeconfig.display().to_string());
    scene.start_controller(&[]).await?;
    history.ends_with(2).await?;
    let told = scene.condition("p", "CapacityLimited", "Unknown", "Unknown").await?;
    ensure!(told.message.starts_with("the controller may not list "), "{}", told.message);
    Ok(())
}
