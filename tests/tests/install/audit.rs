//! What an account really asked for, as kube-apiserver's audit log tells it.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::rights::Right;

/// An audit policy that tells every request of service accounts of a namespace, and nothing else.
pub fn policy(namespace: &str, accounts: &[&str]) -> Value {
    let users: Vec<_> =
        accounts.iter().map(|account| format!("system:serviceaccount:{namespace}:{account}")).collect();
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": users}, {"level": "None"}],
    })
}

/// What an account asked for.
#[derive(Debug, Default)]
pub struct Asked {
    /// What it was allowed.
    pub allowed: BTreeSet<Right>,
    /// What it was refused.
    pub refused: BTreeSet<Right>,
}

impl Asked {
    /// Reads the log.
    pub fn read(log: &Path, namespace: &str, account: &str) -> Result<Self> {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        let mut asked = Self::default();
        let text = fs::read_to_string(log).with_context(|| log.display().to_string())?;
        for line in text.lines() {
            // The last line may be half written.
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            if event["user"]["username"] != user.as_str() {
                continue;
            }
            let object = &event["objectRef"];
            let Some(resource) = object["resource"].as_str() else { continue };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let resource = match object["subresource"].as_str() {
                Some(subresource) => format!("{resource}/{subresource}"),
                None => resource.to_owned(),
            };
            let right = Right {
                verb: text(&event["verb"]),
                group: text(&object["apiGroup"]),
                resource,
                name: text(&object["name"]),
            };
            if event["annotations"]["authorization.k8s.io/decision"] == "forbid" {
                asked.refused.insert(right);
            } else {
                asked.allowed.insert(right);
            }
        }
        Ok(asked)
    }
}
