//! [`Options`]: the command line, a superset of prometheus-adapter's.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Parser;

/// Serves LLM metrics to the Horizontal Pod Autoscaler as custom.metrics.k8s.io.
#[derive(Clone, Debug, Parser)]
#[command(name = "rbg-metrics-adapter", version, after_help = EXAMPLES)]
pub struct Options {
    /// Where Prometheus, VictoriaMetrics, Thanos or Mimir answers; a path prefix is kept.
    #[arg(
        long,
        env = "PROMETHEUS_URL",
        default_value = "http://prometheus.monitoring:9090",
        value_name = "URL"
    )]
    pub prometheus_url: String,
    /// How often each signal is collected.
    #[arg(long, default_value = "15s", value_name = "DURATION", value_parser = duration)]
    pub interval: Duration,
    /// What rates are taken over: at least four scrapes; ratios and quantiles over five times as much.
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = duration)]
    pub rate_window: Duration,
    /// The address to listen on.
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub bind_address: IpAddr,
    /// The port to serve HTTPS on.
    #[arg(long, default_value_t = 443, value_name = "PORT")]
    pub secure_port: u16,
    /// The serving certificate, PEM, intermediates behind it; a self-signed one is made when absent.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The serving certificate's key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Serve HTTP/1.1 only.
    #[arg(long)]
    pub disable_http2: bool,
    /// How to reach the API server; the pod's service account when absent.
    #[arg(long, visible_alias = "lister-kubeconfig", env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Paths that everybody may read; a trailing * stands for anything.
    #[arg(long, value_delimiter = ',', default_value = "/healthz,/readyz,/livez", value_name = "PATHS")]
    pub authorization_always_allow_paths: Vec<String>,
    /// How long it is remembered whose a bearer token is.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// How long a permission is remembered.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = duration)]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// How long a refusal is remembered.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
    /// How much is logged: 0 what an operator must know, 4 each collection, 6 and more everything.
    #[arg(short = 'v', long = "v", default_value_t = 0, value_name = "LEVEL")]
    pub verbosity: u8,
    /// Ignored: the chart of prometheus-adapter repeats the program's name here.
    #[arg(hide = true)]
    pub ignored: Vec<String>,
}

const EXAMPLES: &str = "Examples:
  In a cluster, with the Prometheus of namespace monitoring:
    rbg-metrics-adapter --prometheus-url http://prometheus.monitoring:9090 --secure-port 6443

  On a desk, against the cluster of a kubeconfig:
    rbg-metrics-adapter --kubeconfig ~/.kube/config --prometheus-url http://127.0.0.1:9090 --secure-port 6443

  What a client gets:
    kubectl get --raw '/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/queue_length'";

/// Parses a Go duration, such as `30s`, `1m30s` or `250ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is no duration; write for example 30s or 1m30s");
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest == "0" {
        return Ok(total);
    }
    if rest.is_empty() {
        return Err(refuse());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" | "µs" => 0.000_001,
            "ns" => 0.000_000_001,
            _ => return Err(refuse()),
        };
        let number: f64 = number.parse().map_err(|_| refuse())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| refuse())?;
        total = total.checked_add(part).ok_or_else(refuse)?;
        rest = tail;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_chart_of_prometheus_adapter_starts_it() {
        let options = Options::parse_from([
            "/adapter",
            "/adapter",
            "--secure-port=6443",
            "--v=4",
            "--prometheus-url=http://p:9090/",
        ]);
        assert_eq!((options.secure_port, options.verbosity), (6443, 4));
        assert_eq!(options.ignored, ["/adapter"]);
    }

    #[test]
    fn durations_are_go_s() {
        for (text, milliseconds) in
            [("15s", 15_000), ("1m30s", 90_000), ("250ms", 250), ("1.5h", 5_400_000), ("0", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "5", "s", "1x", "-1s", "1s2", "1..5s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
