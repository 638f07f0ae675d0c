//! Values files written for prometheus-adapter, at work: the adapter starts with what they render and serves what their rules say.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use k8s_openapi::{ByteString, kube_aggregator::pkg::apis::apiregistration::v1::APIService};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rbg_autoscaler_tests::harness::{Rendered, apply};
use serde_json::{Value, json};

use crate::world::{NAMESPACE, PATIENCE, World};

/// The adapter's name in a release that is not called after the chart.
const ADAPTER: &str = "adapter-rbg-autoscaler-adapter";

/// What Prometheus records beside the engines' series, so that each file's rules find some.
pub const RECORDED: &str = r#"
groups:
- name: others
  rules:
  - {record: rabbitmq_queue_messages_ready, expr: "max by (namespace) (vllm:num_requests_waiting) * 0 + 7", labels: {queue: orders}}
  - {record: container_cpu_usage_seconds_total, expr: "sum by (namespace, pod) (vllm:num_requests_waiting) * 0 + time()", labels: {container: engine}}
  - {record: container_memory_working_set_bytes, expr: "sum by (namespace, pod) (vllm:num_requests_waiting) * 0 + 1e9", labels: {container: engine}}
  - record: nginx_ingress_controller_requests
    expr: label_replace(max by (namespace) (vllm:num_requests_waiting) * 0 + time() * 3, "exported_namespace", "$1", "namespace", "(.*)")
    labels: {ingress: web}
"#;

struct Case {
    values: &'static str,
    /// Behind `/apis/`; `NS` is the namespace of the engines.
    path: &'static str,
}

/// Starts the adapter with each file and asks for what its rules expose.
pub async fn values(world: &World) -> Result<()> {
    let cases = [
        Case {
            values: "prometheus-adapter-defaults",
            path: "custom.metrics.k8s.io/v1beta1/namespaces/NS/pods/*/vllm:num_requests_waiting",
        },
        Case {
            values: "vllm-thanos",
            path: "custom.metrics.k8s.io/v1beta2/namespaces/NS/pods/*/vllm_num_requests_waiting",
        },
        Case { values: "kube-prometheus-stack", path: "metrics.k8s.io/v1beta1/namespaces/NS/pods" },
        Case {
            values: "kube-prometheus-stack",
            path: "custom.metrics.k8s.io/v1beta2/namespaces/NS/ingresses.networking.k8s.io/web/nginx_ingress_controller_requests_per_second",
        },
        Case {
            values: "external-queues",
            path: "external.metrics.k8s.io/v1beta1/namespaces/NS/queue_messages_ready",
        },
    ];
    let token = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "prometheus-token"}, "stringData": {"token": "t"}});
    apply(&world.client, NAMESPACE, token).await?;
    for files in cases.chunk_by(|a, b| a.values == b.values) {
        let paths: Vec<_> = files.iter().map(|case| case.path).collect();
        work(world, files[0].values, &paths).await.with_context(|| files[0].values)?;
    }
    Ok(())
}

async fn work(world: &World, values: &str, paths: &[&str]) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("data/values/{values}.yaml"))
        .display()
        .to_string();
    let own = world.plane.pki().server("others", &[&format!("{ADAPTER}.{NAMESPACE}.svc")])?;
    let mut args = vec!["--values".to_owned(), file.clone()];
    // Where Prometheus and a free port are on this machine, and a certificate in the place of the sample.
    let here = format!("prometheus.url={},prometheus.port=0,prometheus.path=", world.plane.prometheus_url());
    let port = world.port();
    args.extend([
        "--set".to_owned(),
        here,
        "--set".to_owned(),
        format!("listenPort={port},service.port={port}"),
    ]);
    if fs::read_to_string(&file)?.contains("-----BEGIN CERTIFICATE-----") {
        let files = [
            ("ca", world.plane.pki().ca_file()),
            ("certificate", own.certificate.clone()),
            ("key", own.key.clone()),
        ];
        for (key, file) in files {
            args.extend(["--set-file".to_owned(), format!("tls.{key}={}", file.display())]);
        }
    }
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let rendered = Rendered::chart("adapter", NAMESPACE, &args).await?;
    world.install_in(NAMESPACE, &rendered).await?;
    cert_manager(world, &rendered).await?;
    let mut adapter = world.run(&rendered, ADAPTER, "rbg-metrics-adapter").await?;
    adapter.printed("pods listed", PATIENCE).await?;
    world.available(&rendered).await?;
    for path in paths {
        let path = path.replace("NS", world.scene.namespace().name());
        world.answers(&format!("/apis/{path}")).await?;
    }
    let log = adapter.log();
    ensure!(!log.contains("rule left out") && !log.contains("cannot be used"), "{log}");
    adapter.stop().await
}

/// Does what cert-manager would do with the Certificates of a rendered chart: fills their Secrets and tells the `APIServices`.
pub async fn cert_manager(world: &World, rendered: &Rendered) -> Result<()> {
    let pki = world.plane.pki();
    for certificate in rendered.of_kind("Certificate") {
        let spec = &certificate["spec"];
        let names: Vec<_> =
            spec["dnsNames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut data = json!({"ca.crt": pki.ca()});
        if spec["isCA"] != true {
            let files = pki.server("cert-manager", &names)?;
            data["tls.crt"] = json!(fs::read_to_string(files.certificate)?);
            data["tls.key"] = json!(fs::read_to_string(files.key)?);
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"name": spec["secretName"]}, "stringData": data});
            apply(&world.client, NAMESPACE, secret).await?;
        }
    }
    let registrations: Api<APIService> = Api::all(world.client.clone());
    for service in rendered.of_kind("APIService") {
        let from = service["metadata"]["annotations"]["cert-manager.io/inject-ca-from"].as_str();
        let Some(from) = from.and_then(|from| from.strip_prefix(&format!("{NAMESPACE}/"))) else { continue };
        let certificate = rendered.object("Certificate", from)?;
        ensure!(certificate["spec"]["isCA"] == true, "{from} is no authority");
        let name = service["metadata"]["name"].as_str().context("no name")?;
        let told = Patch::Merge(json!({"spec": {"caBundle": ByteString(pki.ca().into_bytes())}}));
        registrations.patch(name, &PatchParams::default(), &told).await?;
    }
    Ok(())
}
