//! Objects from YAML or JSON, of whatever kind the API server knows.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams, TypeMeta};
use kube::core::{GroupVersion, GroupVersionKind};
use kube::discovery::{Scope, pinned_kind};
use kube::runtime::wait::conditions;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tokio::time::timeout;

use super::eventually::eventually;

/// The field manager of all that tests write.
const MANAGER: &str = "rbga-tests";
/// How long a kind may take to be served after its definition was applied.
const PATIENCE: Duration = Duration::from_secs(10);

/// Applies all documents of a YAML text, in their order, by server-side apply; `List`s are taken apart.
///
/// Namespaced objects without a namespace go to `namespace`. Returns them as stored. A kind that is not served yet is awaited for a
/// while; after a `CustomResourceDefinition` was applied, its kind is served.
pub async fn apply_yaml(client: &Client, namespace: &str, text: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("not YAML")?;
    let mut stored = Vec::new();
    for document in documents {
        match document {
            Value::Null => {}
            Value::Object(mut fields) if fields.get("kind").is_some_and(|kind| kind == "List") => {
                let Some(Value::Array(items)) = fields.remove("items") else { bail!("a List without items") };
                for item in items {
                    stored.push(apply(client, namespace, item).await?);
                }
            }
            object => stored.push(apply(client, namespace, object).await?),
        }
    }
    Ok(stored)
}

/// Applies one object by server-side apply, as [`apply_yaml`] does.
pub async fn apply(client: &Client, namespace: &str, object: Value) -> Result<DynamicObject> {
    let types = TypeMeta {
        api_version: object["apiVersion"].as_str().context("an object without apiVersion")?.to_owned(),
        kind: object["kind"].as_str().context("an object without kind")?.to_owned(),
    };
    let name = object["metadata"]["name"].as_str().context("an object without a name")?.to_owned();
    let kind = kind_of(&types)?;
    let (resource, capabilities) =
        eventually(&format!("the API server serves {kind:?}"), PATIENCE, async || {
            Ok(Some(pinned_kind(client, &kind).await?))
        })
        .await?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or(namespace);
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    };
    let stored = api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await;
    let stored = stored.with_context(|| format!("cannot apply {} {name}", types.kind))?;
    if types.kind == "CustomResourceDefinition" {
        established(client, &stored.name_any()).await?;
    }
    Ok(stored)
}

fn kind_of(types: &TypeMeta) -> Result<GroupVersionKind> {
    let version: GroupVersion = types.api_version.parse().context("a malformed apiVersion")?;
    Ok(version.with_kind(&types.kind))
}

async fn established(client: &Client, name: &str) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let waiting = kube::runtime::wait::await_condition(api, name, conditions::is_crd_established());
    timeout(PATIENCE, waiting)
        .await
        .with_context(|| format!("{name} is not established after {PATIENCE:?}"))??;
    Ok(())
}
