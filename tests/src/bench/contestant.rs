//! [`Contestant`]: one adapter in one configuration, started on its core.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::{
    client::Endpoint,
    cluster::{Cluster, Group, pod_prefix},
    cores::Cores,
    process::Process,
    stand_in::SERIES,
};
use crate::{
    control_plane::{CommandLine, StateFolder, Supervised, programs},
    harness::{eventually, free_port, program_file},
};

/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often [`Contestant::Direct`] scrapes.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// The metric that [`RULES`] make.
const RULED: &str = "vllm_num_requests_waiting";

/// An adapter in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// prometheus-adapter as it ships.
    Peer,
    /// prometheus-adapter without the limit of 5 requests per second to the API server.
    PeerUnthrottled,
    /// rbg-metrics-adapter with the same rule.
    Rule,
    /// rbg-metrics-adapter with its built-in signal.
    Signal,
    /// The same without Prometheus: it scrapes the pods itself.
    Direct,
}

/// One that runs. Dropping it ends it.
pub struct Running {
    /// Where it answers.
    pub endpoint: Endpoint,
    /// What it uses.
    pub process: Process,
    metric: &'static str,
    program: Supervised,
    _state: StateFolder,
}

impl Contestant {
    /// All that are compared, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Peer, Self::PeerUnthrottled, Self::Rule, Self::Signal];

    /// Returns what it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peer => "prometheus-adapter, as shipped",
            Self::PeerUnthrottled => "prometheus-adapter, throttle lifted",
            Self::Rule => "rbg-metrics-adapter, same rule",
            Self::Signal => "rbg-metrics-adapter, its signal",
            Self::Direct => "rbg-metrics-adapter, without Prometheus",
        }
    }

    /// Says whether it is ours.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Rule | Self::Signal | Self::Direct)
    }

    fn file(self) -> Result<PathBuf> {
        if self.is_ours() {
            program_file("rbg-metrics-adapter")
        } else {
            programs::find("prometheus-adapter")
        }
    }

    /// Starts it on its core and waits until it answers for every group of pods.
    pub async fn start(self, cluster: &Cluster, cores: Cores) -> Result<Running> {
        let (file, port) = (self.file()?, free_port()?);
        let state = StateFolder::create("rbga-bench-")?;
        let pki = cluster.plane.pki();
        let certificate = pki.server("bench", &["localhost", "127.0.0.1"])?;
        let rules = state.path().join("rules.yaml");
        fs::write(&rules, rules_text()).context("cannot write the rules")?;
        let kubeconfig = cluster.plane.kubeconfig();
        let from = if self == Self::Direct {
            ["--metrics-from=direct".to_owned(), format!("--interval={}s", INTERVAL.as_secs())]
        } else {
            let (url, rules) = (cluster.stand_in.url(), rules.display());
            [format!("--prometheus-url={url}"), format!("--config={rules}")]
        };
        let mut args = vec![
            format!("--secure-port={port}"),
            format!("--tls-cert-file={}", certificate.certificate.display()),
            format!("--tls-private-key-file={}", certificate.key.display()),
            format!("--authentication-kubeconfig={}", kubeconfig.display()),
            format!("--authorization-kubeconfig={}", kubeconfig.display()),
        ];
        args.extend(from);
        if self.is_ours() {
            args.push(format!("--kubeconfig={}", kubeconfig.display()));
        } else {
            args.push(format!("--lister-kubeconfig={}", kubeconfig.display()));
        }
        if self == Self::PeerUnthrottled {
            args.extend(["--client-qps=100000".to_owned(), "--client-burst=100000".to_owned()]);
        }
        let command_line = CommandLine::new("taskset")
            .args(["--cpu-list", &cores.server.to_string(), &file.display().to_string()])
            .args(args)
            .env("NO_PROXY", "127.0.0.0/8,localhost");
        let mut program = Supervised::start(self.name(), &command_line, &state.logs().join("program.log"))?;
        let endpoint = Endpoint::new(pki, port)?;
        let metric = if matches!(self, Self::Signal | Self::Direct) { "queue_length" } else { RULED };
        let probe = cluster.groups_of(20).next().context("no pods")?;
        let what = format!("{} answers", self.name());
        let answers = eventually(&what, PATIENCE, async || {
            if let Some(status) = program.exited() {
                return Ok(Some(Err(status)));
            }
            check(&endpoint, metric, probe).await?;
            Ok(Some(Ok(Process::find(&file)?)))
        });
        let process = match answers.await.with_context(|| program.log())? {
            Ok(process) => process,
            Err(status) => bail!("{} ended with {status}:\n{}", self.name(), program.log()),
        };
        Ok(Running { endpoint, process, metric, program, _state: state })
    }
}

impl Running {
    /// Returns the path that the HPA controller asks for a group of pods.
    pub fn path(&self, group: &Group) -> String {
        path(self.metric, group)
    }

    /// Checks that a group's pods are all in the answer.
    pub async fn check(&self, group: &Group) -> Result<()> {
        check(&self.endpoint, self.metric, group).await.with_context(|| self.log_end())
    }

    /// Returns the last lines that it has printed.
    pub fn log_end(&self) -> String {
        let log = self.program.log();
        let lines: Vec<&str> = log.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn path(metric: &str, group: &Group) -> String {
    let namespace = &group.namespace;
    format!(
        "/apis/custom.metrics.k8s.io/v1beta1/namespaces/{namespace}/pods/%2A/{metric}?labelSelector=app%3D{namespace}"
    )
}

async fn check(endpoint: &Endpoint, metric: &str, group: &Group) -> Result<()> {
    let reply = endpoint.ask(path(metric, group)).await?;
    // In whatever form: prometheus-adapter answers in protobuf.
    let text = String::from_utf8_lossy(&reply.body);
    let found = text.matches(&pod_prefix(&group.namespace)).count();
    if reply.code != 200 || found != group.pods {
        bail!("{} of {} pods, code {}: {:.200}", found, group.pods, reply.code, text);
    }
    Ok(())
}

fn rules_text() -> String {
    format!(
        "rules:\n\
         - seriesQuery: '{SERIES}{{namespace!=\"\",pod!=\"\"}}'\n\
         \x20 resources: {{overrides: {{namespace: {{resource: namespace}}, pod: {{resource: pod}}}}}}\n\
         \x20 name: {{as: {RULED}}}\n\
         \x20 metricsQuery: sum(<<.Series>>{{<<.LabelMatchers>>}}) by (<<.GroupBy>>)\n"
    )
}
