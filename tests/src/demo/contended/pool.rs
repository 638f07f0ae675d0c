//! [`Pool`]: the GPUs of one side at one moment: who holds them, and who serves; and the training job that wants some.

use std::{collections::BTreeMap, fmt};

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::{harness::apply, rbg::labels};

use super::NAMESPACE;

/// Pods of the training job in each pool.
pub const TRAINING: u32 = 5;
/// GPUs of every pod, of the model and of the training job.
pub const GPUS_OF_A_POD: u32 = 4;
/// Replicas that only serve together.
pub const GANG: u32 = 4;

/// The annotation of a pod whose engine waits for the others of its gang.
const WAITS_FOR_PEERS: &str = "fake/waits-for-peers";

/// The pods of one side at one moment, each a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Replicas that the role asks for.
    pub asked: u32,
    /// Pods that have a node, and so hold GPUs.
    pub bound: u32,
    /// Pods of gangs all of whose pods are ready.
    pub serving: u32,
    /// Pods that have a node although their gang lacks a pod with one: they serve nobody.
    pub useless: u32,
}

impl Pool {
    /// Counts the pods of a role. Those beyond its count are on their way out.
    pub fn of(asked: u32, pods: &[Pod]) -> Self {
        let mut gangs: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        let mut pool = Self { asked, ..Self::default() };
        let stays = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none() && ordinal(pod) < asked;
        for pod in pods.iter().filter(stays) {
            let (bound, ready) = gangs.entry(ordinal(pod) / GANG).or_default();
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let is_ready = |condition: &_| is_true(condition, "Ready");
            *bound += u32::from(pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()));
            *ready += u32::from(conditions.into_iter().any(is_ready));
        }
        for (bound, ready) in gangs.into_values() {
            pool.bound += bound;
            if bound < GANG {
                pool.useless += bound;
            } else if ready >= GANG {
                pool.serving += ready;
            }
        }
        pool
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} replicas asked for, {} with a node, {} serve", self.asked, self.bound, self.serving)?;
        if self.useless > 0 {
            write!(f, "; {} hold {} GPUs for nothing", self.useless, self.useless * GPUS_OF_A_POD)?;
        }
        Ok(())
    }
}

/// Lets the engines of gangs whose pods all have nodes find each other, after which they begin to load.
///
/// An engine that is spread over several pods answers no health check before all of them have joined, and so no pod of a partial
/// gang is ever Ready.
pub async fn join(api: &Api<Pod>, pods: &[Pod]) -> Result<()> {
    let mut gangs: BTreeMap<u32, Vec<&Pod>> = BTreeMap::new();
    let is_bound = |pod: &&Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).filter(is_bound) {
        gangs.entry(ordinal(pod) / GANG).or_default().push(pod);
    }
    let whole = gangs.into_values().filter(|gang| gang.len() >= usize::try_from(GANG).unwrap_or(usize::MAX));
    for pod in whole.flatten().filter(|pod| pod.annotations().contains_key(WAITS_FOR_PEERS)) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {WAITS_FOR_PEERS: null}}}));
        match api.patch(&pod.name_any(), &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => drop(other?),
        }
    }
    Ok(())
}

fn ordinal(pod: &Pod) -> u32 {
    pod.labels().get(labels::ROLE_INSTANCE_INDEX).and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn is_true(condition: &k8s_openapi::api::core::v1::PodCondition, kind: &str) -> bool {
    condition.type_ == kind && condition.status == "True"
}

/// Has the training job run in a pool, or end.
pub async fn train(client: &Client, pool: &str, runs: bool) -> Result<()> {
    if !runs {
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        let of_job = ListParams::default().labels(&format!("training={pool}"));
        pods.delete_collection(&DeleteParams::default().grace_period(0), &of_job).await?;
        return Ok(());
    }
    for index in 0..TRAINING {
        let gpus = json!({"nvidia.com/gpu": GPUS_OF_A_POD.to_string()});
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("training-{pool}-{index}"), "labels": {"training": pool}},
            "spec": {"nodeSelector": {"rbga-pool": pool}, "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "trainer", "image": "trainer", "resources": {"limits": gpus}}]}});
        apply(client, NAMESPACE, pod).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gang_that_lacks_a_node_is_useless_and_one_that_loads_is_not() {
        let pod = |ordinal: u32, node: Option<&str>, ready: bool| -> Pod {
            let status = if ready { "True" } else { "False" };
            serde_json::from_value(json!({
                "metadata": {"labels": {labels::ROLE_INSTANCE_INDEX: ordinal.to_string()}},
                "spec": {"nodeName": node, "containers": []},
                "status": {"conditions": [{"type": "Ready", "status": status}]}}))
            .expect("a pod")
        };
        let mut pods: Vec<Pod> = (0..4).map(|ordinal| pod(ordinal, Some("n"), true)).collect();
        pods.extend((4..8).map(|ordinal| pod(ordinal, Some("n"), ordinal > 4)));
        pods.extend((8..11).map(|ordinal| pod(ordinal, (ordinal < 10).then_some("n"), true)));
        pods.push(pod(11, Some("n"), true));
        let pool = Pool::of(11, &pods);
        assert_eq!(pool, Pool { asked: 11, bound: 10, serving: 4, useless: 2 });
        assert_eq!(
            pool.to_string(),
            "11 replicas asked for, 10 with a node, 4 serve; 2 hold 8 GPUs for nothing"
        );
    }
}
