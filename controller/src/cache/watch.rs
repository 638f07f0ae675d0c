//! Feeds the caches: one watch per kind, each started anew with growing pauses when it breaks.

use std::{fmt::Debug, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::{
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Node, Pod},
};
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use rbg_autoscaler::{
    api::{
        autoscaler::RoleBasedGroupAutoscaler,
        rbg::{GROUP_NAME, RoleBasedGroup, RoleBasedGroupScalingAdapter},
    },
    cause,
};
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tracing::{debug, info, warn};

use super::{RIVAL, WorldEvent, occupant, room::RoomEvent};

/// Events that may wait; a watch that runs ahead of the loop waits itself.
const QUEUE: usize = 4096;
/// Nodes and all pods are watched for this long after somebody last needed them.
const NEEDED_FOR: Duration = Duration::from_secs(600);
/// Who watches may not.
const FORBIDDEN: u16 = 403;
/// The cluster has no such kind, or not in this version.
const NOT_FOUND: u16 = 404;
/// Pods that have ended take no room.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// What the watches tell, and the switch of those that are not always needed.
pub struct Watches {
    /// What they tell.
    pub events: mpsc::Receiver<WorldEvent>,
    /// Nodes and all pods.
    pub room: RoomWatch,
}

/// The watches of nodes and of all pods of the cluster.
pub struct RoomWatch {
    client: Client,
    events: mpsc::Sender<WorldEvent>,
    running: Vec<JoinHandle<()>>,
    needed_at: Option<Instant>,
}

impl RoomWatch {
    /// Starts the watches when they are needed, and ends them when they have not been for a while; returns whether they
    /// ended, so that what they told is forgotten.
    pub fn need(&mut self, needed: bool, now: Instant) -> bool {
        if needed {
            self.needed_at = Some(now);
            if self.running.is_empty() {
                info!("watching nodes and all pods");
                self.start();
            }
            return false;
        }
        let lapsed = self.needed_at.is_some_and(|at| now.duration_since(at) > NEEDED_FOR);
        if !lapsed || self.running.is_empty() {
            return false;
        }
        info!("no longer watching nodes and all pods");
        self.running.drain(..).for_each(|watch| watch.abort());
        true
    }

    fn start(&mut self) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let all = watcher::Config::default();
        let nodes = forward("nodes", nodes, all.clone(), self.events.clone(), |event| {
            WorldEvent::Room(RoomEvent::Node(Box::new(event)))
        });
        let pods: Api<Pod> = Api::all(self.client.clone());
        let pods = forward("pods", pods, all.fields(NOT_ENDED), self.events.clone(), |event| {
            WorldEvent::Room(RoomEvent::Pod(occupant::event(event)))
        });
        self.running = vec![nodes, pods];
    }
}

/// Starts the watches of one namespace, or of all, and returns what they tell.
///
/// They end when the receiver is dropped.
pub fn start(client: &Client, namespace: Option<&str>) -> Watches {
    let (events, told) = mpsc::channel(QUEUE);
    let all = watcher::Config::default;
    forward(
        "RoleBasedGroup",
        api::<DeserializeGuard<RoleBasedGroup>>(client, namespace),
        all(),
        events.clone(),
        WorldEvent::Group,
    );
    forward(
        "RoleBasedGroupScalingAdapter",
        api::<DeserializeGuard<RoleBasedGroupScalingAdapter>>(client, namespace),
        all(),
        events.clone(),
        WorldEvent::ScalingAdapter,
    );
    forward(
        "RoleBasedGroupAutoscaler",
        api::<DeserializeGuard<RoleBasedGroupAutoscaler>>(client, namespace),
        all(),
        events.clone(),
        WorldEvent::Autoscaler,
    );
    forward("Pod", api::<Pod>(client, namespace), all().labels(GROUP_NAME), events.clone(), |event| {
        WorldEvent::Pod(Box::new(event))
    });
    forward(RIVAL, api::<HorizontalPodAutoscaler>(client, namespace), all(), events.clone(), |event| {
        WorldEvent::Rival(Box::new(event))
    });
    let room = RoomWatch { client: client.clone(), events, running: Vec::new(), needed_at: None };
    Watches { events: told, room }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn forward<K>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    events: mpsc::Sender<WorldEvent>,
    wrap: impl Fn(Event<K>) -> WorldEvent + Send + 'static,
) -> JoinHandle<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(watcher(api, config).default_backoff());
        let mut before = None;
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    if events.send(wrap(event)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let code = refusal(&error).filter(|code| [FORBIDDEN, NOT_FOUND].contains(code));
                    if code.is_some() && code == before {
                        debug!(kind, "still not to be watched");
                    } else if code == Some(NOT_FOUND) {
                        let version = K::api_version(&());
                        warn!(kind, %version, fix = installed_by(kind), "the cluster has no such kind, waiting for it");
                    } else {
                        warn!(kind, error = cause::chain(&error), "watch broke, starting it again");
                    }
                    before = code;
                    if events.send(broke(kind, code == Some(FORBIDDEN))).await.is_err() {
                        return;
                    }
                }
            }
        }
    })
}

fn broke(kind: &'static str, forbidden: bool) -> WorldEvent {
    match kind {
        "nodes" | "pods" => WorldEvent::Room(RoomEvent::WatchBroke { kind, forbidden }),
        _ => WorldEvent::WatchBroke { kind, forbidden },
    }
}

/// What the API server answered with, when it refused.
fn refusal(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

/// What brings a kind into a cluster that lacks it, or lacks the version that is watched.
fn installed_by(kind: &str) -> &'static str {
    match kind {
        "RoleBasedGroupAutoscaler" => "kubectl rbga crds | kubectl apply --server-side -f -",
        kind if kind.starts_with("RoleBasedGroup") => {
            "install or upgrade RoleBasedGroup, https://github.com/sgl-project/rbg"
        }
        _ => "upgrade the cluster",
    }
}
