//! [`Options`]: the program's flags; all but repeated ones are also environment variables.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use rbg_autoscaler::units::GatewayDuration;
use tracing_subscriber::EnvFilter;

/// Scales the roles of RoleBasedGroups by policy.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "rbg-autoscaler",
    version,
    about,
    after_help = "Examples:
  In a cluster, with the service account of the pod:
    rbg-autoscaler --prometheus-url http://prometheus.monitoring:9090

  From a workstation, one namespace only, deciding every two seconds:
    rbg-autoscaler --kubeconfig ~/.kube/config --namespace serving \\
      --prometheus-url http://127.0.0.1:9090 --sync-period 2s --collection-interval 2s

  Without any Prometheus, scraping the pods itself:
    rbg-autoscaler --metrics-from direct --collection-interval 10s

  By environment:
    RBG_AUTOSCALER_PROMETHEUS_URL=http://prometheus.monitoring:9090 RBG_AUTOSCALER_LOG_FORMAT=json rbg-autoscaler"
)]
pub struct Options {
    /// A kubeconfig file; without it $KUBECONFIG, ~/.kube/config or the pod's service account.
    #[arg(long, env = "RBG_AUTOSCALER_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Where metrics come from: Prometheus, or the pods themselves, scraped by this program.
    #[arg(long, env = "RBG_AUTOSCALER_METRICS_FROM", value_enum, default_value_t = MetricsFrom::Prometheus, value_name = "SOURCE")]
    pub metrics_from: MetricsFrom,

    /// Prometheus, or anything with its HTTP API (VictoriaMetrics, Thanos, Mimir).
    #[arg(
        long,
        env = "RBG_AUTOSCALER_PROMETHEUS_URL",
        value_name = "URL",
        default_value = "http://prometheus.monitoring:9090"
    )]
    pub prometheus_url: String,

    /// A header for every query to Prometheus, `name=value` or `name: value`, such as Mimir's X-Scope-OrgID=TENANT; may be repeated.
    #[arg(long = "prometheus-header", value_name = "HEADER", value_parser = header)]
    pub prometheus_headers: Vec<(String, String)>,

    /// A file with a bearer token for Prometheus, read again when it changes.
    #[arg(long, env = "RBG_AUTOSCALER_PROMETHEUS_TOKEN_FILE", value_name = "FILE")]
    pub prometheus_token_file: Option<PathBuf>,

    /// Who signed Prometheus' certificate, PEM; the system's authorities when absent.
    #[arg(long, env = "RBG_AUTOSCALER_PROMETHEUS_CA_FILE", value_name = "FILE")]
    pub prometheus_ca_file: Option<PathBuf>,

    /// A file with signals of your own, `rules: [{name, query, per: pod}]`, read again when it changes; the adapter's file will do.
    #[arg(long, env = "RBG_AUTOSCALER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// At least this often every group is decided on; new metrics and edits are answered at once.
    #[arg(long, env = "RBG_AUTOSCALER_SYNC_PERIOD", value_name = "DURATION", default_value = "5s", value_parser = positive)]
    pub sync_period: Duration,

    /// How often the signals that policies use are asked for.
    #[arg(
        long,
        env = "RBG_AUTOSCALER_COLLECTION_INTERVAL",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = positive
    )]
    pub collection_interval: Duration,

    /// How often Prometheus scrapes the engines; the windows of token rates follow from it. With --metrics-from=direct it is the
    /// collection interval.
    #[arg(long, env = "RBG_AUTOSCALER_SCRAPE_INTERVAL", value_name = "DURATION", default_value = "15s", value_parser = positive)]
    pub scrape_interval: Duration,

    /// Only this namespace; all without it.
    #[arg(long, env = "RBG_AUTOSCALER_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "RBG_AUTOSCALER_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Where snapshots are served to `kubectl rbga snapshot` and `explain`: an address of loopback, which only those reach who may
    /// forward ports of this pod; `off` serves none.
    #[arg(
        long,
        env = "RBG_AUTOSCALER_SNAPSHOTS_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8081",
        value_parser = loopback
    )]
    pub snapshots_listen: Loopback,

    /// Take part in an election, so that one of several processes leads and the others stand by.
    #[arg(long, env = "RBG_AUTOSCALER_LEADER_ELECT")]
    pub leader_elect: bool,

    /// The namespace of the Lease that elects the leader.
    #[arg(long, env = "RBG_AUTOSCALER_LEASE_NAMESPACE", value_name = "NAME", default_value = "default")]
    pub lease_namespace: String,

    /// The name of the Lease.
    #[arg(long, env = "RBG_AUTOSCALER_LEASE_NAME", value_name = "NAME", default_value = "rbg-autoscaler")]
    pub lease_name: String,

    /// How log lines are written.
    #[arg(long, env = "RBG_AUTOSCALER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: a level, or targets with levels such as `info,rbg_autoscaler_controller=debug`.
    #[arg(long, env = "RBG_AUTOSCALER_LOG", value_name = "FILTER", default_value = "info", value_parser = filter)]
    pub log: String,
}

/// An address that nobody outside this machine or pod reaches; `None` for no address at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loopback(pub Option<SocketAddr>);

/// Where metrics come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MetricsFrom {
    /// Prometheus or anything with its HTTP API.
    Prometheus,
    /// The pods of RoleBasedGroups.
    Direct,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(['=', ':']).ok_or("write name=value")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn positive(text: &str) -> Result<Duration, String> {
    let duration: GatewayDuration = text.parse().map_err(|error| format!("{error}"))?;
    if duration.get() < Duration::from_millis(100) {
        return Err("write 100ms or more".to_owned());
    }
    Ok(duration.get())
}

/// Snapshots name pods and nodes of other people, and nobody is asked who they are.
fn loopback(text: &str) -> Result<Loopback, String> {
    if text == "off" {
        return Ok(Loopback(None));
    }
    let address: SocketAddr = text.parse().map_err(|_| "write 127.0.0.1:8081 or off".to_owned())?;
    if !address.ip().is_loopback() {
        return Err(
            "write an address of loopback such as 127.0.0.1:8081, or off: whoever reaches it is answered"
                .to_owned(),
        );
    }
    Ok(Loopback(Some(address)))
}

/// A filter that cannot be read would silently hide what somebody wants to see.
fn filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; write a level such as debug, or target=level")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_sound_and_durations_are_checked() {
        Options::command().debug_assert();
        let options = Options::try_parse_from(["rbg-autoscaler", "--sync-period", "1500ms"]).expect("valid");
        assert_eq!(
            (options.sync_period, options.collection_interval),
            (Duration::from_millis(1500), Duration::from_secs(5))
        );
        for wrong in ["0s", "5", "1d"] {
            assert!(Options::try_parse_from(["rbg-autoscaler", "--sync-period", wrong]).is_err(), "{wrong}");
        }
        let headers = ["--prometheus-header=X-Scope-OrgID=a", "--prometheus-header", "X-Other: b:c"];
        let options = Options::try_parse_from(["rbg-autoscaler"].iter().chain(&headers)).expect("valid");
        let headers = [("X-Scope-OrgID", "a"), ("X-Other", "b:c")];
        assert_eq!(
            options.prometheus_headers,
            headers.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert!(Options::try_parse_from(["rbg-autoscaler", "--prometheus-header", "a"]).is_err());
        let with = |address| Options::try_parse_from(["rbg-autoscaler", "--snapshots-listen", address]);
        assert_eq!(with("off").expect("valid").snapshots_listen, Loopback(None));
        assert!(with("[::1]:9000").is_ok());
        for wrong in ["0.0.0.0:8081", "10.0.0.7:8081", "8081"] {
            let told = with(wrong).expect_err(wrong).to_string();
            assert!(told.contains("127.0.0.1:8081"), "{told}");
        }
        let wrong =
            Options::try_parse_from(["rbg-autoscaler", "--log", "info,a=loud"]).expect_err("a wrong level");
        assert!(wrong.to_string().contains("'info,a=loud' for '--log <FILTER>'"), "{wrong}");
    }
}
