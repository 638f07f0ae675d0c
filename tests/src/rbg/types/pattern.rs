//! The three patterns of a role: what the pods of one replica are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A role's way of naming one of the group's templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateRef {
    /// Name of the template.
    pub name: String,
    /// Strategic merge patch on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Value>,
}

/// One pod per replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandalonePattern {
    /// Pod template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Value>,
    /// Or one of the group's templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
}

/// A leader and `size - 1` workers per replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderWorkerPattern {
    /// Pods per replica, 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Pod template of leader and workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Value>,
    /// Or one of the group's templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    /// Strategic merge patch for the leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_template_patch: Option<Value>,
    /// Strategic merge patch for the workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_template_patch: Option<Value>,
    /// Which pods the role's Service selects; carried, not acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_service_selection: Option<String>,
    /// Older spelling of `restartPolicyConfig.type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
    /// What happens to a replica when one of its pods fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy_config: Option<RestartPolicyConfig>,
}

/// Pods of several kinds per replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomComponentsPattern {
    /// The kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<CustomComponent>,
    /// Older spelling of `restartPolicyConfig.type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
    /// What happens to a replica when one of its pods fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy_config: Option<RestartPolicyConfig>,
}

/// One kind of pod in a replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomComponent {
    /// Name, unique in the role.
    pub name: String,
    /// Pods of this kind per replica, 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Name of a Service; carried, not acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Labels of the pods, over the template's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods, over the template's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Pod template.
    pub template: Value,
}

/// What happens to a replica when one of its pods fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartPolicyConfig {
    /// `None` or `RecreateRoleInstanceOnPodRestart` (default).
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// First wait between restarts; carried, not acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_delay_seconds: Option<i32>,
    /// Longest wait between restarts; carried, not acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay_seconds: Option<i32>,
}
