//! What the API server answers to policies: the rules of the CRD at work.

use anyhow::{Context, Result};
use kube::{
    Api, Error,
    api::{ApiResource, DynamicObject, PostParams},
};
use rbg_autoscaler::api::autoscaler::{RoleBasedGroupAutoscaler, RoleBasedGroupAutoscalerSpec};
use rbg_autoscaler::policy::Policy;
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, shared},
    harness::{Namespace, apply_yaml},
};
use serde::Deserialize;
use serde_json::{Value, json};

const POLICY_CRD: &str = include_str!("../../deploy/crds/rolebasedgroupautoscalers.yaml");
const CASES: &str = include_str!("../data/admission.yaml");

/// A policy and how it is answered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    /// Part of the message; absent when the policy is accepted.
    refused_with: Option<String>,
    spec: Value,
}

#[tokio::test]
async fn wrong_policies_are_refused_with_the_fix() {
    shared().await.run(async |plane| every_case(plane).await).await;
}

async fn every_case(plane: &ControlPlane) -> Result<()> {
    let client = plane.client().await?;
    apply_yaml(&client, "", POLICY_CRD).await?;
    let namespace = Namespace::create(plane, "admission").await?;
    let kind = ApiResource::erase::<RoleBasedGroupAutoscaler>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace.name(), &kind);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let cases: Vec<Case> = serde_saphyr::from_str(CASES)?;
    let mut wrong = Vec::new();
    for Case { name, refused_with, spec } in &cases {
        let object = DynamicObject::new("case", &kind).data(json!({"spec": spec}));
        let refusal = match api.create(&dry_run, &object).await {
            Ok(_) => None,
            Err(Error::Api(status)) => Some(status.message.clone()),
            Err(error) => return Err(error).context(name.clone()),
        };
        let as_wanted = match (refused_with, &refusal) {
            (None, None) => true,
            (Some(wanted), Some(message)) => message.contains(wanted),
            _ => false,
        };
        if !as_wanted {
            wrong.push(format!("{name}: wanted {refused_with:?}, got {refusal:?}"));
        }
        // The library judges the same, so that an object older than a rule is refused as well.
        let spec = serde_json::from_value::<RoleBasedGroupAutoscalerSpec>(spec.clone());
        let valid = spec.is_ok_and(|spec| Policy::try_from(&spec).is_ok());
        if valid == refusal.is_some() {
            wrong.push(format!("{name}: the library takes it: {valid}; the API server says {refusal:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Ok(())
}
