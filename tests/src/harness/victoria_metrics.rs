//! [`VictoriaMetrics`]: another source of metrics, beside Prometheus.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{eventually, free_port};
use crate::control_plane::{CommandLine, ControlPlane, Supervised, programs};

const PATIENCE: Duration = Duration::from_secs(60);

/// A single-node VictoriaMetrics that scrapes what the control plane's Prometheus scrapes.
#[derive(Debug)]
pub struct VictoriaMetrics {
    // They run for as long as this lives.
    processes: Vec<Supervised>,
    url: String,
}

impl VictoriaMetrics {
    /// Starts it with more flags, once Prometheus has been started; `None` on machines without Debian's package.
    pub async fn start(plane: &ControlPlane, more: &[&str]) -> Result<Option<Self>> {
        let Some(program) = programs::find_victoria_metrics("victoria-metrics")? else {
            eprintln!("left out: VictoriaMetrics, which comes as Debian's package only");
            return Ok(None);
        };
        let (folder, address) = (plane.folder(), format!("{}:{}", Ipv4Addr::LOCALHOST, free_port()?));
        let command_line = CommandLine::new(program)
            .args([
                format!("-httpListenAddr={address}"),
                format!("-storageDataPath={}", folder.join("victoria-metrics").display()),
                format!("-promscrape.config={}", folder.join("prometheus.yaml").display()),
                "-promscrape.config.strictParse=false".to_owned(),
                "-memory.allowedBytes=200000000".to_owned(),
                "-retentionPeriod=1d".to_owned(),
            ])
            .args(more.iter().copied())
            .env("NO_PROXY", "127.0.0.0/8,localhost");
        let log = plane.logs().join("victoria-metrics.log");
        let process = Supervised::start("victoria-metrics", &command_line, &log)?;
        let url = format!("http://{address}");
        let client = reqwest::Client::builder().no_proxy().build()?;
        eventually("VictoriaMetrics answers", PATIENCE, async || {
            let answer = client.get(format!("{url}/health")).send().await?;
            ensure!(answer.status().is_success(), "{}", answer.status());
            Ok(Some(()))
        })
        .await?;
        Ok(Some(Self { processes: vec![process], url }))
    }

    /// Has vmalert evaluate rule files, each group at its own interval, and write what they record.
    pub fn evaluate(&mut self, plane: &ControlPlane, rules: &[PathBuf]) -> Result<()> {
        let program =
            programs::find_victoria_metrics("vmalert")?.context("VictoriaMetrics without vmalert")?;
        let command_line = CommandLine::new(program)
            .args(rules.iter().map(|file| format!("-rule={}", file.display())))
            .args([
                format!("-datasource.url={}", self.url),
                format!("-remoteWrite.url={}", self.url),
                "-remoteWrite.flushInterval=1s".to_owned(),
                // Alerts go nowhere: they are evaluated and not sent.
                "-notifier.url=http://127.0.0.1:1".to_owned(),
                format!("-httpListenAddr={}:{}", Ipv4Addr::LOCALHOST, free_port()?),
            ])
            .env("NO_PROXY", "127.0.0.0/8,localhost");
        let log = plane.logs().join("vmalert.log");
        self.processes.push(Supervised::start("vmalert", &command_line, &log)?);
        Ok(())
    }

    /// Returns where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }
}
