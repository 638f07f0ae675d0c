//! Each right alone: without it a program says which one it lacks, and a named check fails that holds while it has all of them.

mod adapter;
mod controller;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use kube::Client;
use rbg_autoscaler::cause::missing_right;
use rbg_autoscaler_tests::{
    control_plane::{ControlPlane, Options},
    harness::{NodePool, Rendered, apply, apply_yaml, deploy_folder, free_port},
    rbg::install_crds,
};
use serde_json::{Value, json};

use crate::{
    release,
    rights::{Right, expand, roles},
};

/// Programs that lack something at the same time.
const AT_ONCE: usize = 8;
/// What stands for the namespace, the release and the port of a case in what is rendered once for all.
const PLACE: &str = "lacking-x";
const PORT: &str = "61999";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_right_something_fails_and_is_told() {
    each_right().await.unwrap();
}

async fn each_right() -> Result<()> {
    let control_plane = ControlPlane::start(Options::default()).await?;
    release::lives(&control_plane).await.context("a release of helm")?;
    let client = control_plane.client().await?;
    install_crds(&client).await?;
    let policies = std::fs::read_to_string(deploy_folder().join("crds/rolebasedgroupautoscalers.yaml"))?;
    apply_yaml(&client, "", &policies).await?;
    NodePool::new("node", 1, 8).create(&client).await?;
    let prometheus = adapter::prometheus().await?;
    let rules = json!({
        "custom": [{"seriesQuery": "m", "resources": {"template": "<<.Resource>>"}, "metricsQuery": "<<.Series>>"}],
        "external": [{"seriesQuery": "m", "resources": {"namespaced": false}, "name": {"as": "all"}, "metricsQuery": "m"}],
    });
    let rules = format!("rules={rules}");
    let url = format!("prometheus.url={prometheus},prometheus.port=0,listenPort={PORT}");
    let own = format!(
        "controller.namespace={PLACE},controller.listenPort={PORT},controller.syncPeriod=1s,controller.extraArguments={{--snapshots-listen=off}}"
    );
    let render = async |more: &str| {
        let args = ["--set", &url, "--set", &own, "--set-json", &rules, "--set", more];
        Rendered::chart(PLACE, PLACE, &args).await
    };
    let stage = Stage { plane: &control_plane, client, rendered: render("controller.fit=true").await? };
    // Who may read the pods of all namespaces needs no right to read those of one.
    let blind = Stage { rendered: render("controller.fit=false").await?, ..stage.clone() };

    let name = format!("{PLACE}-rbg-autoscaler-adapter");
    let mut lost = grants(&stage.rendered, &name);
    // Two bindings to Kubernetes' own roles.
    for (kind, binding) in
        [("ClusterRoleBinding", "auth-delegator"), ("RoleBinding", "authentication-reader")]
    {
        let role = (kind.to_owned(), format!("{name}:{binding}"));
        lost.push(Grant { role, right: Right::default() });
    }
    ensure!(lost.len() > 12, "{} rights of the adapter", lost.len());
    let plays = lost.iter().enumerate().map(|(number, lost)| {
        let stage = &stage;
        async move {
            let place = stage.place(&format!("adapter-{number}"), Some(lost))?;
            adapter::without(&place, lost).await.with_context(|| format!("the adapter without {lost}"))
        }
    });
    all(plays).await?;
    // It goes on, so that controllers can ask the metrics APIs.
    let place = stage.place("adapter", None)?;
    let mut adapter = adapter::whole(&place).await.context("the adapter with all rights")?;

    let place = stage.place("controller", None)?;
    controller::whole(&place).await.context("the controller with all rights")?;
    let account = format!("{PLACE}-rbg-autoscaler-controller");
    let mut lost: Vec<_> = grants(&stage.rendered, &account).into_iter().map(|lost| (&stage, lost)).collect();
    for grant in grants(&blind.rendered, &account) {
        if lost.iter().all(|(_, known)| *known != grant) {
            lost.push((&blind, grant));
        }
    }
    ensure!(lost.len() > 25, "{} rights of the controller", lost.len());
    let plays = lost.iter().enumerate().map(|(number, (stage, lost))| async move {
        let place = stage.place(&format!("controller-{number}"), Some(lost))?;
        controller::without(&place, lost).await.with_context(|| format!("the controller without {lost}"))
    });
    all(plays).await?;
    adapter.stop().await
}

/// Plays all, some at a time; each failure is told.
async fn all(plays: impl Iterator<Item = impl Future<Output = Result<()>>>) -> Result<()> {
    let played: Vec<_> = stream::iter(plays).buffer_unordered(AT_ONCE).collect().await;
    let failed: Vec<_> =
        played.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// What all cases share.
#[derive(Clone)]
struct Stage<'a> {
    plane: &'a ControlPlane,
    client: Client,
    rendered: Rendered,
}

/// One program's own namespace, and what the chart renders for it.
pub struct Place<'a> {
    pub plane: &'a ControlPlane,
    pub client: Client,
    pub name: String,
    pub port: u16,
    pub rendered: Rendered,
}

impl<'a> Stage<'a> {
    fn place(&self, name: &str, lost: Option<&Grant>) -> Result<Place<'a>> {
        let mut rendered = self.rendered.clone();
        if let Some(lost) = lost {
            lost.take_from(&mut rendered);
        }
        let port = free_port()?;
        let text = Value::Array(rendered.objects).to_string();
        let text = text.replace(PLACE, name).replace(PORT, &port.to_string());
        let rendered = Rendered { objects: serde_json::from_str(&text)? };
        Ok(Place { plane: self.plane, client: self.client.clone(), name: name.to_owned(), port, rendered })
    }
}

impl Place<'_> {
    /// Makes the namespace and all that a program needs; a Service leads to this machine.
    async fn set(&self) -> Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}});
        apply(&self.client, "", namespace).await?;
        for object in &self.rendered.objects {
            let mut object = object.clone();
            match object["kind"].as_str().unwrap_or_default() {
                "Service" => {
                    let ports = json!([{"port": self.port}]);
                    object["spec"] =
                        json!({"type": "ExternalName", "externalName": "localhost", "ports": ports});
                }
                "APIService" => object["spec"]["service"]["port"] = json!(self.port),
                "Deployment" | "PodDisruptionBudget" => continue,
                _ => {}
            }
            apply(&self.client, &self.name, object).await?;
        }
        Ok(())
    }
}

/// A right, and the role that grants it; an empty right stands for the whole binding of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    role: (String, String),
    pub right: Right,
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {} {}", self.right.to_string(), self.role.0, self.role.1)
    }
}

impl Grant {
    /// Returns the name of the role or binding.
    pub fn holder(&self) -> &str {
        &self.role.1
    }

    fn take_from(&self, rendered: &mut Rendered) {
        let is_meant = |object: &Value| {
            object["kind"] == self.role.0.as_str() && object["metadata"]["name"] == self.role.1.as_str()
        };
        if self.right == Right::default() {
            return rendered.objects.retain(|object| !is_meant(object));
        }
        for role in rendered.objects.iter_mut().filter(|object| is_meant(object)) {
            let rules = role["rules"].as_array().into_iter().flatten().flat_map(expand);
            role["rules"] = rules.filter(|right| *right != self.right).map(|right| right.rule()).collect();
        }
    }

    /// Says whether a complaint is about this right.
    fn is_meant_by(&self, complaint: &Complaint) -> bool {
        if self.right == Right::default() {
            return true;
        }
        let (resource, subresource) =
            self.right.resource.split_once('/').unwrap_or((&self.right.resource, ""));
        let dot = if self.right.group.is_empty() { "" } else { "." };
        let slash = if subresource.is_empty() { "" } else { "/" };
        let wanted = format!("{resource}{dot}{}{slash}{subresource}", self.right.group);
        let is_resource = match wanted.strip_prefix('*') {
            Some(group) => complaint.resource.contains(group),
            None => complaint.resource == wanted,
        };
        complaint.verb == self.right.verb && is_resource
    }
}

fn grants(rendered: &Rendered, account: &str) -> Vec<Grant> {
    let mut grants = Vec::new();
    for role in roles(rendered, account) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = (text(&role["kind"]), text(&role["metadata"]["name"]));
        for right in role["rules"].as_array().into_iter().flatten().flat_map(expand) {
            grants.push(Grant { role: name.clone(), right });
        }
    }
    grants
}

/// What a program says that it may not do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    verb: String,
    resource: String,
}

/// Returns the complaints in a text: our own words, or those of the API server.
pub fn complaints(text: &str) -> BTreeSet<Complaint> {
    let mut found = BTreeSet::new();
    for line in text.replace("\\\"", "\"").lines() {
        let short = missing_right(line).unwrap_or_default();
        for told in line.split(" may not ").skip(1).chain(short.split(" may not ").skip(1)) {
            let mut words = told.split_whitespace();
            let (Some(verb), Some(resource)) = (words.next(), words.next()) else { continue };
            found.insert(Complaint { verb: verb.to_owned(), resource: resource.to_owned() });
        }
    }
    found
}

#[test]
fn complaints_are_read() {
    let text = r#"{"error":"forbidden: may not list pods at the cluster scope; grant it to x"}
pods is forbidden: User \"u\" cannot watch resource \"pods\" in API group \"\" in the namespace \"n\""#;
    let complaint = |verb: &str| Complaint { verb: verb.to_owned(), resource: "pods".to_owned() };
    assert_eq!(complaints(text), BTreeSet::from([complaint("list"), complaint("watch")]));
}
