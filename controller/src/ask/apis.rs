//! [`MetricsApis`]: which version of the custom metrics API is served, and what kinds are called in its paths.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;

use super::{
    get,
    question::{Question, Subject},
};

/// What was learned is asked again after this long: adapters come and go.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// What was learned of the metrics APIs.
#[derive(Debug, Default)]
pub struct MetricsApis {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    version: Option<(String, Timestamp)>,
    /// What a kind is called, by (apiVersion, kind).
    resources: HashMap<(String, String), (String, Timestamp)>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiGroup {
    #[serde(default)]
    versions: Vec<Version>,
    preferred_version: Option<Version>,
}

#[derive(Debug, Deserialize)]
struct Version {
    version: String,
}

#[derive(Debug, Deserialize)]
struct ResourceList {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    name: String,
    kind: String,
}

impl MetricsApis {
    /// Returns the path to GET for a question.
    pub(super) async fn path(
        &self,
        client: &Client,
        question: &Question,
        now: Timestamp,
    ) -> Result<String, String> {
        let (version, resource) = match &question.subject {
            Subject::Resource { .. } | Subject::External(_) => (String::new(), String::new()),
            Subject::Pods { .. } => (self.version(client, now).await?, String::new()),
            Subject::Object { api_version, kind, .. } => {
                (self.version(client, now).await?, self.resource(client, api_version, kind, now).await?)
            }
        };
        Ok(question.path(&version, &resource))
    }

    /// The version of custom.metrics.k8s.io: the preferred one if it is known to us, else the first that is.
    async fn version(&self, client: &Client, now: Timestamp) -> Result<String, String> {
        if let Some((version, at)) = &self.known().version
            && is_fresh(*at, now)
        {
            return Ok(version.clone());
        }
        let body = get(client, "/apis/custom.metrics.k8s.io").await.map_err(|error| {
            format!("no custom metrics API is served, install an adapter for it: {error}")
        })?;
        let group: ApiGroup =
            serde_json::from_str(&body).map_err(|error| format!("unreadable answer: {error}"))?;
        let known = |version: &&Version| matches!(version.version.as_str(), "v1beta1" | "v1beta2");
        let chosen = group.preferred_version.iter().chain(&group.versions).find(known);
        let version = chosen.map_or_else(|| "v1beta1".to_owned(), |version| version.version.clone());
        self.known().version = Some((version.clone(), now));
        Ok(version)
    }

    /// What a kind is called in a path: `services`, `deployments.apps`.
    async fn resource(
        &self,
        client: &Client,
        api_version: &str,
        kind: &str,
        now: Timestamp,
    ) -> Result<String, String> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some((resource, at)) = self.known().resources.get(&key)
            && is_fresh(*at, now)
        {
            return Ok(resource.clone());
        }
        let path = match api_version {
            "" | "v1" => "/api/v1".to_owned(),
            version => format!("/apis/{version}"),
        };
        let body = get(client, &path).await?;
        let list: ResourceList =
            serde_json::from_str(&body).map_err(|error| format!("unreadable answer: {error}"))?;
        let is_main = |resource: &&Resource| resource.kind == kind && !resource.name.contains('/');
        let Some(found) = list.resources.iter().find(is_main) else {
            return Err(format!("the API server knows no kind {kind} in {api_version:?}"));
        };
        let resource = match api_version.split_once('/') {
            Some((group, _)) => format!("{}.{group}", found.name),
            None => found.name.clone(),
        };
        self.known().resources.insert(key, (resource.clone(), now));
        Ok(resource)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(at)).is_ok_and(|age| age < FORGET_AFTER)
}
