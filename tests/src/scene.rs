//! [`Scene`]: a namespace in which groups are really scaled: stand-in, model servers, Prometheus and the controller at work.

mod adapter;
mod history;
mod usage;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, events::v1::Event};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams},
};
use rbg_autoscaler::{
    api::autoscaler::{RoleBasedGroupAutoscaler, RoleBasedGroupAutoscalerStatus},
    scaling::Condition,
};
use serde_json::{Value, json};

pub use self::history::History;
use crate::{
    control_plane::ControlPlane,
    fleet::{self, Fleet, endpoint::Target, load::Load, pin::Pin, trace::Trace},
    harness::{Namespace, NodePool, Program, apply, apply_yaml, eventually, free_port},
    rbg::{
        StandIn, install_crds, labels,
        manifest::{self, Role},
    },
};

/// How long anything that a group is to become may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The CRD of our policies, as users install it.
const POLICY_CRD: &str = include_str!("../../deploy/crds/rolebasedgroupautoscalers.yaml");

/// A namespace in which groups are really scaled.
#[derive(Debug)]
pub struct Scene {
    // The programs drop before the namespace that they work in.
    controller: Option<Program>,
    flags: Vec<String>,
    port: u16,
    snapshots: u16,
    _stand_in: StandIn,
    fleet: Fleet,
    namespace: Namespace,
}

impl Scene {
    /// Sets a namespace up and starts the controller in it, syncing and collecting every second.
    pub async fn start(plane: &ControlPlane, prefix: &str) -> Result<Self> {
        let mut scene = Self::without_controller(plane, prefix).await?;
        scene.start_controller(&[]).await?;
        Ok(scene)
    }

    /// Sets a namespace up and starts a controller that scrapes the pods itself; it could not even find Prometheus.
    pub async fn start_direct(plane: &ControlPlane, prefix: &str) -> Result<Self> {
        let nowhere = "http://127.0.0.1:1".to_owned();
        let mut scene = Self::set_up(plane, prefix, nowhere).await?;
        scene.start_controller(&["--metrics-from", "direct"]).await?;
        Ok(scene)
    }

    /// Sets a namespace up, without the controller.
    pub async fn without_controller(plane: &ControlPlane, prefix: &str) -> Result<Self> {
        let prometheus = plane.prometheus().await?;
        Self::set_up(plane, prefix, prometheus).await
    }

    async fn set_up(plane: &ControlPlane, prefix: &str, prometheus: String) -> Result<Self> {
        let client = plane.client().await?;
        install_crds(&client).await?;
        apply_yaml(&client, "", POLICY_CRD).await?;
        NodePool::new("scene", 4, 8).create(&client).await?;
        let namespace = Namespace::create(plane, prefix).await?;
        let mut fleet = Fleet::start(fleet::Options { port: 0, speed: 1.0 }).await?;
        fleet.follow(client.clone());
        let flags = [
            ("--kubeconfig", plane.kubeconfig().display().to_string()),
            ("--prometheus-url", prometheus),
            ("--namespace", namespace.name().to_owned()),
            ("--sync-period", "1s".to_owned()),
            ("--collection-interval", "1s".to_owned()),
            ("--log", "info,rbg_autoscaler_controller=debug".to_owned()),
        ];
        let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        let stand_in = StandIn::start_in(client, namespace.name());
        Ok(Self { controller: None, flags, port: 0, snapshots: 0, _stand_in: stand_in, fleet, namespace })
    }

    /// Changes a flag that every controller started from now on gets.
    pub fn set_flag(&mut self, flag: &str, value: &str) {
        match self.flags.iter().position(|known| known == flag) {
            Some(place) => value.clone_into(&mut self.flags[place + 1]),
            None => self.flags.extend([flag.to_owned(), value.to_owned()]),
        }
    }

    /// Starts the controller, with more flags, and waits until it is ready.
    pub async fn start_controller(&mut self, more: &[&str]) -> Result<()> {
        self.launch("127.0.0.1", more, &[]).await
    }

    /// As [`Self::start_controller`], in the name of a pod and reachable on every address of this machine.
    pub async fn start_controller_as(&mut self, pod: &str, more: &[&str]) -> Result<()> {
        self.launch("0.0.0.0", more, &[("HOSTNAME", pod)]).await
    }

    async fn launch(&mut self, address: &str, more: &[&str], env: &[(&str, &str)]) -> Result<()> {
        (self.port, self.snapshots) = (free_port()?, free_port()?);
        let listen = format!("{address}:{}", self.port);
        let snapshots = format!("127.0.0.1:{}", self.snapshots);
        let mut flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        flags.extend(["--listen", listen.as_str(), "--snapshots-listen", snapshots.as_str()]);
        flags.extend(more);
        self.controller = Some(Program::start("rbg-autoscaler", &flags, env)?);
        let listen = format!("127.0.0.1:{}", self.port);
        eventually("the controller is ready", PATIENCE, async || {
            let answer = reqwest::get(format!("http://{listen}/readyz")).await?;
            ensure!(answer.status().is_success(), "{}", answer.text().await?);
            Ok(Some(()))
        })
        .await
    }

    /// Has controllers that are started from now on come to the API server by that kubeconfig.
    pub fn use_kubeconfig(&mut self, file: &Path) {
        if let Some(value) = self.flags.iter_mut().skip_while(|flag| *flag != "--kubeconfig").nth(1) {
            *value = file.display().to_string();
        }
    }

    /// Returns the controller's process.
    pub fn controller(&mut self) -> Result<&mut Program> {
        self.controller.as_mut().context("the controller does not run")
    }

    /// Takes the controller's process away, so that another one can be started beside it.
    pub fn take_controller(&mut self) -> Result<Program> {
        self.controller.take().context("the controller does not run")
    }

    /// Returns the port on which the controller serves its metrics.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the port of loopback on which the controller serves snapshots.
    pub const fn snapshots_port(&self) -> u16 {
        self.snapshots
    }

    /// Returns what the controller's own metrics are.
    pub async fn metrics(&self) -> Result<String> {
        Ok(reqwest::get(format!("http://127.0.0.1:{}/metrics", self.port)).await?.text().await?)
    }

    /// Returns the namespace.
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns the model servers.
    pub const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Makes the pods of a role model servers that Prometheus scrapes.
    #[must_use]
    pub fn serving(&self, role: Role) -> Role {
        self.scraped(role, "vllm")
    }

    /// Makes the pods of a role gateways that hold what nobody serves, and that Prometheus scrapes.
    #[must_use]
    pub fn gateway(&self, role: Role) -> Role {
        self.scraped(role, "gie-epp")
    }

    fn scraped(&self, role: Role, engine: &str) -> Role {
        role.pod_annotation(fleet::endpoint::ENGINE_ANNOTATION, engine)
            .pod_annotation("prometheus.io/scrape", "true")
            .pod_annotation("prometheus.io/port", &self.fleet.port().to_string())
    }

    /// Creates or changes an object of the namespace.
    pub async fn apply(&self, object: Value) -> Result<DynamicObject> {
        apply(&self.namespace.client(), self.namespace.name(), object).await
    }

    /// Creates a group of these roles.
    pub async fn create_group(&self, name: &str, roles: impl IntoIterator<Item = Role>) -> Result<()> {
        self.apply(manifest::manifest(name, roles)).await?;
        Ok(())
    }

    /// Creates a Deployment of model servers that belongs to no group; its pods have the label `app` with its name.
    pub async fn deployment(&self, name: &str, replicas: u32) -> Result<()> {
        let annotations = json!({(fleet::endpoint::ENGINE_ANNOTATION): "vllm", "prometheus.io/scrape": "true",
            "prometheus.io/port": self.fleet.port().to_string()});
        let template = json!({"metadata": {"labels": {"app": name}, "annotations": annotations},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "engine", "image": "engine:1"}]}});
        self.apply(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}}))
            .await?;
        Ok(())
    }

    /// Creates a policy for a group; `spec` lacks only the group's name.
    pub async fn create_policy(&self, name: &str, group: &str, mut spec: Value) -> Result<()> {
        spec["groupRef"] = json!({"name": group});
        let kind = "RoleBasedGroupAutoscaler";
        self.apply(json!({"apiVersion": "rbg-autoscaler.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}))
            .await?;
        Ok(())
    }

    /// Has every pod of a role show this queue length.
    pub fn queue(&self, group: &str, role: &str, requests: f64) {
        self.fleet.pin(Target::role(self.namespace.name(), group, role), Pin::queue_length(requests));
    }

    /// Has a role hold that many waiting requests in all: its first replica shows them, the others none.
    ///
    /// What the role needs is then the same whatever its size and whichever replicas were scraped since, and it changes at one
    /// instant. Start with one replica, or let nothing lower the role at first: another replica may be scraped before the first.
    /// The role's pods must have ordinals, so it may be anything but a Deployment.
    pub fn total_queue(&self, group: &str, role: &str, requests: f64) {
        // A leader of a leader-worker role has its own number behind that of its replica.
        for first in [format!("{group}-{role}-0"), format!("{group}-{role}-0-0")] {
            self.fleet.pin(Target::pod(self.namespace.name(), &first), Pin::queue_length(requests));
        }
    }

    /// Sends one request to a role: its gateway holds it until a replica serves.
    pub fn send_request(&self, group: &str, role: &str) -> Result<()> {
        let trace = Trace::parse("arrival_seconds,input_tokens,output_tokens\n0,64,16\n")?;
        let target = Target::role(self.namespace.name(), group, role);
        self.fleet.add_load(Load::once(target, trace));
        Ok(())
    }

    /// Returns a group as it is stored, with fields that RBG does not know.
    pub async fn group(&self, name: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.groups().get(name).await?)?)
    }

    fn groups(&self) -> Api<DynamicObject> {
        manifest::groups(&self.namespace.client(), self.namespace.name())
    }

    /// Returns the replicas that a role asks for.
    pub async fn replicas(&self, group: &str, role: &str) -> Result<u64> {
        let group = self.group(group).await?;
        let roles = group["spec"]["roles"].as_array().context("a group without roles")?;
        let found =
            roles.iter().find(|found| found["name"] == role).with_context(|| format!("no role {role}"))?;
        found["replicas"].as_u64().with_context(|| format!("role {role} without replicas"))
    }

    /// Waits until a role asks for that many replicas.
    pub async fn role_asks_for(&self, group: &str, role: &str, replicas: u64) -> Result<()> {
        eventually(&format!("{role} asks for {replicas} replicas"), PATIENCE, async || {
            let seen = self.replicas(group, role).await?;
            if seen != replicas {
                bail!("{seen} replicas; {}", self.told(group).await);
            }
            Ok(Some(()))
        })
        .await
    }

    /// Waits until a role has that many ready pods.
    pub async fn pods_are_ready(&self, group: &str, role: &str, pods: usize) -> Result<()> {
        let api: Api<Pod> = self.namespace.api();
        let of_role = ListParams::default().labels(&format!(
            "{}={group},{}={role}",
            labels::GROUP_NAME,
            labels::ROLE_NAME
        ));
        eventually(&format!("{pods} ready pods of {role}"), PATIENCE, async || {
            let listed = api.list(&of_role).await?.items;
            let ready = listed.iter().filter(|pod| is_ready(pod)).count();
            ensure!(ready == pods && listed.len() == pods, "{ready} of {} pods are ready", listed.len());
            Ok(Some(()))
        })
        .await
    }

    /// Returns a policy.
    pub async fn policy(&self, name: &str) -> Result<RoleBasedGroupAutoscaler> {
        let api: Api<RoleBasedGroupAutoscaler> = self.namespace.api();
        Ok(api.get(name).await?)
    }

    /// Returns the status of a policy; an empty one while there is none.
    pub async fn status(&self, name: &str) -> Result<RoleBasedGroupAutoscalerStatus> {
        Ok(self.policy(name).await?.status.unwrap_or_default())
    }

    /// Waits until a policy's status is as wanted, and returns it.
    pub async fn status_shows(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&RoleBasedGroupAutoscalerStatus) -> bool,
    ) -> Result<RoleBasedGroupAutoscalerStatus> {
        self.status_shows_within(name, what, PATIENCE, wanted).await
    }

    /// As [`Self::status_shows`], with another patience.
    pub async fn status_shows_within(
        &self,
        name: &str,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&RoleBasedGroupAutoscalerStatus) -> bool,
    ) -> Result<RoleBasedGroupAutoscalerStatus> {
        eventually(&format!("the status of {name} shows {what}"), patience, async || {
            let status = self.status(name).await?;
            if !wanted(&status) {
                bail!("{}", serde_json::to_string(&status)?);
            }
            Ok(Some(status))
        })
        .await
    }

    /// Waits until a policy has a condition with that status and reason.
    pub async fn condition(&self, policy: &str, kind: &str, status: &str, reason: &str) -> Result<Condition> {
        let is = |condition: &&Condition| {
            condition.type_ == kind && condition.status == status && condition.reason == reason
        };
        let what = format!("{kind}={status} {reason}");
        let shown =
            self.status_shows(policy, &what, |shown| shown.conditions.iter().any(|seen| is(&seen))).await?;
        shown.conditions.iter().find(is).cloned().context("just seen")
    }

    /// Waits for an event with that reason about an object, and returns its note.
    pub async fn event(&self, object: &str, reason: &str) -> Result<String> {
        eventually(&format!("event {reason} about {object}"), PATIENCE, async || {
            let events = self.events_about(object).await?;
            let told: Vec<_> = events.iter().filter_map(|event| event.reason.as_deref()).collect();
            let found = events.iter().find(|event| event.reason.as_deref() == Some(reason));
            let found = found.with_context(|| format!("events: {}", told.join(", ")))?;
            Ok(Some(found.note.clone().unwrap_or_default()))
        })
        .await
    }

    /// Returns the notes of the events with that reason about an object.
    pub async fn events(&self, object: &str, reason: &str) -> Result<Vec<String>> {
        let events = self.events_about(object).await?.into_iter();
        let such = events.filter(|event| event.reason.as_deref() == Some(reason));
        Ok(such.map(|event| event.note.unwrap_or_default()).collect())
    }

    async fn events_about(&self, object: &str) -> Result<Vec<Event>> {
        let api: Api<Event> = self.namespace.api();
        let mut events = api.list(&ListParams::default()).await?.items;
        events.retain(|event| {
            event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref()) == Some(object)
        });
        Ok(events)
    }

    /// Begins to note the replicas that a role asks for.
    pub async fn watch_role(&self, group: &str, role: &str) -> Result<History> {
        let role = role.to_owned();
        History::start(self.groups(), group, move |group| history::replicas(group, &role)).await
    }

    /// Begins to note the replicas that a Deployment asks for.
    pub async fn watch_deployment(&self, name: &str) -> Result<History> {
        let kind = ApiResource::erase::<Deployment>(&());
        let api = Api::namespaced_with(self.namespace.client(), self.namespace.name(), &kind);
        History::start(api, name, |found| found.data.pointer("/spec/replicas")?.as_u64()).await
    }

    /// Begins to note the replicas that several roles ask for together.
    pub async fn watch_roles<const N: usize>(
        &self,
        group: &str,
        roles: [&str; N],
    ) -> Result<History<[u64; N]>> {
        let roles = roles.map(str::to_owned);
        let read = move |group: &DynamicObject| {
            let counts: Option<Vec<_>> = roles.iter().map(|role| history::replicas(group, role)).collect();
            counts?.try_into().ok()
        };
        History::start(self.groups(), group, read).await
    }

    /// What policies of a group say, for messages.
    async fn told(&self, group: &str) -> String {
        let api: Api<RoleBasedGroupAutoscaler> = self.namespace.api();
        let Ok(policies) = api.list(&ListParams::default()).await else { return "no policies".to_owned() };
        let of_group = policies.into_iter().filter(|policy| policy.spec.group_ref.name == group);
        let told: Vec<_> = of_group
            .map(|policy| {
                let status = serde_json::to_string(&policy.status).unwrap_or_default();
                format!("{}: {status}", policy.metadata.name.unwrap_or_default())
            })
            .collect();
        told.join("; ")
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
