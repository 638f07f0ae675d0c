//! A namespace for one test.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use tokio::time::timeout;

use super::apply::apply_yaml;
use super::eventually::eventually;
use crate::control_plane::{ControlPlane, client};

/// How long anything about a namespace itself may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A namespace with a name of its own, deleted when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    client: DebugClient,
    kubeconfig: Option<PathBuf>,
}

impl Namespace {
    /// Creates a namespace whose name begins with `prefix`, and waits until pods can be created in it.
    pub async fn create(plane: &ControlPlane, prefix: &str) -> Result<Self> {
        let client = plane.client().await?;
        let wanted = NamespaceObject {
            metadata: ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() },
            ..NamespaceObject::default()
        };
        let created = Api::all(client.clone()).create(&PostParams::default(), &wanted).await;
        let name = created.context("cannot create a namespace")?.name_any();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name);
        let what = format!("service account default in namespace {name}");
        eventually(&what, PATIENCE, async || Ok(accounts.get_opt("default").await?)).await?;
        Ok(Self { name, client: DebugClient(client), kubeconfig: Some(plane.kubeconfig()) })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the administrator's client that it was created with.
    pub fn client(&self) -> Client {
        self.client.0.clone()
    }

    /// Returns access to the objects of a kind in it.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), &self.name)
    }

    /// Applies YAML in it, as [`apply_yaml`] does.
    pub async fn apply_yaml(&self, text: &str) -> Result<Vec<DynamicObject>> {
        apply_yaml(&self.client.0, &self.name, text).await
    }

    /// Deletes it and waits until it is gone.
    pub async fn delete(mut self) -> Result<()> {
        self.kubeconfig = None;
        let namespaces: Api<NamespaceObject> = Api::all(self.client());
        namespaces.delete(&self.name, &DeleteParams::default()).await?;
        let what = format!("namespace {} is gone", self.name);
        eventually(&what, Duration::from_secs(60), async || {
            Ok(namespaces.get_opt(&self.name).await?.is_none().then_some(()))
        })
        .await
    }

    /// Keeps it when this value is dropped.
    pub fn keep(mut self) -> String {
        self.kubeconfig = None;
        self.name.clone()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let Some(kubeconfig) = self.kubeconfig.take() else { return };
        let name = self.name.clone();
        // The test's runtime ends with the test, so a thread with one of its own asks for the deletion; the rest happens without us.
        let deleting = thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { timeout(PATIENCE, delete(&kubeconfig, &name)).await? })
        });
        let _ = deleting.join();
    }
}

async fn delete(kubeconfig: &Path, name: &str) -> Result<()> {
    let namespaces: Api<NamespaceObject> = Api::all(client(kubeconfig).await?);
    namespaces.delete(name, &DeleteParams::default()).await?;
    Ok(())
}

/// A client, which itself cannot be printed.
struct DebugClient(Client);

impl Debug for DebugClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Client")
    }
}
