//! A metrics server in a [`Scene`]: objects that kube-apiserver stores and that look like metrics.k8s.io's answers.
//!
//! It measures nothing. A definition of the kind PodMetrics, as `pods` of the group, gives the same paths, selectors and
//! answers as an aggregated API server, without one.

use anyhow::Result;
use serde_json::json;

use super::Scene;
use crate::{harness::apply_yaml, rbg::labels};

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: pods.metrics.k8s.io
  annotations: {api-approved.kubernetes.io: "unapproved, a stand-in for tests"}
spec:
  group: metrics.k8s.io
  scope: Namespaced
  names: {kind: PodMetrics, plural: pods, singular: pod}
  versions:
  - name: v1beta1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"#;

impl Scene {
    /// Has metrics.k8s.io tell what the container `engine` of a pod used in the last second.
    pub async fn usage(&self, group: &str, role: &str, pod: &str, cpu: &str) -> Result<()> {
        apply_yaml(&self.namespace.client(), "", DEFINITION).await?;
        self.apply(json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
            "metadata": {"name": pod, "labels": {(labels::GROUP_NAME): group, (labels::ROLE_NAME): role}},
            "timestamp": now(), "window": "1s",
            "containers": [{"name": "engine", "usage": {"cpu": cpu, "memory": "1Gi"}}],
        }))
        .await?;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "what is measured is measured now")]
fn now() -> String {
    jiff::Timestamp::now().to_string()
}
