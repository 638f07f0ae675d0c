//! [`Fleet`]: a thousand groups of three roles, their policies and their pods.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DynamicObject, ListParams, PostParams},
};
use rbg_autoscaler::api::autoscaler::RoleBasedGroupAutoscaler;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::engines::QUEUE;
use crate::{
    bench::report::say,
    control_plane::ControlPlane,
    harness::{Namespace, NodePool, apply_yaml, eventually},
    rbg::{
        StandIn, install_crds,
        manifest::{self, Role},
    },
};

/// The roles of every group; each starts with one replica of one pod.
pub(super) const ROLES: [&str; 3] = ["router", "prefill", "decode"];
/// Objects that are created at the same time.
const AT_ONCE: usize = 16;
/// The CRD of our policies, as users install it.
const POLICY_CRD: &str = include_str!("../../../../deploy/crds/rolebasedgroupautoscalers.yaml");

/// Groups at work.
pub(super) struct Fleet {
    pub(super) groups: usize,
    _stand_in: StandIn,
    namespace: Namespace,
}

impl Fleet {
    /// Creates everything and waits until all pods are ready.
    pub(super) async fn create(plane: &ControlPlane, groups: usize) -> Result<Self> {
        let client = plane.client().await?;
        install_crds(&client).await?;
        apply_yaml(&client, "", POLICY_CRD).await?;
        let per_node = 250;
        let nodes = u32::try_from(groups * ROLES.len())?.div_ceil(per_node) + 2;
        NodePool { pods: per_node, cpu: 1000, ..NodePool::new("fleet", nodes, 0) }.create(&client).await?;
        let namespace = Namespace::create(plane, "fleet").await?;
        let stand_in = StandIn::start_in(client, namespace.name());
        let fleet = Self { groups, _stand_in: stand_in, namespace };
        say(&format!("{groups} groups of {} roles and their policies", ROLES.len()));
        let api = manifest::groups(&fleet.namespace.client(), fleet.namespace());
        let group = |number| {
            let roles = ROLES.map(|role| Role::standalone(role, 1));
            Ok(serde_json::from_value(manifest::manifest(&Self::group(number), roles))?)
        };
        fleet.create_all::<DynamicObject>(&api, group).await?;
        let policies: Api<RoleBasedGroupAutoscaler> = fleet.namespace.api();
        fleet.create_all(&policies, |number| policy(&Self::group(number))).await?;
        fleet.pods_are_ready().await?;
        Ok(fleet)
    }

    /// Returns the name of a group, which is also that of its policy.
    pub(super) fn group(number: usize) -> String {
        format!("demo-{number}")
    }

    /// Returns the namespace of all.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// Returns access to the groups.
    pub(super) fn api(&self) -> Api<DynamicObject> {
        manifest::groups(&self.namespace.client(), self.namespace())
    }

    /// Returns how many pods there are at first.
    pub(super) fn pods(&self) -> usize {
        self.groups * ROLES.len()
    }

    /// Returns when the first role of each group was last decided to scale.
    pub(super) async fn scaled_at(&self) -> Result<BTreeMap<String, Timestamp>> {
        let api: Api<RoleBasedGroupAutoscaler> = self.namespace.api();
        let policies = api.list(&ListParams::default()).await?.items.into_iter();
        let scaled = policies.filter_map(|policy| {
            let role = policy.status.as_ref()?.roles.first()?;
            Some((policy.spec.group_ref.name.clone(), role.last_scale_time?))
        });
        Ok(scaled.collect())
    }

    async fn create_all<K>(&self, api: &Api<K>, make: impl Fn(usize) -> Result<K>) -> Result<()>
    where
        K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    {
        let objects = (0..self.groups).map(make).collect::<Result<Vec<K>>>()?;
        stream::iter(objects)
            .map(async |object| api.create(&PostParams::default(), &object).await)
            .buffer_unordered(AT_ONCE)
            .try_for_each(async |_| Ok(()))
            .await?;
        Ok(())
    }

    async fn pods_are_ready(&self) -> Result<()> {
        let api: Api<Pod> = self.namespace.api();
        say(&format!("waiting for {} pods", self.pods()));
        eventually("all pods run", Duration::from_secs(600), async || {
            let running =
                api.list_metadata(&ListParams::default().fields("status.phase=Running")).await?.items.len();
            ensure!(running == self.pods(), "{running} pods");
            Ok(Some(()))
        })
        .await
    }

    /// Waits until every policy's status tells one ready replica of each role and no trouble with metrics.
    pub(super) async fn is_told(&self) -> Result<()> {
        let api: Api<RoleBasedGroupAutoscaler> = self.namespace.api();
        let want: Vec<_> = ROLES.iter().map(|role| format!("{role}=1/1")).collect();
        let want = want.join(" ");
        say("waiting for the status of every policy");
        eventually("every status is told", Duration::from_secs(300), async || {
            let policies = api.list(&ListParams::default()).await?.items;
            let is_told = |policy: &&RoleBasedGroupAutoscaler| {
                policy.status.as_ref().and_then(|status| status.summary.as_ref()) == Some(&want)
            };
            let told = policies.iter().filter(is_told).count();
            ensure!(told == self.groups, "{told} are");
            Ok(Some(()))
        })
        .await
    }
}

fn policy(group: &str) -> Result<RoleBasedGroupAutoscaler> {
    let role = |name: &str| {
        json!({"name": name, "maxReplicas": 4, "metrics": [
            {"name": "queue_length", "target": QUEUE.to_string()}, {"name": "kv_cache_usage", "target": "0.5"}]})
    };
    Ok(serde_json::from_value(json!({
        "apiVersion": "rbg-autoscaler.dev/v1alpha1", "kind": "RoleBasedGroupAutoscaler", "metadata": {"name": group},
        "spec": {"groupRef": {"name": group}, "roles": ROLES.map(role)},
    }))?)
}
