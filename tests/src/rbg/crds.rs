//! The CRDs of `tests/crds`, and how they get into a cluster.

use std::time::Duration;

use anyhow::Result;
use kube::{Api, Client, api::ListParams};

use super::types::{RoleBasedGroup, RoleBasedGroupScalingAdapter};
use crate::harness::{apply_yaml, eventually};

/// The CRDs as YAML, by file name.
pub const CRDS: [(&str, &str); 2] = [
    ("rolebasedgroups.yaml", include_str!("../../crds/rolebasedgroups.yaml")),
    ("rolebasedgroupscalingadapters.yaml", include_str!("../../crds/rolebasedgroupscalingadapters.yaml")),
];

/// What the scheduler and the controller of scheduler-plugins read.
const COSCHEDULING: &str = include_str!("../../crds/coscheduling.yaml");

/// Installs the CRDs that coscheduling needs.
///
/// Errors: kube-apiserver refuses them.
pub async fn install_coscheduling_crds(client: &Client) -> Result<()> {
    apply_yaml(client, "", COSCHEDULING).await?;
    Ok(())
}

/// Installs the CRDs and waits until both kinds can be listed; does no harm when they are there.
///
/// Errors: when kube-apiserver refuses a CRD, or does not serve it within 30 seconds.
pub async fn install_crds(client: &Client) -> Result<()> {
    for (_, text) in CRDS {
        apply_yaml(client, "", text).await?;
    }
    // An established CRD may still be answered with 404 for a moment.
    let groups: Api<RoleBasedGroup> = Api::all(client.clone());
    let adapters: Api<RoleBasedGroupScalingAdapter> = Api::all(client.clone());
    let one = ListParams::default().limit(1);
    eventually("RoleBasedGroups are served", Duration::from_secs(30), async || {
        groups.list(&one).await?;
        adapters.list(&one).await?;
        Ok(Some(()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::ResourceExt;

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
