//! The CRDs of `tests/crds`, and how they get into a cluster.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::wait::{await_condition, conditions::is_crd_established},
};
use serde_json::Value;

use super::types::{RoleBasedGroup, RoleBasedGroupScalingAdapter};

/// The CRDs as YAML, by file name.
pub const CRDS: [(&str, &str); 2] = [
    ("rolebasedgroups.yaml", include_str!("../../crds/rolebasedgroups.yaml")),
    ("rolebasedgroupscalingadapters.yaml", include_str!("../../crds/rolebasedgroupscalingadapters.yaml")),
];

/// Installs the CRDs and waits until both kinds can be listed; does no harm when they are there.
///
/// Errors: when kube-apiserver refuses a CRD, or does not serve it within 30 seconds.
pub async fn install_crds(client: &Client) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let force = PatchParams::apply("rbg-stand-in").force();
    for (file, text) in CRDS {
        let crd: Value = serde_saphyr::from_str(text).with_context(|| format!("cannot parse {file}"))?;
        let applied = api
            .patch(crd["metadata"]["name"].as_str().unwrap_or_default(), &force, &Patch::Apply(&crd))
            .await
            .with_context(|| format!("cannot apply {file}"))?;
        let name = applied.name_any();
        tokio::time::timeout(
            Duration::from_secs(30),
            await_condition(api.clone(), &name, is_crd_established()),
        )
        .await
        .with_context(|| format!("{name} was not established in time"))??;
    }
    tokio::time::timeout(Duration::from_secs(30), served(client)).await.context("the CRDs are not served")
}

/// An established CRD may still be answered with 404 for a moment.
async fn served(client: &Client) {
    let groups: Api<RoleBasedGroup> = Api::all(client.clone());
    let adapters: Api<RoleBasedGroupScalingAdapter> = Api::all(client.clone());
    let one = ListParams::default().limit(1);
    while groups.list(&one).await.is_err() || adapters.list(&one).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(index: usize) -> CustomResourceDefinition {
        serde_saphyr::from_str(CRDS[index].1).unwrap()
    }

    #[test]
    fn only_the_scaling_adapter_has_a_scale_subresource() {
        let scale = |index: usize| crd(index).spec.versions[0].subresources.clone().unwrap().scale;
        assert!(scale(0).is_none());
        let adapter = scale(1).unwrap();
        assert_eq!(
            (adapter.spec_replicas_path.as_str(), adapter.status_replicas_path.as_str()),
            (".spec.replicas", ".status.replicas")
        );
        assert_eq!(adapter.label_selector_path.as_deref(), Some(".status.selector"));
    }

    #[test]
    fn names_are_those_of_upstream() {
        let names = |index: usize| {
            let crd = crd(index);
            (crd.name_any(), crd.spec.names.short_names.unwrap().join(","), crd.spec.versions[0].name.clone())
        };
        assert_eq!(names(0), ("rolebasedgroups.workloads.x-k8s.io".into(), "rbg".into(), "v1alpha2".into()));
        assert_eq!(
            names(1),
            ("rolebasedgroupscalingadapters.workloads.x-k8s.io".into(), "rbgsa".into(), "v1alpha2".into())
        );
    }
}
