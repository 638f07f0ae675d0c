//! The requests of a pass. One that finds its work done already has succeeded.

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Pod,
};
use kube::{
    Api, Error, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    core::{GroupVersionKind, NamespaceResourceScope},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    super::{
        blueprint::{WantedPod, identity},
        types::{RoleBasedGroup, Workload},
        workload::WantedWorkload,
    },
    Reconciler, Result, StandInError,
};

impl Reconciler {
    /// Returns an API of a namespace.
    pub(super) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Creates a pod.
    pub(super) async fn create_pod(&self, namespace: &str, pod: WantedPod) -> Result<()> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<Pod>(&()));
        let manifest: DynamicObject = serde_json::from_value(pod.manifest)?;
        match api.create(&PostParams::default(), &manifest).await {
            Err(Error::Api(status)) if status.is_already_exists() => Err(StandInError::NameTaken(pod.name)),
            other => Ok(other.map(drop)?),
        }
    }

    /// Applies a Deployment or StatefulSet.
    pub(super) async fn apply_workload(
        &self,
        namespace: &str,
        kind: Workload,
        wanted: &WantedWorkload,
    ) -> Result<()> {
        let resource = match kind {
            Workload::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            _ => ApiResource::erase::<Deployment>(&()),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let force = PatchParams::apply("rbg-stand-in").force();
        api.patch(&wanted.name, &force, &Patch::Apply(&wanted.manifest)).await?;
        Ok(())
    }

    /// Applies a PodGroup.
    pub(super) async fn apply_pod_group(&self, namespace: &str, wanted: &Value) -> Result<()> {
        let kind = GroupVersionKind::gvk("scheduling.x-k8s.io", "v1alpha1", "PodGroup");
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let force = PatchParams::apply("rbg-stand-in").force();
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
        api.patch(name, &force, &Patch::Apply(wanted)).await?;
        Ok(())
    }

    /// Deletes the object that was seen, and no other of the same name.
    pub(super) async fn delete<K>(&self, namespace: &str, name: &str, uid: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let seen = Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() };
        let how = DeleteParams { preconditions: Some(seen), ..DeleteParams::background() };
        match self.api::<K>(namespace).delete(name, &how).await {
            Err(Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// Writes a group's status; a group that is gone needs none.
    pub(super) async fn patch_status(&self, group: &RoleBasedGroup, status: &impl Serialize) -> Result<()> {
        let (name, namespace) = identity(group);
        let patch = Patch::Merge(json!({"status": status}));
        match self.api::<RoleBasedGroup>(namespace).patch_status(name, &PatchParams::default(), &patch).await
        {
            Err(Error::Api(status)) if status.is_not_found() => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }
}
