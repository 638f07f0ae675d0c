//! The bodies of the requests that change replicas. Pure: no client, no clock.

use k8s_openapi::{
    api::autoscaling::v1::{Scale, ScaleSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use rbg_autoscaler::units::Replicas;
use serde_json::{Value, json};

/// One role of a group without a scaling adapter, and the change of its count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleChange<'a> {
    /// The role's place in `spec.roles` when it was observed.
    pub place: usize,
    /// The role's name.
    pub role: &'a str,
    /// The count that the decision was made from.
    pub from: Replicas,
    /// The count to set.
    pub to: Replicas,
}

/// Returns the operations of a JSON patch that sets the replicas of these roles, all or none.
///
/// Each change first tests that the place still holds the role and the count that the decision was made from, so that
/// a stale decision is refused instead of written. Never a merge or an apply patch: the first would replace the list,
/// the second gives counts of roles applied earlier back to their default.
pub fn group_patch(changes: &[RoleChange<'_>]) -> Vec<Value> {
    let test = |path: String, value: Value| json!({"op": "test", "path": path, "value": value});
    let mut operations = Vec::with_capacity(changes.len() * 3);
    for change in changes {
        let role = format!("/spec/roles/{}", change.place);
        operations.push(test(format!("{role}/name"), json!(change.role)));
        operations.push(test(format!("{role}/replicas"), json!(change.from)));
        operations.push(json!({"op": "replace", "path": format!("{role}/replicas"), "value": change.to}));
    }
    operations
}

/// Returns the Scale to PUT on a scaling adapter; the API server refuses it unless the adapter is as it was observed.
pub fn scale_body(namespace: &str, adapter: &str, resource_version: &str, to: Replicas) -> Scale {
    Scale {
        metadata: ObjectMeta {
            name: Some(adapter.to_owned()),
            namespace: Some(namespace.to_owned()),
            resource_version: Some(resource_version.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(ScaleSpec { replicas: Some(i32::try_from(to.get()).unwrap_or(i32::MAX)) }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_tested_before_it_is_changed() {
        let changes = [
            RoleChange { place: 0, role: "prefill", from: Replicas::new(4), to: Replicas::new(8) },
            RoleChange { place: 2, role: "decode", from: Replicas::new(1), to: Replicas::new(2) },
        ];
        insta::assert_json_snapshot!(group_patch(&changes), @r#"
        [
          {
            "op": "test",
            "path": "/spec/roles/0/name",
            "value": "prefill"
          },
          {
            "op": "test",
            "path": "/spec/roles/0/replicas",
            "value": 4
          },
          {
            "op": "replace",
            "path": "/spec/roles/0/replicas",
            "value": 8
          },
          {
            "op": "test",
            "path": "/spec/roles/2/name",
            "value": "decode"
          },
          {
            "op": "test",
            "path": "/spec/roles/2/replicas",
            "value": 1
          },
          {
            "op": "replace",
            "path": "/spec/roles/2/replicas",
            "value": 2
          }
        ]
        "#);
    }

    #[test]
    fn a_scale_carries_the_observed_version() {
        insta::assert_json_snapshot!(scale_body("serving", "demo-decode", "1234", Replicas::new(8)), @r#"
        {
          "apiVersion": "autoscaling/v1",
          "kind": "Scale",
          "metadata": {
            "name": "demo-decode",
            "namespace": "serving",
            "resourceVersion": "1234"
          },
          "spec": {
            "replicas": 8
          }
        }
        "#);
    }
}
