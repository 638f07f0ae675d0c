//! prometheus-adapter and ours beside each other: the same rules, Prometheus, control plane and requests, hence the same answers.
//!
//! What differs on purpose stands in [`DIFFERENCES`], by name and with its reason. Two things differ everywhere and are not compared:
//! `timestamp` (ours is the time of the sample, theirs that of the reply), and the text of errors (ours tells the cause).

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, bail, ensure};
use rbg_autoscaler::units::MilliValue;
use rbg_autoscaler_tests::{
    control_plane::{CommandLine, StateFolder, Supervised, programs},
    fleet::{endpoint::Target, pin::Pin},
    harness::{Program, eventually, free_port},
};
use serde_json::{Value, json};

use crate::{
    page::Page,
    world::{PATIENCE, World, ask},
};

mod usage;

/// The default rules of prometheus-adapter's chart.
const CHART: &str = include_str!("../../../adapter/tests/rules/chart-defaults/config.yaml");

const RULES: &str = r#"
- seriesQuery: '{__name__=~"^vllm:num_.*",namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  name: {matches: "^vllm:(.*)$", as: "llm_${1}"}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- seriesQuery: 'vllm:time_to_first_token_seconds_count{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  name: {as: started_per_second}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[5s])) by (<<.GroupBy>>)
- seriesQuery: 'fixed_depth{namespace!=""}'
  resources: {overrides: {namespace: {resource: namespace}, owner: {group: apps, resource: deployment}}}
  name: {as: depth_by_owner}
  metricsQuery: max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
- seriesQuery: 'fixed_depth{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  name: {as: top_depth}
  metricsQuery: topk(1, sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>))
externalRules:
- seriesQuery: 'fixed_depth{namespace!=""}'
  resources: {overrides: {namespace: {resource: namespace}}}
  name: {as: depth_by_topic}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (topic)
- seriesQuery: 'fixed_depth{namespace!=""}'
  resources: {namespaced: false}
  name: {as: depth_anywhere}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
- seriesQuery: 'fixed_depth{namespace!=""}'
  resources: {overrides: {namespace: {resource: namespace}}}
  name: {as: depth_scalar}
  metricsQuery: scalar(sum(<<.Series>>{<<.LabelMatchers>>}))
- seriesQuery: 'fixed_nan{namespace!=""}'
  resources: {overrides: {namespace: {resource: namespace}}}
  name: {as: not_a_number}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (topic)
"#;

/// Two pods expose it; Prometheus adds `namespace` and `pod`.
const PAGE: &str = r#"
container_memory_working_set_bytes{container="engine"} 1073741824
container_memory_working_set_bytes{container="POD"} 7
container_cpu_usage_seconds_total{container="engine"} 12
container_network_receive_bytes_total{container="engine"} 12
fixed_depth{topic="a",owner="page",service="front",shape="long"} 7
fixed_depth{topic="b",owner="page",service="front"} 5.5
fixed_depth{topic="c.d",service="back"} 0.0004
fixed_negative -3.25
fixed_tiny 0.0019
fixed_large 1.5e+15
fixed_on_node{node="node-0"} 3
fixed_nan NaN
fixed_jobs_total 4
"#;

/// A request, and what both answer: the code, and how many items.
struct Case {
    path: String,
    code: u16,
    items: usize,
}

/// Where ours answers otherwise.
struct Difference {
    name: &'static str,
    /// Below the namespace of the test, or from `/apis` on.
    path: &'static str,
    theirs: &'static str,
    ours: &'static str,
    why: &'static str,
}

/// Answers are written as `code: value, value` or `code reason`.
const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "NaN",
        path: "pods/*/fixed_nan",
        theirs: "200: 0, 0",
        ours: "200:",
        why: "0 reads as idle and scales down; what is no number is missing",
    },
    Difference {
        name: "NaN of an external metric",
        path: "/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/not_a_number",
        theirs: "200: -9223372036854775808m",
        ours: "200:",
        why: "the smallest number there is scales down to the minimum",
    },
    Difference {
        name: "a metric selector that cannot be parsed",
        path: "pods/*/fixed_depth?metricLabelSelector=a%3D%3D%3Db",
        theirs: "500 ",
        ours: "400 BadRequest",
        why: "the request is wrong, not the server",
    },
    Difference {
        name: "a kind that does not exist",
        path: "frobs/*/fixed_depth",
        theirs: "500 InternalError",
        ours: "404 NotFound",
        why: "the same as any other metric that there is not",
    },
];

/// One answer, as far as it is compared.
#[derive(Debug, PartialEq)]
struct Answer {
    code: u16,
    reason: String,
    /// Who is described, by which metric and selector; and the value in thousandths.
    items: Vec<(String, i64)>,
}

/// Both adapters.
struct Pair {
    theirs: u16,
    ours: u16,
    _programs: (Supervised, Program),
    _state: StateFolder,
}

pub async fn prometheus_adapter_answers_the_same(world: &World) {
    let page = Page::start(world, PAGE).await.unwrap();
    world.namespace.apply_yaml(SERVICES).await.unwrap();
    world.fleet.pin(
        Target::labels(world.namespace.name(), &[("app", "first")]),
        Pin { queue_length: Some(12.0), qps: Some(2.5), ..Pin::default() },
    );
    let pair = Pair::start(world).unwrap();
    let cases = cases(world, &page);
    eventually("the same answers", PATIENCE, async || {
        let mut wrong = Vec::new();
        for case in &cases {
            if let Err(error) = pair.compare(world, case).await {
                wrong.push(format!("{}: {error:#}", case.path));
            }
        }
        for difference in DIFFERENCES {
            if let Err(error) = pair.differs(world, difference).await {
                wrong.push(format!("{}: {error:#}", difference.name));
            }
        }
        ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
        Ok(Some(()))
    })
    .await
    .unwrap();
    pair.measure_the_same(world, &page).await.unwrap();
    pair.expose_the_same(world).await.unwrap();
    pair.refuse_the_same(world).await.unwrap();
}

const SERVICES: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: front, labels: {tier: web}}, spec: {ports: [{port: 80}]}}
- {apiVersion: v1, kind: Service, metadata: {name: back, labels: {tier: data}}, spec: {ports: [{port: 80}]}}
";

/// Every kind of request; `#` stands for the namespace's path.
fn cases(world: &World, page: &Page) -> Vec<Case> {
    let pod = page.pods.first().cloned().unwrap_or_default();
    let namespace = world.namespace.name();
    let external = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}");
    let case = |path: &str, code: u16, items: usize| Case { path: path.to_owned(), code, items };
    let mut cases = Vec::new();
    for version in ["v1beta1", "v1beta2"] {
        let custom = format!("/apis/custom.metrics.k8s.io/{version}");
        for (rest, code, items) in [
            // Pods, by every operator of selectors.
            ("pods/*/llm_num_requests_waiting?labelSelector=app%3Dfirst", 200, 2),
            ("pods/%2A/llm_num_requests_waiting?labelSelector=app+in+%28first%2Cother%29", 200, 3),
            ("pods/*/llm_num_requests_waiting?labelSelector=app+notin+%28page%2Cother%29%2Ctier", 200, 2),
            ("pods/*/llm_num_requests_waiting?labelSelector=app%21%3Dpage%2Capp%21%3Dother", 200, 2),
            ("pods/*/fixed_depth?labelSelector=%21tier", 200, 2),
            ("pods/*/fixed_depth?labelSelector=app%3Dpage", 200, 2),
            ("pods/*/top_depth?labelSelector=app%3Dpage", 200, 1),
            ("pods/*/started_per_second?labelSelector=app%3Dfirst", 200, 2),
            ("pods/*/memory_working_set_bytes?labelSelector=app%3Dpage", 200, 2),
            ("pods/*/cpu_usage?labelSelector=app%3Dpage", 200, 2),
            ("pods/*/network_receive_bytes?labelSelector=app%3Dpage", 200, 2),
            ("pods/*/fixed_jobs?labelSelector=app%3Dpage", 200, 2),
            // Numbers of all sizes.
            ("pods/*/fixed_negative?labelSelector=app%3Dpage", 200, 2),
            ("pods/*/fixed_tiny?labelSelector=app%3Dpage", 200, 2),
            ("pods/*/fixed_large?labelSelector=app%3Dpage", 200, 2),
            // Selectors of series.
            ("pods/*/fixed_depth?labelSelector=app%3Dpage&metricLabelSelector=topic%3Da", 200, 2),
            (
                "pods/*/fixed_depth?labelSelector=app%3Dpage&metricLabelSelector=topic+in+%28a%2Cb%29%2Cshape",
                200,
                2,
            ),
            ("pods/*/fixed_depth?labelSelector=app%3Dpage&metricLabelSelector=%21shape", 200, 2),
            ("pods/*/fixed_depth?labelSelector=app%3Dpage&metricLabelSelector=topic+notin+%28a%29", 200, 2),
            ("pods/*/fixed_depth?labelSelector=app%3Dpage&metricLabelSelector=topic%3Dz", 200, 0),
            // One object.
            (&format!("pods/{pod}/fixed_depth"), 200, 1),
            (&format!("pod/{pod}/fixed_depth"), 200, 1),
            ("pods/nobody/fixed_depth", 404, 0),
            ("services/front/fixed_depth", 200, 1),
            ("service/back/fixed_depth", 200, 1),
            ("services/*/fixed_depth?labelSelector=tier%3Dweb", 200, 1),
            ("services/*/fixed_depth", 200, 2),
            ("deployments.apps/page/depth_by_owner", 200, 1),
            ("deployments/page/depth_by_owner", 200, 1),
            ("deployments.apps/*/depth_by_owner?labelSelector=app%3Dpage", 200, 1),
            ("deployments.apps/first/depth_by_owner", 404, 0),
            ("metrics/fixed_depth", 200, 1),
            ("metrics/llm_num_requests_waiting", 200, 1),
            // What there is not.
            ("pods/*/frobs", 404, 0),
            ("pods/*/llm_num_requests_waiting?labelSelector=app%3Dnobody", 404, 0),
            ("pods/*/llm_num_requests_waiting?labelSelector=app%3Dpage", 200, 0),
            ("pods/*/depth_by_owner", 404, 0),
            ("pods/*/fixed_depth?labelSelector=a%3D%3D%3Db", 400, 0),
        ] {
            cases.push(case(&format!("{custom}/namespaces/{namespace}/{rest}"), code, items));
        }
        for (rest, code, items) in [
            ("nodes/node-0/fixed_on_node", 200, 1),
            ("nodes/*/fixed_on_node", 200, 1),
            ("nodes/node-1/fixed_on_node", 404, 0),
        ] {
            cases.push(case(&format!("{custom}/{rest}"), code, items));
        }
    }
    for (rest, code, items) in [
        ("depth_by_topic", 200, 3),
        ("depth_by_topic?labelSelector=topic%3Da", 200, 1),
        ("depth_by_topic?labelSelector=topic+in+%28a%2Cb%29%2Cservice%3Dfront", 200, 2),
        ("depth_by_topic?labelSelector=topic%21%3Da", 200, 2),
        ("depth_by_topic?labelSelector=topic+notin+%28a%2Cb%29", 200, 1),
        ("depth_by_topic?labelSelector=topic%3Dz", 200, 0),
        ("depth_anywhere", 200, 1),
        ("depth_scalar", 200, 1),
        ("frobs", 404, 0),
        ("depth_by_topic?labelSelector=a%3D%3D%3Db", 400, 0),
    ] {
        cases.push(case(&format!("{external}/{rest}"), code, items));
    }
    cases
}

impl Pair {
    /// Starts both with the same configuration.
    fn start(world: &World) -> Result<Self> {
        let state = StateFolder::create("rbga-beside-")?;
        let config = state.path().join("config.yaml");
        fs::write(&config, format!("{}{RULES}{}", CHART.trim_end(), usage::RULES))?;
        let (theirs, ours) = (free_port()?, free_port()?);
        let kubeconfig = world.plane.kubeconfig();
        let common = |port: u16| {
            [
                format!("--prometheus-url={}", world.plane.prometheus_url()),
                format!("--config={}", config.display()),
                format!("--secure-port={port}"),
                format!("--tls-cert-file={}", world.certificate.certificate.display()),
                format!("--tls-private-key-file={}", world.certificate.key.display()),
                format!("--authentication-kubeconfig={}", kubeconfig.display()),
                format!("--authorization-kubeconfig={}", kubeconfig.display()),
                "--metrics-relist-interval=3s".to_owned(),
                "--metrics-max-age=30s".to_owned(),
                "--bind-address=127.0.0.1".to_owned(),
            ]
        };
        let command_line = CommandLine::new(programs::find("prometheus-adapter")?)
            .args(common(theirs))
            // Else every list waits for its turn.
            .args(["--client-qps=1000", "--client-burst=1000"])
            .args([format!("--lister-kubeconfig={}", kubeconfig.display())])
            .env("NO_PROXY", "127.0.0.0/8,localhost");
        let log = world.plane.logs().join("prometheus-adapter.log");
        let peer = Supervised::start("prometheus-adapter", &command_line, &log)?;
        let mut args = Vec::from(common(ours));
        args.extend([format!("--kubeconfig={}", kubeconfig.display()), "--interval=1s".to_owned()]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let program = Program::start("rbg-metrics-adapter", &args, &[])?;
        Ok(Self { theirs, ours, _programs: (peer, program), _state: state })
    }

    async fn ask(&self, world: &World, port: u16, path: &str) -> Result<(u16, Value)> {
        let headers = [("x-remote-user", "root"), ("x-remote-group", "system:masters")];
        let certificate = Some(world.plane.pki().front_proxy_client());
        let (code, text) = ask(port, path, certificate, &headers).await?;
        Ok((code, serde_json::from_str(&text).with_context(|| format!("{path}: {code} {text}"))?))
    }

    async fn both(&self, world: &World, path: &str) -> Result<(Answer, Answer)> {
        let (code, body) = self.ask(world, self.theirs, path).await?;
        let theirs = Answer::read(code, &body)?;
        let (code, body) = self.ask(world, self.ours, path).await?;
        Ok((theirs, Answer::read(code, &body)?))
    }

    async fn compare(&self, world: &World, case: &Case) -> Result<()> {
        let (theirs, ours) = self.both(world, &case.path).await?;
        let (code, items) = (case.code, case.items);
        ensure!(
            theirs.code == code && theirs.items.len() == items,
            "{code} and {items} items wanted, theirs is {}, ours {}",
            theirs.short(),
            ours.short()
        );
        ensure!(theirs.is_about(&ours), "theirs is {theirs:?}, ours {ours:?}");
        Ok(())
    }

    async fn differs(&self, world: &World, difference: &Difference) -> Result<()> {
        let Difference { path, theirs, ours, why, .. } = difference;
        let path = if path.starts_with('/') {
            path.replace("{}", world.namespace.name())
        } else {
            world.path("v1beta1", path)
        };
        let answers = self.both(world, &path).await?;
        let shown = (answers.0.short(), answers.1.short());
        ensure!(
            (shown.0.as_str(), shown.1.as_str()) == (*theirs, *ours),
            "{theirs:?} wanted there, {ours:?} here, since {why}; found {shown:?}"
        );
        Ok(())
    }

    /// Discovery lists the same metrics; ours has the signals beside them.
    async fn expose_the_same(&self, world: &World) -> Result<()> {
        for (path, signals) in [
            ("/apis/custom.metrics.k8s.io/v1beta1", true),
            ("/apis/custom.metrics.k8s.io/v1beta2", true),
            ("/apis/external.metrics.k8s.io/v1beta1", false),
        ] {
            eventually(&format!("the same metrics at {path}"), PATIENCE, async || {
                let theirs = listed(&self.ask(world, self.theirs, path).await?.1)?;
                let ours = listed(&self.ask(world, self.ours, path).await?.1)?;
                let missing: Vec<_> = theirs.difference(&ours).collect();
                ensure!(missing.is_empty(), "only theirs: {missing:?}");
                let more: Vec<_> = ours.difference(&theirs).collect();
                let is_signal = |name: &&String| catalog().contains(*name);
                ensure!(more.iter().all(|name| signals && is_signal(name)), "only ours: {more:?}");
                ensure!(theirs.len() > 3, "only {theirs:?}");
                Ok(Some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Nobody, somebody without permission, and a forged front proxy.
    async fn refuse_the_same(&self, world: &World) -> Result<()> {
        let pki = world.plane.pki();
        let path = world.path("v1beta1", "pods/*/fixed_depth");
        let jane = [("x-remote-user", "jane")];
        for (who, certificate, headers, code) in [
            ("nobody", None, &[][..], 403),
            ("headers of nobody", None, &jane[..], 403),
            ("jane, by the front proxy", Some(pki.front_proxy_client()), &jane[..], 403),
            ("jane, by her certificate", Some(pki.user("jane", None)?), &[][..], 403),
            ("an impostor", Some(pki.front_proxy_user("impostor")?), &jane[..], 401),
            ("a bad token", None, &[("authorization", "Bearer nonsense")][..], 401),
            ("an administrator", Some(pki.user("admin", Some("system:masters"))?), &[][..], 200),
        ] {
            let (theirs, text) = ask(self.theirs, &path, certificate.clone(), headers).await?;
            ensure!(theirs == code, "{who}: prometheus-adapter answers {theirs}: {text}");
            let (ours, text) = ask(self.ours, &path, certificate, headers).await?;
            ensure!(ours == code, "{who}: ours answers {ours}: {text}");
        }
        Ok(())
    }
}

impl Answer {
    fn read(code: u16, body: &Value) -> Result<Self> {
        if code != 200 {
            ensure!(body["kind"] == "Status" && body["code"] == code, "no Status: {body}");
            let reason = body["reason"].as_str().unwrap_or_default().to_owned();
            return Ok(Self { code, reason, items: Vec::new() });
        }
        let mut items = Vec::new();
        for item in body["items"].as_array().context("no items")? {
            let mut about = item.clone();
            let fields = about.as_object_mut().context("no object")?;
            let value: MilliValue = match fields.remove("value") {
                // Smaller than what our type holds.
                Some(Value::String(text)) if text == "-9223372036854775808m" => {
                    MilliValue::from_milli(i64::MIN)
                }
                Some(Value::String(text)) => text.parse()?,
                other => bail!("{other:?} is no value"),
            };
            fields.remove("timestamp");
            // A scalar has no labels, which is `null` there and `{}` here; clients read both alike.
            if fields.get("metricLabels").is_some_and(Value::is_null) {
                fields.insert("metricLabels".to_owned(), json!({}));
            }
            items.push((about.to_string(), value.milli()));
        }
        items.sort();
        Ok(Self { code, reason: String::new(), items })
    }

    /// The same code, reason and items, with values as equal as rates at two instants can be.
    fn is_about(&self, other: &Self) -> bool {
        let is_close = |(one, other): (&(String, i64), &(String, i64))| {
            let is_rate =
                ["per_second", "cpu_usage", "_bytes", "_jobs"].iter().any(|name| one.0.contains(name));
            let tolerance = if is_rate { one.1.abs() / 5 } else { 0 };
            one.0 == other.0 && (one.1 - other.1).abs() <= tolerance
        };
        (self.code, &self.reason, self.items.len()) == (other.code, &other.reason, other.items.len())
            && self.items.iter().zip(&other.items).all(is_close)
    }

    fn short(&self) -> String {
        if self.code != 200 {
            return format!("{} {}", self.code, self.reason);
        }
        let value = |milli: i64| {
            if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") }
        };
        let values: Vec<String> = self.items.iter().map(|(_, milli)| value(*milli)).collect();
        format!("200: {}", values.join(", ")).trim_end().to_owned()
    }
}

fn listed(list: &Value) -> Result<BTreeSet<String>> {
    let resources = list["resources"].as_array().with_context(|| list.to_string())?;
    let name = |resource: &Value| {
        format!("{} {}", resource["name"].as_str().unwrap_or_default(), resource["namespaced"])
    };
    Ok(resources.iter().map(name).collect())
}

/// The signals as discovery lists them.
fn catalog() -> BTreeSet<String> {
    let signals = rbg_autoscaler::metrics::catalog::built_in(std::time::Duration::from_secs(60));
    let kinds = [
        ("pods", true),
        ("namespaces", false),
        ("rolebasedgroups.workloads.x-k8s.io", true),
        ("rolebasedgroupscalingadapters.workloads.x-k8s.io", true),
    ];
    let listed = signals
        .iter()
        .flat_map(|signal| kinds.map(|(kind, namespaced)| format!("{kind}/{} {namespaced}", signal.name)));
    listed.collect()
}
