//! What a platform exposes besides: kube-state-metrics, the kubelet's cAdvisor and the DCGM exporter, imitated for the pods that are there.

use std::{fmt::Write as _, net::Ipv4Addr};

use anyhow::Result;
use axum::{Router, extract::State, routing::get};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use rbg_autoscaler_tests::{
    harness::{Namespace, apply_yaml},
    rbg::labels,
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::world::POD;

/// Whoever asks may read the metrics of Kubernetes' own programs.
const READERS: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: metrics-of-programs}
rules: [{nonResourceURLs: [/metrics], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: metrics-of-programs}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: metrics-of-programs}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:unauthenticated"}]
"#;

/// A Deployment's HPA whose metric nobody has.
const HPA: &str = r#"
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: plain}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: plain}
  maxReplicas: 4
  metrics: [{type: Pods, pods: {metric: {name: nobody_has_it}, target: {type: AverageValue, averageValue: "1"}}}]
"#;

/// The platform's exporters; they end with this.
pub struct Platform {
    pub port: u16,
    serving: JoinHandle<()>,
}

impl Platform {
    pub async fn start(namespace: &Namespace) -> Result<Self> {
        let client = namespace.client();
        apply_yaml(&client, "", READERS).await?;
        apply_yaml(&client, namespace.name(), HPA).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let pods: Api<Pod> = namespace.api();
        let router = Router::new().route("/metrics", get(page)).with_state(pods);
        let serving = tokio::spawn(async move {
            // Ends with the test; who scrapes then sees an error.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { port, serving })
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn page(State(pods): State<Api<Pod>>) -> String {
    let mut page = String::new();
    for pod in pods.list(&kube::api::ListParams::default()).await.into_iter().flatten() {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let own = format!("namespace=\"{namespace}\",pod=\"{name}\"");
        let label = |label: &str| pod.labels().get(label).cloned().unwrap_or_default();
        let (group, role) = (label(labels::GROUP_NAME), label(labels::ROLE_NAME));
        let lines = [
            format!(
                "kube_pod_labels{{{own},label_rbg_workloads_x_k8s_io_group_name=\"{group}\",\
                 label_rbg_workloads_x_k8s_io_role_name=\"{role}\"}} 1"
            ),
            format!(
                "kube_pod_container_resource_requests{{{own},container=\"engine\",resource=\"nvidia_com_gpu\",unit=\"integer\"}} 8"
            ),
            format!("kube_pod_created{{{own}}} 1795255200"),
            format!("kube_pod_status_ready_time{{{own}}} 1795255290"),
            format!("DCGM_FI_DEV_GPU_UTIL{{{own},gpu=\"0\"}} 97"),
            format!("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{own},gpu=\"0\"}} 0.31"),
            format!("DCGM_FI_PROF_DRAM_ACTIVE{{{own},gpu=\"0\"}} 0.62"),
        ];
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{}", lines.join("\n"));
    }
    let _ = write!(
        page,
        "container_cpu_usage_seconds_total{{namespace=\"rbg-autoscaler\",pod=\"{POD}\",container=\"controller\"}} 12.5\n\
         container_memory_working_set_bytes{{namespace=\"rbg-autoscaler\",pod=\"{POD}\",container=\"controller\"}} 3.1e7\n\
         kube_horizontalpodautoscaler_status_condition{{namespace=\"a\",horizontalpodautoscaler=\"plain\",condition=\"ScalingActive\",status=\"false\"}} 1\n"
    );
    page
}
