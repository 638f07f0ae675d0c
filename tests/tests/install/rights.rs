//! What the chart allows an account, one verb of one resource at a time.

use std::{collections::BTreeSet, fmt};

use rbg_autoscaler_tests::harness::Rendered;
use serde_json::{Value, json};

/// One verb on one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Such as `list`.
    pub verb: String,
    /// The API group; empty for the core one.
    pub group: String,
    /// The resource, with its subresource; `*` for all of the group.
    pub resource: String,
    /// The object; all when empty.
    pub name: String,
}

impl Right {
    /// Returns it as a rule of a role.
    pub fn rule(&self) -> Value {
        let names: Vec<_> = [&self.name].into_iter().filter(|name| !name.is_empty()).collect();
        json!({"verbs": [self.verb], "apiGroups": [self.group], "resources": [self.resource], "resourceNames": names})
    }

    /// Says whether it allows what was asked for.
    fn covers(&self, asked: &Self) -> bool {
        self.verb == asked.verb
            && self.group == asked.group
            && (self.resource == "*" || self.resource == asked.resource)
            && (self.name.is_empty() || self.name == asked.name)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{} {}", self.verb, self.resource, self.group, self.name)
    }
}

/// Returns the roles of the chart that a service account has.
///
/// Roles that are not the chart's are Kubernetes' own and are left out.
pub fn roles<'a>(rendered: &'a Rendered, account: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for binding in rendered.of_kind("ClusterRoleBinding").into_iter().chain(rendered.of_kind("RoleBinding")) {
        let subjects = binding["subjects"].as_array().into_iter().flatten();
        if !subjects.into_iter().any(|subject| subject["name"] == account) {
            continue;
        }
        let (kind, name) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
        let (Some(kind), Some(name)) = (kind.as_str(), name.as_str()) else { continue };
        found.extend(rendered.object(kind, name).ok());
    }
    found
}

/// Returns what the roles of the chart allow a service account.
pub fn granted(rendered: &Rendered, account: &str) -> BTreeSet<Right> {
    let roles = roles(rendered, account).into_iter();
    roles.flat_map(|role| role["rules"].as_array().into_iter().flatten()).flat_map(expand).collect()
}

/// Returns what one rule allows.
pub fn expand(rule: &Value) -> Vec<Right> {
    let list = |key: &str| -> Vec<String> {
        let values = rule[key].as_array().into_iter().flatten();
        values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let mut names = list("resourceNames");
    if names.is_empty() {
        names.push(String::new());
    }
    let mut rights = Vec::new();
    for verb in list("verbs") {
        for group in list("apiGroups") {
            for resource in list("resources") {
                for name in &names {
                    let (verb, group, resource) = (verb.clone(), group.clone(), resource.clone());
                    rights.push(Right { verb, group, resource, name: name.clone() });
                }
            }
        }
    }
    rights
}

/// Returns the rights that nothing asked for.
pub fn spare<'a>(granted: &'a BTreeSet<Right>, used: &BTreeSet<Right>) -> Vec<&'a Right> {
    granted.iter().filter(|right| !used.iter().any(|asked| right.covers(asked))).collect()
}

#[test]
fn rights_are_compared_one_by_one() {
    let text = r#"
kind: ClusterRole
metadata: {name: a}
rules:
- {apiGroups: [""], resources: [pods], verbs: [list, watch]}
- {apiGroups: [custom.metrics.k8s.io], resources: ["*"], verbs: [get]}
- {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [mine], verbs: [get]}
---
kind: ClusterRoleBinding
roleRef: {kind: ClusterRole, name: a}
subjects: [{kind: ServiceAccount, name: account}]
"#;
    let granted = granted(&Rendered::parse(text).unwrap(), "account");
    let right = |verb: &str, group: &str, resource: &str, name: &str| Right {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
    };
    let used = BTreeSet::from([
        right("list", "", "pods", ""),
        right("get", "custom.metrics.k8s.io", "pods/queue_length", "*"),
        right("get", "coordination.k8s.io", "leases", "other"),
    ]);
    let spare: Vec<_> = spare(&granted, &used).into_iter().map(ToString::to_string).collect();
    assert_eq!(spare, ["get leases.coordination.k8s.io mine", "watch pods. "]);
}

#[tokio::test]
async fn an_option_takes_away_just_its_rights() {
    struct Case {
        set: &'static str,
        gone: &'static [&'static str],
    }
    let policies = "rolebasedgroupautoscalers.rbg-autoscaler.dev";
    let cases = [
        Case { set: "metricsFrom=direct", gone: &[] },
        Case { set: "controller.directWrites=false", gone: &["patch rolebasedgroups.workloads.x-k8s.io"] },
        Case { set: "controller.fit=false", gone: &["list nodes.", "watch nodes."] },
        Case { set: "controller.metricsApis.resource=false", gone: &["list pods.metrics.k8s.io"] },
        Case { set: "controller.metricsApis.custom=false", gone: &["get *.custom.metrics.k8s.io"] },
        Case { set: "controller.metricsApis.external=false", gone: &["list *.external.metrics.k8s.io"] },
        Case { set: "controller.inline=false", gone: &["create P", "delete P", "update P"] },
    ];
    let of = async |set: &str| {
        let rendered = Rendered::chart("rbg-autoscaler", "rbg", &["--set", set]).await.unwrap();
        granted(&rendered, "rbg-autoscaler-controller")
    };
    let whole = of("metricsFrom=prometheus").await;
    for Case { set, gone } in cases {
        let some = of(set).await;
        let more: Vec<_> = some.difference(&whole).collect();
        assert!(more.is_empty(), "{set} grants {more:?}");
        let less = whole.difference(&some).map(|right| right.to_string().trim().replace(policies, "P"));
        assert_eq!(less.collect::<BTreeSet<_>>(), gone.iter().map(ToString::to_string).collect(), "{set}");
    }
}
