//! [`ObjectLister`]: the names of objects of any kind that a label selector selects.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
};

use crate::{
    custom::unavailable,
    engine::Engine,
    request::{CustomRequest, ObjectName, RequestError},
    rules::resources::ObjectKind,
};

/// How long the API server's answer is awaited.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a list is used again: shorter than the HPA controller's period, longer than one round of it.
const LASTS: Duration = Duration::from_secs(10);

/// Knows the objects of a cluster; the API server, or a fake.
pub trait ObjectLister: Send + Sync {
    /// Returns the names of the objects that a selector (in its text form) selects. Errors: why they cannot be listed.
    fn list<'a>(
        &'a self,
        kind: &'a ObjectKind,
        namespace: Option<&'a str>,
        selector: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, String>>;
}

/// Lists metadata from the API server.
pub struct ApiLister {
    client: Client,
}

impl ApiLister {
    /// Returns a lister that asks through a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl ObjectLister for ApiLister {
    fn list<'a>(
        &'a self,
        kind: &'a ObjectKind,
        namespace: Option<&'a str>,
        selector: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        async move {
            let resource = ApiResource {
                group: kind.group.clone(),
                version: kind.version.clone(),
                api_version: api_version(kind),
                kind: kind.kind.clone(),
                plural: kind.resource.clone(),
            };
            let objects: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
                None => Api::all_with(self.client.clone(), &resource),
            };
            let params = ListParams::default().labels(selector);
            let listed = tokio::time::timeout(PATIENCE, objects.list_metadata(&params))
                .await
                .map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
                .map_err(|error| error.to_string())?;
            Ok(listed.items.into_iter().filter_map(|object| object.metadata.name).collect())
        }
        .boxed()
    }
}

/// The version of a kind as `apiVersion` has it.
pub(super) fn api_version(kind: &ObjectKind) -> String {
    if kind.group.is_empty() { kind.version.clone() } else { format!("{}/{}", kind.group, kind.version) }
}

impl Engine {
    /// Returns the names that a request is about.
    ///
    /// Errors: 503 while pods are not known yet, 500 when objects cannot be listed, which is mostly a missing permission.
    pub(super) async fn names(
        &self,
        kind: &ObjectKind,
        request: &CustomRequest,
        selector_text: &str,
    ) -> Result<Arc<Vec<String>>, RequestError> {
        if let ObjectName::One(name) = &request.name {
            return Ok(Arc::new(vec![name.clone()]));
        }
        let group_resource = kind.group_resource();
        if group_resource.is_pods()
            && let Some(namespace) = &request.namespace
        {
            if !self.pods.is_synced() {
                return Err(unavailable("the pods of the cluster are not listed yet".to_owned()));
            }
            let selected = self.pods.select(namespace, &request.label_selector);
            return Ok(Arc::new(selected.into_iter().map(|(name, _)| name).collect()));
        }
        self.list(kind, request.namespace.as_deref(), selector_text).await
    }

    /// Returns the names of the objects that a selector selects, sorted; asked of the API server now and then.
    pub(super) async fn list(
        &self,
        kind: &ObjectKind,
        namespace: Option<&str>,
        selector_text: &str,
    ) -> Result<Arc<Vec<String>>, RequestError> {
        let namespace = namespace.filter(|_| kind.namespaced);
        let question = (kind.group_resource(), namespace.map(str::to_owned), selector_text.to_owned());
        let ask = async || {
            let listed = self.lister.list(kind, namespace, selector_text).await;
            let mut names = listed.map_err(|error| {
                let what = kind.group_resource();
                RequestError::internal(format_args!(
                    "unable to list matching resources: {what}: {error}; may the service account list them?"
                ))
            })?;
            names.sort();
            Ok(Arc::new(names))
        };
        self.lists.get(question, |_| LASTS, ask).await
    }
}
