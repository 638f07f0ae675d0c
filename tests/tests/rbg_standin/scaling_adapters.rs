//! Scaling adapters: bound, obeyed, and dear to unknown fields.

use k8s_openapi::api::{autoscaling::v1::Scale, core::v1::Pod};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use rbg_autoscaler_tests::rbg::{
    RoleBasedGroup, RoleBasedGroupScalingAdapter, labels,
    manifest::{Role, manifest},
};
use serde_json::json;

use crate::world::{World, eventually};

/// Writes a count through the scale subresource, as an HPA does.
async fn scale(world: &World, adapter: &str, to: i32) {
    let api = world.api::<RoleBasedGroupScalingAdapter>();
    let patch = Patch::Merge(json!({"spec": {"replicas": to}}));
    api.patch_scale(adapter, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test]
async fn a_role_that_wants_an_adapter_gets_one_and_loses_it_again() {
    let world = World::new("bind").await;
    let roles = [
        Role::standalone("prefill", 2)
            .field("scalingAdapter", json!({"enable": true, "labels": {"team": "a"}})),
        Role::leader_worker("decode", 1, 2).scaling_adapter(),
        Role::standalone("router", 1).field("scalingAdapter", json!({"enable": false})),
    ];
    world.create(&manifest("demo", roles)).await;
    let group = world.get::<RoleBasedGroup>("demo").await;
    let prefill = world.bound("demo-prefill", 2).await;
    let decode = world.bound("demo-decode", 1).await;
    assert_eq!(
        prefill.owner_references().iter().map(|owner| &owner.uid).collect::<Vec<_>>(),
        [&group.uid().unwrap()]
    );
    assert_eq!((prefill.spec.replicas, prefill.spec.scale_target_ref.role.as_str()), (Some(2), "prefill"));
    assert_eq!(prefill.spec.scale_target_ref.name, "demo");
    let want = [(labels::GROUP_NAME, "demo"), (labels::ROLE_NAME, "prefill"), ("team", "a")];
    assert_eq!(
        prefill.labels().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>(),
        want
    );

    // What the HPA sees: the scale subresource, and by its selector only leaders.
    world.has_status("demo", "decode", [1; 3]).await;
    let api = world.api::<RoleBasedGroupScalingAdapter>();
    let Scale { spec, status, .. } = api.get_scale("demo-decode").await.unwrap();
    let status = status.unwrap();
    assert_eq!((spec.unwrap().replicas, status.replicas), (Some(1), 1));
    let seen =
        world.api::<Pod>().list(&ListParams::default().labels(&status.selector.unwrap())).await.unwrap();
    assert_eq!(seen.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["demo-decode-0-0"]);
    eventually("one replica is ready", async || {
        let status = world.get::<RoleBasedGroupScalingAdapter>("demo-decode").await.status.unwrap();
        if status.ready_replicas == Some(1) { Ok(()) } else { Err(status) }
    })
    .await;
    assert!(decode.status.unwrap().last_scale_time.is_none(), "binding is no scaling");

    let off = json!([{"op": "replace", "path": "/spec/roles/1/scalingAdapter/enable", "value": false}]);
    world.patch("demo", off).await;
    world.patch("demo", json!([{"op": "remove", "path": "/spec/roles/0"}])).await;
    eventually("no adapters", async || {
        let left = api.list(&ListParams::default()).await.unwrap().items;
        if left.is_empty() { Ok(()) } else { Err(left.len()) }
    })
    .await;
}

#[tokio::test]
async fn the_adapter_has_the_last_word() {
    let world = World::new("truth").await;
    world.create(&manifest("demo", [Role::standalone("decode", 2).scaling_adapter()])).await;
    world.bound("demo-decode", 2).await;
    scale(&world, "demo-decode", 5).await;
    let scaled = world.bound("demo-decode", 5).await;
    assert!(scaled.status.unwrap().last_scale_time.is_some());
    world.has_status("demo", "decode", [5; 3]).await;
    assert_eq!(world.role("demo", 0).await["replicas"], 5);

    let edited = world.get::<RoleBasedGroup>("demo").await.metadata.generation;
    world.scale("demo", 0, 5, 3).await;
    eventually("the edit is reverted", async || {
        let group = world.get::<RoleBasedGroup>("demo").await;
        let (count, generation) = (group.spec.roles[0].replicas, group.metadata.generation);
        if count == 5 && generation == edited.map(|before| before + 2) {
            Ok(())
        } else {
            Err((count, generation))
        }
    })
    .await;
    assert_eq!(world.get::<RoleBasedGroupScalingAdapter>("demo-decode").await.spec.replicas, Some(5));
    world.has_status("demo", "decode", [5; 3]).await;
}

#[tokio::test]
async fn scaling_through_an_adapter_drops_unknown_fields_of_all_roles() {
    let world = World::new("strip").await;
    let policy = json!({"maxReplicas": 8, "metrics": [{"name": "queue_length", "target": "10"}]});
    let roles = [
        Role::standalone("prefill", 1).autoscaling(policy.clone()).scaling_adapter(),
        Role::leader_worker("decode", 1, 2).autoscaling(policy.clone()),
    ];
    world.create(&manifest("demo", roles)).await;
    world.bound("demo-prefill", 1).await;
    world.has_status("demo", "decode", [1; 3]).await;
    for index in [0, 1] {
        assert_eq!(
            world.role("demo", index).await["autoscaling"],
            policy,
            "making the adapter drops nothing"
        );
    }
    let before = [world.role("demo", 0).await, world.role("demo", 1).await];
    scale(&world, "demo-prefill", 2).await;
    world.bound("demo-prefill", 2).await;
    for (index, mut want) in [0, 1].into_iter().zip(before) {
        want.as_object_mut().unwrap().remove("autoscaling");
        if index == 0 {
            want["replicas"] = json!(2);
        }
        assert_eq!(world.role("demo", index).await, want, "all else stays");
    }
}

#[tokio::test]
async fn an_adapter_that_is_deleted_comes_back_with_the_count_of_the_role() {
    let world = World::new("back").await;
    world.create(&manifest("demo", [Role::standalone("decode", 2).scaling_adapter()])).await;
    let old = world.bound("demo-decode", 2).await;
    scale(&world, "demo-decode", 3).await;
    world.bound("demo-decode", 3).await;
    world
        .api::<RoleBasedGroupScalingAdapter>()
        .delete("demo-decode", &DeleteParams::default())
        .await
        .unwrap();
    eventually("a new adapter", async || {
        let found = world.api::<RoleBasedGroupScalingAdapter>().get_opt("demo-decode").await.unwrap();
        if found.as_ref().is_some_and(|found| found.uid() != old.uid()) {
            Ok(())
        } else {
            Err(found.is_some())
        }
    })
    .await;
    assert_eq!(world.bound("demo-decode", 3).await.spec.replicas, Some(3));
}

#[tokio::test]
async fn conflicting_writers_lose_nothing() {
    let world = World::new("conflicts").await;
    world.create(&manifest("demo", [Role::standalone("decode", 1).scaling_adapter()])).await;
    world.bound("demo-decode", 1).await;
    let groups = world.groups();
    let others = async {
        for turn in 1..=40 {
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"turn": turn.to_string()}}}));
            groups.patch("demo", &PatchParams::default(), &patch).await.unwrap();
            let kept = groups.get("demo").await.unwrap().annotations()["turn"].clone();
            assert_eq!(kept, turn.to_string(), "a write of the stand-in took an annotation back");
        }
    };
    let counts = async {
        for count in [3, 1, 4, 2, 5] {
            scale(&world, "demo-decode", count).await;
            world.bound("demo-decode", count).await;
        }
    };
    tokio::join!(others, counts);
    world.has_status("demo", "decode", [5; 3]).await;
}
