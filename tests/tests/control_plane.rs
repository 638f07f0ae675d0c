//! The ground that the other end-to-end tests stand on: the control plane does what they take for granted.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use rbg_autoscaler_tests::control_plane::{Component, ControlPlane, Options, shared};
use rbg_autoscaler_tests::harness::{
    ApiService, Namespace, NodePool, eventually, kubectl, service_account_kubeconfig,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// A Deployment `engine` whose pods go to the nodes of `pool`, with annotations given as lines of YAML.
fn deployment(pool: &str, replicas: u32, annotations: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: engine}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: engine}}}}
  template:
    metadata:
      labels:
        app: engine
        rbg.workloads.x-k8s.io/group-name: demo
        rbg.workloads.x-k8s.io/role-name: decode
      annotations: {{{annotations}}}
    spec:
      nodeSelector: {{rbga-pool: {pool}}}
      containers:
      - name: engine
        image: engine
        ports: [{{containerPort: 1}}, {{containerPort: 2}}]
        resources: {{limits: {{nvidia.com/gpu: "1"}}}}
"#
    )
}

fn condition<'pod>(pod: &'pod Pod, kind: &str) -> Option<&'pod PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// Waits until `count` pods are Ready, and returns them.
async fn ready_pods(namespace: &Namespace, count: usize) -> anyhow::Result<Vec<Pod>> {
    let pods: Api<Pod> = namespace.api();
    eventually(&format!("{count} ready pods"), PATIENCE, async || {
        let listed = pods.list(&ListParams::default()).await?.items;
        let ready = listed.iter().filter(|pod| is_ready(pod)).count();
        if ready != count {
            bail!("{ready} of {} pods are ready", listed.len());
        }
        Ok(Some(listed))
    })
    .await
}

#[tokio::test]
async fn pods_are_scheduled_run_and_keep_to_the_gpus_there_are() {
    let body = async |plane: &'static ControlPlane| {
        let namespace = Namespace::create(plane, "pods").await?;
        let pool = NodePool::new(namespace.name(), 2, 2);
        pool.create(&namespace.client()).await?;
        namespace.apply_yaml(&deployment(&pool.name, 6, "")).await?;

        let pods: Api<Pod> = namespace.api();
        let listed = eventually("4 running pods and 2 unschedulable ones", PATIENCE, async || {
            let listed = pods.list(&ListParams::default()).await?.items;
            let ready = listed.iter().filter(|pod| is_ready(pod)).count();
            let unschedulable = |pod: &&Pod| {
                let scheduled = condition(pod, "PodScheduled");
                scheduled
                    .is_some_and(|it| it.status == "False" && it.reason.as_deref() == Some("Unschedulable"))
            };
            let refused = listed.iter().filter(unschedulable).count();
            if (ready, refused) != (4, 2) {
                bail!("{ready} ready, {refused} unschedulable");
            }
            Ok(Some(listed))
        })
        .await?;
        let mut addresses = Vec::new();
        for pod in listed.iter().filter(|pod| is_ready(pod)) {
            let address =
                pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("no address")?;
            ensure!(plane.is_pod_address(address.parse()?), "{address} is not of this control plane");
            ensure!(!addresses.contains(&address), "{address} twice");
            addresses.push(address);
        }
        let name = namespace.name().to_owned();
        namespace.delete().await?;
        pool.delete(&plane.client().await?).await?;
        let left: Api<Pod> = Api::namespaced(plane.client().await?, &name);
        ensure!(left.list(&ListParams::default()).await?.items.is_empty());
        Ok(())
    };
    shared().await.run(body).await;
}

#[tokio::test]
async fn the_annotation_delays_readiness_while_the_pod_runs() {
    let body = async |plane: &'static ControlPlane| {
        let namespace = Namespace::create(plane, "loading").await?;
        let pool = NodePool::new(namespace.name(), 1, 8);
        pool.create(&namespace.client()).await?;
        namespace.apply_yaml(&deployment(&pool.name, 1, "fake/ready-after: 3s")).await?;

        let pods: Api<Pod> = namespace.api();
        eventually("a pod that runs but is not ready", PATIENCE, async || {
            let listed = pods.list(&ListParams::default()).await?.items;
            Ok(listed.into_iter().find(|pod| {
                let status = pod.status.as_ref();
                let running =
                    status.is_some_and(|it| it.phase.as_deref() == Some("Running") && it.pod_ip.is_some());
                running && condition(pod, "Ready").is_some_and(|ready| ready.status == "False")
            }))
        })
        .await?;
        let pods = ready_pods(&namespace, 1).await?;
        let started =
            pods[0].status.as_ref().and_then(|status| status.start_time.clone()).context("no start")?.0;
        let ready =
            condition(&pods[0], "Ready").and_then(|it| it.last_transition_time.clone()).context("no time")?.0;
        // Times in objects are whole seconds.
        let took = ready.duration_since(started).as_secs();
        ensure!((2..=10).contains(&took), "ready after {took} s");
        Ok(())
    };
    shared().await.run(body).await;
}

#[tokio::test]
async fn the_hpa_controller_runs_and_says_what_it_misses() {
    let body = async |plane: &'static ControlPlane| {
        let namespace = Namespace::create(plane, "hpa").await?;
        let pool = NodePool::new(namespace.name(), 1, 8);
        pool.create(&namespace.client()).await?;
        namespace.apply_yaml(&deployment(&pool.name, 1, "")).await?;
        let hpa = r"
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: engine}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: engine}
  maxReplicas: 4
  metrics:
  - {type: Pods, pods: {metric: {name: not_there}, target: {type: AverageValue, averageValue: 10}}}
";
        namespace.apply_yaml(hpa).await?;
        let hpas: Api<HorizontalPodAutoscaler> = namespace.api();
        eventually("ScalingActive is False because of FailedGetPodsMetric", PATIENCE, async || {
            let status = hpas.get("engine").await?.status.context("no status")?;
            let active = status.conditions.into_iter().flatten().find(|it| it.type_ == "ScalingActive");
            match active {
                Some(it) if it.status == "False" && it.reason.as_deref() == Some("FailedGetPodsMetric") => {
                    Ok(Some(()))
                }
                other => bail!("{other:?}"),
            }
        })
        .await?;
        let deployments: Api<Deployment> = namespace.api();
        ensure!(deployments.get("engine").await?.spec.and_then(|spec| spec.replicas) == Some(1));
        Ok(())
    };
    shared().await.run(body).await;
}

#[tokio::test]
async fn prometheus_finds_annotated_pods_and_survives_a_pause() {
    // A control plane of its own, since it stops Prometheus.
    let plane = ControlPlane::start(Options { prometheus: true, ..Options::default() }).await.unwrap();
    let namespace = Namespace::create(&plane, "scraped").await.unwrap();
    let pool = NodePool::new(namespace.name(), 1, 8);
    pool.create(&namespace.client()).await.unwrap();
    let annotations = r#"prometheus.io/scrape: "true", prometheus.io/port: "9", prometheus.io/path: /m"#;
    namespace.apply_yaml(&deployment(&pool.name, 2, annotations)).await.unwrap();
    let pods = ready_pods(&namespace, 2).await.unwrap();

    let targets = async || -> anyhow::Result<Vec<Value>> {
        let answer = reqwest::get(format!("{}/api/v1/targets?state=active", plane.prometheus_url())).await?;
        let answer: Value = serde_json::from_str(&answer.text().await?)?;
        Ok(answer["data"]["activeTargets"].as_array().context("no targets")?.clone())
    };
    let found = eventually("a target for each pod", PATIENCE, async || {
        let found = targets().await?;
        Ok((found.len() == 2).then_some(found))
    })
    .await
    .unwrap();
    for pod in &pods {
        let address = pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
        let url = format!("http://{address}:9/m");
        let target = found.iter().find(|target| target["scrapeUrl"] == url.as_str()).expect(&url);
        assert_eq!(target["labels"]["namespace"], namespace.name());
        assert_eq!(target["labels"]["pod"], pod.name_any().as_str());
        assert_eq!(target["labels"]["rbg_group"], "demo");
        assert_eq!(target["labels"]["rbg_role"], "decode");
    }

    let url = plane.prometheus_url();
    plane.stop_component(Component::Prometheus).await;
    assert!(reqwest::get(&url).await.is_err(), "it still answers");
    assert_eq!(plane.prometheus().await.unwrap(), url);
    eventually("both targets again", PATIENCE, async || Ok((targets().await?.len() == 2).then_some(())))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_api_server_comes_back_at_the_same_address_with_all_objects() {
    let options = Options { audit: true, ..Options::default() };
    let plane = ControlPlane::start(options).await.unwrap();
    let other = ControlPlane::start(Options::default()).await.unwrap();
    assert_ne!(plane.api_server_url(), other.api_server_url());
    drop(other);

    let namespace = Namespace::create(&plane, "restart").await.unwrap();
    plane.kill_component(Component::ApiServer).await;
    assert!(namespace.api::<Pod>().list(&ListParams::default()).await.is_err());
    plane.start_component(Component::ApiServer).await.unwrap();
    // The rest has found it again when pods get scheduled.
    let pool = NodePool::new(namespace.name(), 1, 8);
    pool.create(&namespace.client()).await.unwrap();
    namespace.apply_yaml(&deployment(&pool.name, 1, "")).await.unwrap();
    ready_pods(&namespace, 1).await.unwrap();
    let audit = std::fs::read_to_string(plane.logs().join("audit.log")).unwrap();
    assert!(audit.contains("\"resource\":\"deployments\""));
}

#[tokio::test]
async fn users_accounts_and_kubectl_are_who_they_say() {
    let body = async |plane: &'static ControlPlane| {
        let namespace = Namespace::create(plane, "who").await?;
        let whoami = async |kubeconfig: std::path::PathBuf| -> anyhow::Result<String> {
            let file = kubeconfig.display().to_string();
            kubectl(plane, &["--kubeconfig", &file, "auth", "whoami", "-o", "json"]).await
        };
        ensure!(kubectl(plane, &["auth", "whoami"]).await?.contains("admin"));
        let user = whoami(plane.user("jane", Some("team"))?).await?;
        ensure!(user.contains("\"jane\"") && user.contains("\"team\""), "{user}");
        let account = whoami(service_account_kubeconfig(plane, namespace.name(), "default").await?).await?;
        ensure!(
            account.contains(&format!("system:serviceaccount:{}:default", namespace.name())),
            "{account}"
        );
        let jane = rbg_autoscaler_tests::control_plane::client(&plane.user("jane", None)?).await?;
        let refused = Api::<Pod>::namespaced(jane, namespace.name()).list(&ListParams::default()).await;
        ensure!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403), "{refused:?}");
        Ok(())
    };
    shared().await.run(body).await;
}

#[tokio::test]
async fn yaml_defines_kinds_and_objects_of_them_in_one_go() {
    let body = async |plane: &'static ControlPlane| {
        let namespace = Namespace::create(plane, "yaml").await?;
        let text = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: moons.harness.test}
spec:
  group: harness.test
  scope: Namespaced
  names: {kind: Moon, plural: moons}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
# nothing
---
apiVersion: v1
kind: List
items:
- {apiVersion: harness.test/v1, kind: Moon, metadata: {name: luna}, spec: {earth: 1}}
- {apiVersion: harness.test/v1, kind: Moon, metadata: {name: phobos}}
";
        let stored = namespace.apply_yaml(text).await?;
        let names: Vec<String> = stored.iter().map(kube::ResourceExt::name_any).collect();
        ensure!(names == ["moons.harness.test", "luna", "phobos"], "{names:?}");
        ensure!(stored[1].namespace().as_deref() == Some(namespace.name()));
        ensure!(stored[1].data["spec"]["earth"] == 1);
        let error = namespace.apply_yaml("{apiVersion: v1, kind: ConfigMap}").await.unwrap_err();
        ensure!(error.to_string().contains("without a name"), "{error}");
        Ok(())
    };
    shared().await.run(body).await;
}

#[tokio::test]
async fn a_registered_api_without_a_server_is_not_available() {
    let body = async |plane: &'static ControlPlane| {
        let client = plane.client().await?;
        ensure!(ApiService::host("harness.k8s.io") == "harness-k8s-io.kube-system.svc");
        let port = rbg_autoscaler_tests::harness::free_port()?;
        let service =
            ApiService::register(&client, "absent.harness.test", "v1beta1", port, &plane.pki().ca()).await?;
        let error = service.available(&client, Duration::from_secs(4)).await.unwrap_err().to_string();
        ensure!(
            error.contains("v1beta1.absent.harness.test is available") && error.contains("127.0.0.1")
                || error.contains("::1"),
            "{error}"
        );
        service.remove(&client).await
    };
    shared().await.run(body).await;
}
