//! The kinds of objects that a cluster serves, as its discovery tells.

use std::time::Duration;

use kube::{
    Client,
    discovery::{Discovery, Scope},
};

use crate::{
    request::{CUSTOM_GROUP, EXTERNAL_GROUP, RESOURCE_GROUP},
    rules::resources::{ObjectKind, ResourceMap},
};

/// How long discovery may take; large clusters have hundreds of groups.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the kinds that a cluster serves now, metrics APIs left out. Errors: why nobody could say.
pub async fn discover(client: Client) -> Result<ResourceMap, String> {
    let discovery = Discovery::new(client).exclude(&[CUSTOM_GROUP, EXTERNAL_GROUP, RESOURCE_GROUP]);
    let discovery = tokio::time::timeout(PATIENCE, discovery.run_aggregated())
        .await
        .map_err(|_| format!("discovery: no answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| format!("discovery: {error}"))?;
    let mut kinds = Vec::new();
    for group in discovery.groups_alphabetical() {
        for (resource, capabilities) in group.recommended_resources() {
            let is_namespaced = capabilities.scope == Scope::Namespaced;
            let (group, version) = (&resource.group, &resource.version);
            kinds.push(ObjectKind::new(group, version, &resource.kind, &resource.plural, is_namespaced));
        }
    }
    Ok(ResourceMap::new(kinds))
}
