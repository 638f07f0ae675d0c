//! The chart without a cluster: it renders, with values files of prometheus-adapter as well, and refuses nonsense.

use std::path::{Path, PathBuf};

use rbg_autoscaler_tests::{
    control_plane::programs,
    harness::{Rendered, deploy_folder, run_tool},
};
use tokio::process::Command;

fn values(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/values").join(format!("{name}.yaml"))
}

async fn with(file: &str) -> Rendered {
    let file = values(file).display().to_string();
    Rendered::chart("adapter", "monitoring", &["--values", &file]).await.unwrap()
}

fn names(rendered: &Rendered, kind: &str) -> Vec<String> {
    rendered
        .of_kind(kind)
        .iter()
        .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

const ADAPTER: &str = "adapter-rbg-autoscaler-adapter";

#[tokio::test]
async fn lint_finds_nothing() {
    let chart = deploy_folder().join("chart").display().to_string();
    run_tool("helm", &["lint", "--strict", &chart]).await.unwrap();
    for file in ["prometheus-adapter-defaults", "kube-prometheus-stack", "vllm-thanos", "external-queues"] {
        let file = values(file).display().to_string();
        run_tool("helm", &["lint", "--strict", &chart, "--values", &file]).await.unwrap();
    }
}

#[tokio::test]
async fn the_default_values_of_prometheus_adapter_work() {
    let rendered = with("prometheus-adapter-defaults").await;
    let deployment = rendered.object("Deployment", ADAPTER).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap();
    assert!(
        image.starts_with("ghcr.io/rbg-autoscaler/rbg-metrics-adapter:"),
        "ours in place of theirs: {image}"
    );
    assert_eq!(deployment["spec"]["replicas"], 1);
    let args = rendered.args(ADAPTER).unwrap();
    for wanted in
        ["--prometheus-url=http://prometheus.default.svc:9090", "--v=4", "--metrics-relist-interval=1m"]
    {
        assert!(args.iter().any(|arg| arg == wanted), "{wanted} is not in {args:?}");
    }
    let config = rendered.object("ConfigMap", "adapter-rbg-autoscaler-rules").unwrap()["data"]["config.yaml"]
        .as_str()
        .unwrap();
    assert_eq!(config.matches("- seriesQuery:").count(), 6, "{config}");
    assert_eq!(
        names(&rendered, "APIService"),
        ["v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"]
    );
    assert!(names(&rendered, "PodDisruptionBudget").iter().all(|name| name != ADAPTER), "switched off");
}

#[tokio::test]
async fn values_of_others_work() {
    let stack = with("kube-prometheus-stack").await;
    assert!(names(&stack, "APIService").contains(&"v1beta1.metrics.k8s.io".to_owned()));
    let budget = stack.object("PodDisruptionBudget", ADAPTER).unwrap();
    assert_eq!(budget["spec"]["minAvailable"], 1);
    assert!(budget["spec"]["maxUnavailable"].is_null());

    let thanos = with("vllm-thanos").await;
    let args = thanos.args(ADAPTER).unwrap();
    for wanted in [
        "--prometheus-url=http://thanos-query-frontend.monitoring.svc:9090/",
        "--prometheus-header=X-Scope-OrgID=llm",
        "--tls-cert-file=/var/run/serving-cert/tls.crt",
    ] {
        assert!(args.iter().any(|arg| arg == wanted), "{wanted} is not in {args:?}");
    }
    assert_eq!(names(&thanos, "Certificate").len(), 2);
    for service in thanos.of_kind("APIService") {
        let from = &service["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
        assert_eq!(from, &format!("monitoring/{ADAPTER}-root-cert"));
        assert_eq!(service["metadata"]["labels"]["team"], "platform");
    }

    let queues = with("external-queues").await;
    let args = queues.args(ADAPTER).unwrap();
    assert!(args.contains(&"--prometheus-url=https://prometheus.example.com/prod".to_owned()), "{args:?}");
    assert!(names(&queues, "APIService").contains(&"v1beta1.external.metrics.k8s.io".to_owned()));
    assert!(queues.of_kind("APIService").iter().all(|service| service["spec"]["caBundle"].is_string()));
    assert_eq!(queues.object("Secret", &format!("{ADAPTER}-tls")).unwrap()["type"], "kubernetes.io/tls");
}

#[tokio::test]
async fn each_part_can_be_switched_off() {
    let only = |part: &'static str| async move {
        let off = format!("{part}.enabled=false");
        Rendered::chart("rbg", "rbg", &["--set", &off]).await.unwrap()
    };
    assert_eq!(names(&only("adapter").await, "Deployment"), ["rbg-rbg-autoscaler-controller"]);
    let adapter = only("controller").await;
    assert_eq!(names(&adapter, "Deployment"), ["rbg-rbg-autoscaler-adapter"]);
    let names = adapter.objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap());
    assert!(names.into_iter().all(|name| !name.contains("controller") || name.ends_with(":hpa-controller")));
}

#[tokio::test]
async fn mistakes_are_named() {
    struct Case {
        name: &'static str,
        set: &'static [&'static str],
        want: &'static str,
    }
    let cases = [
        Case { name: "a typing error", set: &["controler.enabled=false"], want: "controler" },
        Case { name: "a wrong type", set: &["replicas=two"], want: "replicas" },
        Case { name: "a duration", set: &["controller.syncPeriod=5"], want: "syncPeriod" },
        Case {
            name: "two certificates",
            set: &["tls.enable=true", "certManager.enabled=true"],
            want: "choose one",
        },
        Case { name: "a Secret that is not used", set: &["tls.existingSecret=mine"], want: "tls.enable" },
        Case { name: "a namespace", set: &["controller.namespace=Serving"], want: "/controller/namespace" },
        Case { name: "a port", set: &["prometheus.port=web"], want: "/prometheus/port" },
        Case { name: "a rule", set: &["rules.custom[0].metricsQuery=x"], want: "/rules/custom/0" },
        Case { name: "no authority", set: &["tls.enable=true"], want: "tls.ca" },
        Case { name: "no certificate", set: &["tls.enable=true", "tls.ca=x"], want: "tls.existingSecret" },
    ];
    for Case { name, set, want } in cases {
        let args: Vec<_> = set.iter().flat_map(|set| ["--set", set]).collect();
        let error = Rendered::chart("rbg", "rbg", &args).await.unwrap_err().to_string();
        assert!(error.contains(want), "{name}: {error}");
    }
}

#[tokio::test]
async fn kustomize_has_what_the_chart_renders() {
    let folder = tempfile::tempdir().unwrap();
    let script = deploy_folder().join("kustomize/render");
    let helm = programs::find("helm").unwrap();
    let ran = Command::new(script).arg(helm).arg(folder.path()).status().await.unwrap();
    assert!(ran.success());
    for file in [
        "base/install.yaml",
        "overlays/prometheus/monitoring.yaml",
        "overlays/victoria-metrics/monitoring.yaml",
    ] {
        let stored = std::fs::read_to_string(deploy_folder().join("kustomize").join(file)).unwrap();
        let rendered = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(stored == rendered, "{file} is not what the chart renders: run `make manifests`");
    }
}

#[tokio::test]
async fn dashboards_and_rules_are_in_the_chart() {
    let args = ["--set", "dashboards.enabled=true,prometheusRule.enabled=true,prometheusRule.kind=VMRule"];
    let rendered = Rendered::chart("rbg", "rbg", &args).await.unwrap();
    let maps = rendered.of_kind("ConfigMap");
    assert!(maps.len() >= 3, "{}", maps.len());
    for map in maps {
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        let (_, text) = map["data"].as_object().unwrap().iter().next().unwrap();
        let dashboard: serde_json::Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        assert!(dashboard["panels"].is_array());
    }
    let rules = rendered.of_kind("VMRule");
    assert!(
        rules.len() >= 3 && rules.iter().all(|rule| rule["spec"]["groups"].is_array()),
        "{}",
        rules.len()
    );
}
