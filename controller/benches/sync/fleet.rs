//! [`Fleet`]: groups, policies, pods and metrics as a watch and a collector would tell them, and an API server that
//! takes every write.

use std::{
    collections::{BTreeMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use jiff::Timestamp;
use kube::{Client, Resource, client::Body, core::DeserializeGuard, runtime::watcher::Event};
use rbg_autoscaler::{
    api::{autoscaler::RoleBasedGroupAutoscaler, rbg},
    metrics::{Fold, PodSamples, Reading, Sample, Snapshot},
    units::MilliValue,
};
use rbg_autoscaler_controller::{
    cache::{World, WorldEvent},
    observe::Metrics,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NAMESPACE: &str = "serving";
/// Roles with their replicas and the pods of each.
const ROLES: [(&str, usize, usize); 3] = [("router", 2, 1), ("prefill", 2, 2), ("decode", 6, 1)];
/// Pods of one group.
pub const PODS_PER_GROUP: usize = 12;
/// Signals with the value that every policy aims at, in thousandths.
const SIGNALS: [(&str, i64); 2] = [("queue_length", 10_000), ("kv_cache_usage", 800)];

/// Groups of three roles, each with a policy of two metrics per role.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// How many groups there are.
    pub groups: usize,
}

impl Fleet {
    /// Fills the caches with objects as they come over a watch.
    pub fn fill(self, world: &mut World) {
        let pod = pod();
        world.take(WorldEvent::Pod(Box::new(Event::Init)));
        for group in 0..self.groups {
            for (role, replicas, size) in ROLES {
                for replica in 0..replicas {
                    for index in 0..size {
                        let text = named(&pod, group, role, replica, index);
                        let pod = serde_json::from_str(&text).expect("a pod");
                        world.take(WorldEvent::Pod(Box::new(Event::InitApply(pod))));
                    }
                }
            }
        }
        world.take(WorldEvent::Pod(Box::new(Event::InitDone)));
        fill(world, self.groups, &group(), WorldEvent::Group);
        fill(world, self.groups, &policy(), WorldEvent::Autoscaler);
        world.take(WorldEvent::ScalingAdapter(Event::Init));
        world.take(WorldEvent::ScalingAdapter(Event::InitDone));
        world.take(WorldEvent::Rival(Box::new(Event::Init)));
        world.take(WorldEvent::Rival(Box::new(Event::InitDone)));
    }

    /// Returns what the engines say at a moment: each a little beside its target, so little that no count changes.
    pub fn metrics(self, now: Timestamp, seed: usize) -> Metrics {
        let readings = SIGNALS.map(|(signal, target)| {
            let mut samples = Vec::with_capacity(self.groups * PODS_PER_GROUP);
            for group in 0..self.groups {
                for (place, (role, replicas, size)) in ROLES.into_iter().enumerate() {
                    for replica in 0..replicas {
                        for index in 0..size {
                            let aside = (group * 7 + place * 5 + replica * 3 + seed * 11) % 7;
                            let aside = i64::try_from(aside).expect("below seven") - 3;
                            let value = MilliValue::from_milli(target + target * aside / 100);
                            let pod = format!("demo-{group}-{role}-{replica}-{index}");
                            samples.push((pod, Sample { value, time: now }));
                        }
                    }
                }
            }
            let samples = samples.iter().map(|(pod, sample)| (NAMESPACE, pod.as_str(), *sample));
            let samples: Arc<PodSamples> = Arc::new(samples.collect());
            let window = std::time::Duration::ZERO;
            (signal.to_owned(), Reading { window, fold: Fold::Sum, asked_at: now, samples, error: None })
        });
        let known: HashSet<_> = SIGNALS.iter().map(|(signal, _)| (*signal).to_owned()).collect();
        Metrics { snapshot: Arc::new(readings.into_iter().collect::<Snapshot>()), known: Arc::new(known) }
    }
}

fn fill<K>(
    world: &mut World,
    groups: usize,
    template: &str,
    wrap: impl Fn(Event<DeserializeGuard<K>>) -> WorldEvent,
) where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    world.take(wrap(Event::Init));
    for group in 0..groups {
        let object = serde_json::from_str(&named(template, group, "", 0, 0)).expect("an object");
        world.take(wrap(Event::InitApply(object)));
    }
    world.take(wrap(Event::InitDone));
}

/// Fills the names into the text of an object.
fn named(template: &str, group: usize, role: &str, replica: usize, index: usize) -> String {
    template
        .replace("GROUP", &format!("demo-{group}"))
        .replace("ROLE", role)
        .replace("REPLICA", &replica.to_string())
        .replace("INDEX", &index.to_string())
}

/// What the API server notes of who wrote which field; in a cluster it is a large part of every object.
fn managed_fields() -> Value {
    let fields: BTreeMap<_, _> =
        (0..40).map(|field| (format!("f:field-number-{field}"), json!({"f:part": {}}))).collect();
    json!([{"manager": "rbg-controller", "operation": "Update", "time": "2026-11-21T10:00:00Z", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": fields}}])
}

/// What runs in a pod, much as people write it.
fn containers() -> Value {
    let env: Vec<_> = (0..12)
        .map(|at| json!({"name": format!("SETTING_{at}"), "value": "a value of some length"}))
        .collect();
    let probe = json!({"httpGet": {"path": "/health", "port": 8000, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1,
        "successThreshold": 1, "failureThreshold": 3});
    json!([{"name": "engine", "image": "registry.example/engine:v1", "args": ["--model", "/models/large", "--tensor-parallel-size", "8"],
        "env": env, "readinessProbe": probe, "livenessProbe": probe, "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "resources": {"limits": {"nvidia.com/gpu": "8", "cpu": "32", "memory": "256Gi"},
            "requests": {"nvidia.com/gpu": "8", "cpu": "32", "memory": "256Gi"}},
        "volumeMounts": [{"name": "models", "mountPath": "/models"}, {"name": "shm", "mountPath": "/dev/shm"}]}])
}

fn pod() -> String {
    let condition = |type_: &str| json!({"type": type_, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-11-21T10:00:00Z"});
    let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .map(condition);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "GROUP-ROLE-REPLICA-INDEX", "namespace": NAMESPACE, "uid": "00000000-0000-0000-0000-GROUP-ROLE-REPLICA",
            "resourceVersion": "123456", "creationTimestamp": "2026-11-21T10:00:00Z", "managedFields": managed_fields(),
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8000"},
            "labels": {(rbg::GROUP_NAME): "GROUP", (rbg::ROLE_NAME): "ROLE", (rbg::ROLE_INSTANCE_NAME): "GROUP-ROLE-REPLICA",
                (rbg::ROLE_INSTANCE_INDEX): "REPLICA", (rbg::COMPONENT_INDEX): "INDEX",
                "rbg.workloads.x-k8s.io/group-uid": "0123456789abcdef", "rbg.workloads.x-k8s.io/component-name": "engine"},
        },
        "spec": {"nodeName": "node-REPLICA", "serviceAccountName": "default", "schedulerName": "default-scheduler",
            "containers": containers(),
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "hostIP": "10.1.0.1", "startTime": "2026-11-21T10:00:00Z",
            "conditions": conditions,
            "containerStatuses": [{"name": "engine", "image": "registry.example/engine:v1", "imageID": "sha256:0123456789abcdef",
                "ready": true, "restartCount": 0, "started": true, "containerID": "containerd://0123456789abcdef",
                "state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}}}]},
    })
    .to_string()
}

fn group() -> String {
    let role = |(name, replicas, size): (&str, usize, usize)| {
        let template =
            json!({"metadata": {"labels": {"app": "engine"}}, "spec": {"containers": containers()}});
        let mut role = json!({"name": name, "replicas": replicas, "rolloutStrategy": {"rollingUpdate": {"maxUnavailable": 1}}});
        match size {
            1 => role["standalonePattern"] = json!({"template": template}),
            size => role["leaderWorkerPattern"] = json!({"size": size, "template": template}),
        }
        role
    };
    let status = |(name, replicas, _): (&str, usize, usize)| json!({"name": name, "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas});
    json!({
        "apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup",
        "metadata": {"name": "GROUP", "namespace": NAMESPACE, "uid": "group-GROUP", "resourceVersion": "123", "generation": 1,
            "creationTimestamp": "2026-11-21T10:00:00Z", "managedFields": managed_fields(),
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": containers().to_string()}},
        "spec": {"roles": ROLES.map(role)},
        "status": {"observedGeneration": 1, "conditions": [], "roleStatuses": ROLES.map(status)},
    })
    .to_string()
}

fn policy() -> String {
    let metrics = || {
        let metric = |(name, target): (&str, i64)| json!({"name": name, "target": MilliValue::from_milli(target).to_string()});
        SIGNALS.map(metric)
    };
    let role = |(name, _, _): (&str, usize, usize)| {
        json!({"name": name, "minReplicas": 1, "maxReplicas": 32, "metrics": metrics(),
            "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}}})
    };
    json!({
        "apiVersion": "rbg-autoscaler.dev/v1alpha1", "kind": "RoleBasedGroupAutoscaler",
        "metadata": {"name": "GROUP", "namespace": NAMESPACE, "uid": "policy-GROUP", "resourceVersion": "123", "generation": 1,
            "creationTimestamp": "2026-11-21T10:00:00Z", "managedFields": managed_fields()},
        "spec": {"groupRef": {"name": "GROUP"}, "roles": ROLES.map(role)},
    })
    .to_string()
}

/// An API server that takes every write and remembers the statuses, to tell them as a watch would.
#[derive(Clone, Debug, Default)]
pub struct ApiServer {
    statuses: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl ApiServer {
    /// Returns a client of it.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                server.note(parts.uri.path(), &body);
                let answer = json!({"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "x", "generation": 2},
                    "spec": {"roles": [], "groupRef": {"name": "x"}}});
                let answer = Body::from(serde_json::to_vec(&answer).expect("JSON"));
                Ok::<_, Infallible>(Response::new(answer))
            }
        });
        Client::new(service, NAMESPACE)
    }

    fn note(&self, path: &str, body: &[u8]) {
        let Some(policy) = path.strip_suffix("/status").and_then(|path| path.rsplit('/').next()) else {
            return;
        };
        let operations: Value = serde_json::from_slice(body).expect("a patch");
        let status = operations.pointer("/1/value").cloned().expect("a status");
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).insert(policy.to_owned(), status);
    }

    /// Tells the statuses that were written since the last time.
    pub fn tell(&self, world: &mut World) {
        let written = std::mem::take(&mut *self.statuses.lock().unwrap_or_else(PoisonError::into_inner));
        let template = policy();
        for (name, status) in written {
            let mut object: Value =
                serde_json::from_str(&template.replace("GROUP", &name)).expect("a policy");
            object["status"] = status;
            let object: RoleBasedGroupAutoscaler = serde_json::from_value(object).expect("a policy");
            world.take(WorldEvent::Autoscaler(Event::Apply(DeserializeGuard(Ok(object)))));
        }
    }
}
