//! The controller on its own small stage: bounds alone ask for replicas, so neither pods nor metrics are needed.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{coordination::v1::Lease, events::v1::Event};
use kube::{
    Api,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use rbg_autoscaler::api::{autoscaler::RoleBasedGroupAutoscaler, rbg::RoleBasedGroupScalingAdapter};
use rbg_autoscaler_tests::{
    harness::{Program, apply, eventually, throughout},
    rbg::manifest::{Role, groups, manifest},
};
use serde_json::{Value, json};

use super::{Grant, Place, complaints};
use crate::containers::Containers;

const PATIENCE: Duration = Duration::from_secs(60);

/// What holds while the controller has all of its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    IsReady,
    KeepsItsWatches,
    Leads,
    KeepsTheLease,
    WritesGroups,
    WritesScalingAdapters,
    AdoptsInlineText,
    FollowsInlineText,
    RemovesWhatWasAdopted,
    TellsStatus,
    TellsEvents,
    GivesWayToAnHpa,
    KnowsTheRoom,
    MayAskForUsage,
    MayAskForCustomMetrics,
    MayAskForExternalMetrics,
}

use self::Check::{
    AdoptsInlineText, FollowsInlineText, GivesWayToAnHpa, IsReady, KeepsItsWatches, KeepsTheLease,
    KnowsTheRoom, Leads, MayAskForCustomMetrics, MayAskForExternalMetrics, MayAskForUsage,
    RemovesWhatWasAdopted, TellsEvents, TellsStatus, WritesGroups, WritesScalingAdapters,
};

const ALL: [Check; 16] = [
    IsReady,
    KeepsItsWatches,
    Leads,
    KeepsTheLease,
    WritesGroups,
    WritesScalingAdapters,
    AdoptsInlineText,
    FollowsInlineText,
    RemovesWhatWasAdopted,
    TellsStatus,
    TellsEvents,
    GivesWayToAnHpa,
    KnowsTheRoom,
    MayAskForUsage,
    MayAskForCustomMetrics,
    MayAskForExternalMetrics,
];

/// The check that needs a right.
fn check_of(grant: &Grant) -> Result<Check> {
    let right = &grant.right;
    Ok(match (right.verb.as_str(), right.resource.as_str()) {
        ("watch", _) => KeepsItsWatches,
        ("list", "nodes") => KnowsTheRoom,
        ("list", "pods") if right.group == "metrics.k8s.io" => MayAskForUsage,
        ("list", "*") if right.group == "external.metrics.k8s.io" => MayAskForExternalMetrics,
        ("get", "*") if right.group == "custom.metrics.k8s.io" => MayAskForCustomMetrics,
        ("list", "horizontalpodautoscalers") => GivesWayToAnHpa,
        (
            "list",
            "pods" | "rolebasedgroups" | "rolebasedgroupscalingadapters" | "rolebasedgroupautoscalers",
        ) => IsReady,
        ("patch", "rolebasedgroups") => WritesGroups,
        ("update", "rolebasedgroupscalingadapters/scale") => WritesScalingAdapters,
        ("create", "rolebasedgroupautoscalers") => AdoptsInlineText,
        ("update", "rolebasedgroupautoscalers") => FollowsInlineText,
        ("delete", "rolebasedgroupautoscalers") => RemovesWhatWasAdopted,
        ("patch", "rolebasedgroupautoscalers/status") => TellsStatus,
        ("create", "events") => TellsEvents,
        ("get" | "create", "leases") => Leads,
        ("update", "leases") => KeepsTheLease,
        _ => bail!("no check needs it: name one, or take it out of the chart"),
    })
}

/// With all rights every check holds, and nothing is complained of.
pub async fn whole(place: &Place<'_>) -> Result<()> {
    let (mut scene, mut program) = Scene::start(place).await?;
    eventually("every check holds", PATIENCE, async || {
        scene.go_on().await?;
        let mut broken = Vec::new();
        for check in ALL {
            if !scene.holds(check, &program).await? {
                broken.push(check);
            }
        }
        ensure!(broken.is_empty(), "{broken:?}; {}", scene.told(&program).await?);
        Ok(Some(()))
    })
    .await?;
    let told = complaints(&scene.told(&program).await?);
    ensure!(told.is_empty(), "{told:?}");
    program.stop().await
}

/// Without one exactly that one is complained of, and its check does not hold.
pub async fn without(place: &Place<'_>, lost: &Grant) -> Result<()> {
    let (mut scene, program) = Scene::start(place).await?;
    let check = check_of(lost)?;
    let told = eventually("the right is told", PATIENCE, async || {
        scene.go_on().await?;
        let told = complaints(&scene.told(&program).await?);
        ensure!(!told.is_empty(), "{}", scene.told(&program).await?);
        Ok(Some(told))
    })
    .await?;
    ensure!(told.iter().all(|told| lost.is_meant_by(told)), "{told:?}");
    // It goes on with the rest meanwhile, twice at least.
    throughout(&format!("not {check:?}"), Duration::from_secs(2), async || {
        scene.go_on().await?;
        ensure!(!scene.holds(check, &program).await?, "it holds all the same");
        Ok(())
    })
    .await
}

/// The objects of one namespace.
struct Scene<'a> {
    place: &'a Place<'a>,
    adopted: bool,
    followed: bool,
    removed: bool,
}

impl<'a> Scene<'a> {
    /// Sets the scene and starts the controller.
    async fn start(place: &'a Place<'a>) -> Result<(Self, Program)> {
        place.set().await?;
        let scene = Self::set(place).await?;
        let containers =
            Containers { plane: place.plane, client: place.client.clone(), namespace: &place.name };
        let name = format!("{}-rbg-autoscaler-controller", place.name);
        Ok((scene, containers.run(&place.rendered, &name, "rbg-autoscaler").await?))
    }

    async fn set(place: &'a Place<'a>) -> Result<Self> {
        // Without the right to see nodes, room is not asked for.
        let mut names =
            place.rendered.objects.iter().filter_map(|object| object["metadata"]["name"].as_str());
        let mode = if names.any(|name| name.ends_with(":capacity")) { "Fit" } else { "Optimistic" };
        let scene = Self { place, adopted: false, followed: false, removed: false };
        let bounds =
            |role: &str, count: u32| json!({"name": role, "minReplicas": count, "maxReplicas": count});
        let asking = json!({"name": "asking", "maxReplicas": 8, "metrics": [
            {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "10"}}},
            {"type": "External", "external": {"metric": {"name": "all"}, "target": {"type": "AverageValue", "averageValue": "1k"}}},
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
        ]});
        let inline = json!({"minReplicas": 3, "maxReplicas": 3});
        let roles = [
            Role::standalone("direct", 2),
            Role::standalone("adapted", 2).scaling_adapter(),
            Role::standalone("asking", 2),
        ];
        scene.apply(manifest("scaled", roles)).await?;
        scene.apply(manifest("rivalled", [Role::standalone("role", 2)])).await?;
        scene.apply(manifest("inline", [Role::standalone("role", 2).autoscaling(inline)])).await?;
        scene.scaling_adapter().await?;
        scene.apply(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "rival"},
            "spec": {"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "rivalled-role"}}})).await?;
        scene.policy("scaled", json!({"roles": [bounds("direct", 4), bounds("adapted", 4), asking], "capacity": {"mode": mode}})).await?;
        scene.policy("rivalled", json!({"roles": [bounds("role", 4)]})).await?;
        Ok(scene)
    }

    async fn apply(&self, object: Value) -> Result<()> {
        apply(&self.place.client, &self.place.name, object).await?;
        Ok(())
    }

    async fn policy(&self, group: &str, mut spec: Value) -> Result<()> {
        spec["groupRef"] = json!({"name": group});
        let kind = "RoleBasedGroupAutoscaler";
        self.apply(json!({"apiVersion": "rbg-autoscaler.dev/v1alpha1", "kind": kind, "metadata": {"name": group}, "spec": spec}))
            .await
    }

    /// A scaling adapter as RBG makes it, bound to its role.
    async fn scaling_adapter(&self) -> Result<()> {
        let name = "scaled-adapted";
        let spec = json!({"replicas": 2, "scaleTargetRef": {"name": "scaled", "role": "adapted"}});
        let kind = "RoleBasedGroupScalingAdapter";
        self.apply(json!({"apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": kind, "metadata": {"name": name}, "spec": spec})).await?;
        let bound = Patch::Merge(json!({"status": {"phase": "Bound", "replicas": 2}}));
        self.api::<RoleBasedGroupScalingAdapter>()
            .patch_status(name, &PatchParams::default(), &bound)
            .await?;
        Ok(())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.place.client.clone(), &self.place.name)
    }

    /// Changes the inline text once it was adopted, and takes it away once that was followed.
    async fn go_on(&mut self) -> Result<()> {
        let adopted = self.api::<RoleBasedGroupAutoscaler>().get_opt("inline-inline").await?;
        let maximum = adopted.and_then(|adopted| adopted.spec.roles.first().map(|role| role.max_replicas));
        let groups = groups(&self.place.client, &self.place.name);
        let change =
            |text: Value| Patch::<DynamicObject>::Json(serde_json::from_value(text).unwrap_or_default());
        match maximum {
            Some(3) if !self.adopted => {
                self.adopted = true;
                let text = json!([{"op": "replace", "path": "/spec/roles/0/autoscaling", "value": {"minReplicas": 4, "maxReplicas": 4}}]);
                groups.patch("inline", &PatchParams::default(), &change(text)).await?;
            }
            Some(4) if !self.followed => {
                self.followed = true;
                let text = json!([{"op": "remove", "path": "/spec/roles/0/autoscaling"}]);
                groups.patch("inline", &PatchParams::default(), &change(text)).await?;
            }
            None if self.followed => self.removed = true,
            _ => {}
        }
        Ok(())
    }

    /// All that the program tells: its log, statuses, events.
    async fn told(&self, program: &Program) -> Result<String> {
        let mut told = program.log();
        for policy in self.api::<RoleBasedGroupAutoscaler>().list(&ListParams::default()).await? {
            told.push('\n');
            told.push_str(&serde_json::to_string(&policy.status)?);
        }
        for event in self.events().await? {
            told.push('\n');
            told.push_str(&event.note.unwrap_or_default());
        }
        // This one says more than the API server.
        let told = told.replace(
            "may not patch this RoleBasedGroup;",
            "may not patch rolebasedgroups.workloads.x-k8s.io ",
        );
        Ok(told)
    }

    async fn events(&self) -> Result<Vec<Event>> {
        let mut events = self.api::<Event>().list(&ListParams::default()).await?.items;
        events.retain(|event| event.reporting_controller.as_deref() == Some("rbg-autoscaler.dev/controller"));
        Ok(events)
    }

    async fn status(&self, policy: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.api::<RoleBasedGroupAutoscaler>().get(policy).await?.status)?)
    }

    async fn replicas(&self, group: &str, role: usize) -> Result<u64> {
        let group = groups(&self.place.client, &self.place.name).get(group).await?;
        group.data["spec"]["roles"][role]["replicas"].as_u64().context("no replicas")
    }

    async fn holds(&self, check: Check, program: &Program) -> Result<bool> {
        Ok(match check {
            IsReady => self.get("readyz").await.is_ok(),
            KeepsItsWatches => !program.log().contains("watch broke"),
            Leads => self.get("metrics").await?.contains("\nrbg_autoscaler_leader 1\n"),
            KeepsTheLease => {
                let lease = self.api::<Lease>().get(&format!("{}-rbg-autoscaler", self.place.name)).await;
                let spec = lease.ok().and_then(|lease| lease.spec).unwrap_or_default();
                spec.renew_time > spec.acquire_time
            }
            WritesGroups => self.replicas("scaled", 0).await? == 4,
            WritesScalingAdapters => {
                let adapter = self.api::<RoleBasedGroupScalingAdapter>().get("scaled-adapted").await?;
                adapter.spec.replicas == Some(4)
            }
            AdoptsInlineText => self.adopted,
            FollowsInlineText => self.followed,
            RemovesWhatWasAdopted => self.removed,
            TellsStatus => self.status("scaled").await?["conditions"].is_array(),
            TellsEvents => {
                self.events().await?.iter().any(|event| event.reason.as_deref() == Some("SuccessfulRescale"))
            }
            GivesWayToAnHpa => {
                self.status("rivalled").await?.to_string().contains("HorizontalPodAutoscaler")
                    && self.replicas("rivalled", 0).await? == 2
            }
            KnowsTheRoom => {
                let status = self.status("scaled").await?;
                let mut conditions = status["conditions"].as_array().into_iter().flatten();
                conditions.any(|it| it["type"] == "CapacityLimited" && it["reason"] != "Unknown")
            }
            MayAskForUsage | MayAskForCustomMetrics | MayAskForExternalMetrics => {
                let at = [MayAskForCustomMetrics, MayAskForExternalMetrics, MayAskForUsage];
                let at = at.iter().position(|known| *known == check).unwrap_or_default();
                let status = self.status("scaled").await?;
                let error = &status["roles"][2]["metrics"][at]["error"];
                error.is_string() && !error.to_string().contains("may not")
            }
        })
    }

    async fn get(&self, path: &str) -> Result<String> {
        let answer = reqwest::get(format!("http://127.0.0.1:{}/{path}", self.place.port)).await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}
