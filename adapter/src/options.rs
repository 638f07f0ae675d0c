//! [`Options`]: the command line, a superset of prometheus-adapter's.

use std::{ffi::OsString, net::IpAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Parser, ValueEnum};

pub mod duration;
mod foreign;
mod namespaced_name;

pub use foreign::Foreign;
pub use namespaced_name::NamespacedName;

/// Serves LLM metrics to the Horizontal Pod Autoscaler as custom.metrics.k8s.io.
#[derive(Clone, Debug, Parser)]
#[command(name = "rbg-metrics-adapter", version, after_help = EXAMPLES, args_override_self = true)]
pub struct Options {
    /// Where metrics come from: Prometheus, or the pods themselves, scraped by this program.
    #[arg(long, value_enum, default_value_t = MetricsFrom::Prometheus, value_name = "SOURCE")]
    pub metrics_from: MetricsFrom,
    /// Where Prometheus, VictoriaMetrics, Thanos or Mimir answers; a path prefix is kept.
    #[arg(
        long,
        env = "PROMETHEUS_URL",
        default_value = "http://prometheus.monitoring:9090",
        value_name = "URL"
    )]
    pub prometheus_url: String,
    #[expect(missing_docs, reason = "a doc comment here would become the program's description")]
    #[command(flatten)]
    pub prometheus: Prometheus,
    /// How often each signal is collected.
    #[arg(long, default_value = "15s", value_name = "DURATION", value_parser = duration::parse)]
    pub interval: Duration,
    /// What rates are taken over: at least four scrapes; ratios and quantiles over five times as much.
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = duration::parse)]
    pub rate_window: Duration,
    /// Serve the signals as external metrics as well: external.metrics.k8s.io, which no other program may serve then.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true")]
    pub external_signals: bool,
    /// A file with rules (prometheus-adapter's form, or name and query), read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How often the series behind rules are listed.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = duration::parse)]
    pub metrics_relist_interval: Duration,
    /// Series not seen for this long are gone; 0 stands for the relist interval.
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = duration::parse)]
    pub metrics_max_age: Duration,
    #[expect(missing_docs, reason = "a doc comment here would become the program's description")]
    #[command(flatten)]
    pub serving: Serving,
    #[expect(missing_docs, reason = "a doc comment here would become the program's description")]
    #[command(flatten)]
    pub cluster: Cluster,
    #[expect(missing_docs, reason = "a doc comment here would become the program's description")]
    #[command(flatten)]
    pub access: Access,
    /// How much is logged: 0 what an operator must know, 4 each collection, 6 and more everything.
    #[arg(short = 'v', long = "v", default_value_t = 0, value_name = "LEVEL")]
    pub verbosity: u8,
    /// Ignored: the chart of prometheus-adapter repeats the program's name here.
    #[arg(hide = true)]
    pub ignored: Vec<String>,
}

/// Where metrics come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MetricsFrom {
    /// Prometheus or anything with its HTTP API.
    Prometheus,
    /// The pods of RoleBasedGroups and those annotated `prometheus.io/scrape: "true"`; built-in signals only, no rules.
    Direct,
}

/// How Prometheus is spoken to.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Prometheus")]
pub struct Prometheus {
    /// A header for every query, `name=value` or `name: value`; may be repeated.
    #[arg(long = "prometheus-header", value_name = "HEADER")]
    pub prometheus_headers: Vec<String>,
    /// The method of queries; long ones go by POST in any case.
    #[arg(long, default_value = "GET", ignore_case = true, value_name = "METHOD")]
    pub prometheus_verb: Verb,
    /// A file with a bearer token, read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub prometheus_token_file: Option<PathBuf>,
    /// Who signed Prometheus' certificate, PEM; the system's authorities when absent.
    #[arg(long, value_name = "FILE")]
    pub prometheus_ca_file: Option<PathBuf>,
    /// Our certificate towards Prometheus, PEM.
    #[arg(long, value_name = "FILE", requires = "prometheus_client_tls_key_file")]
    pub prometheus_client_tls_cert_file: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "prometheus_client_tls_cert_file")]
    pub prometheus_client_tls_key_file: Option<PathBuf>,
    /// Use the pod's service account towards Prometheus.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", conflicts_with = "prometheus_auth_config")]
    pub prometheus_auth_incluster: bool,
    /// A kubeconfig file whose token or certificate is used towards Prometheus.
    #[arg(long, value_name = "FILE")]
    pub prometheus_auth_config: Option<PathBuf>,
}

/// The method of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Verb {
    /// In the URL.
    #[value(name = "GET")]
    Get,
    /// In a form.
    #[value(name = "POST")]
    Post,
}

/// What is served where.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Serving")]
pub struct Serving {
    /// The address to listen on.
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub bind_address: IpAddr,
    /// The port to serve HTTPS on.
    #[arg(long, default_value_t = 443, value_name = "PORT")]
    pub secure_port: u16,
    /// The serving certificate, PEM, intermediates behind it, read again when it changes; a self-signed one is made when absent.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The serving certificate's key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// A Secret for a certificate and an authority of our own making, shared by all replicas and renewed in time; it must
    /// exist, and may be empty.
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "tls_service", conflicts_with_all = ["tls_cert_file", "cert_dir"])]
    pub tls_secret: Option<NamespacedName>,
    /// With that Secret: the Service that clients come through.
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "tls_secret")]
    pub tls_service: Option<NamespacedName>,
    /// With that Secret: an `APIService` that is told the authority (caBundle); may be repeated.
    #[arg(long = "tls-api-service", value_name = "NAME", requires = "tls_secret")]
    pub tls_api_services: Vec<String>,
    /// A folder that keeps the self-signed certificate; in memory only when absent.
    #[arg(long, value_name = "FOLDER")]
    pub cert_dir: Option<PathBuf>,
    /// The oldest TLS version: `VersionTLS12` or `VersionTLS13`.
    #[arg(long, default_value = "VersionTLS12", value_name = "VERSION",
        value_parser = ["", "VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"])]
    pub tls_min_version: String,
    /// Serve HTTP/1.1 only.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true")]
    pub disable_http2: bool,
}

/// How the API server is reached.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct Cluster {
    /// How to reach the API server; the pod's service account when absent.
    #[arg(long, visible_alias = "lister-kubeconfig", env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The same for questions of who somebody is.
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// The same for questions of what somebody may do.
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,
}

/// Who is believed and what they may do.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Access")]
pub struct Access {
    /// Who signs client certificates, PEM; what the cluster says when absent.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Who signs the front proxy's certificates, PEM; what the cluster says when absent.
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// With that file: common names the front proxy may have; any when empty.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub requestheader_allowed_names: Vec<String>,
    /// With that file: headers that hold the user's name.
    #[arg(long, value_delimiter = ',', default_value = "x-remote-user", value_name = "HEADERS")]
    pub requestheader_username_headers: Vec<String>,
    /// With that file: headers that hold the user's unique id.
    #[arg(long, value_delimiter = ',', default_value = "x-remote-uid", value_name = "HEADERS")]
    pub requestheader_uid_headers: Vec<String>,
    /// With that file: headers that hold the user's groups.
    #[arg(long, value_delimiter = ',', default_value = "x-remote-group", value_name = "HEADERS")]
    pub requestheader_group_headers: Vec<String>,
    /// With that file: beginnings of headers that hold other attributes of the user.
    #[arg(long, value_delimiter = ',', default_value = "x-remote-extra-", value_name = "PREFIXES")]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// Do not ask the cluster whose certificates count; only the files above do.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true")]
    pub authentication_skip_lookup: bool,
    /// Serve although the cluster does not say whose certificates count.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true")]
    pub authentication_tolerate_lookup_failure: bool,
    /// How long it is remembered whose a bearer token is.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration::parse)]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// Paths that everybody may read; a trailing * stands for anything.
    #[arg(long, value_delimiter = ',', default_value = "/healthz,/readyz,/livez", value_name = "PATHS")]
    pub authorization_always_allow_paths: Vec<String>,
    /// How long a permission is remembered: longer than the 15 s between two looks of the HPA controller.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = duration::parse)]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// How long a refusal is remembered.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration::parse)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
}

const EXAMPLES: &str = "Examples:
  In a cluster, with the Prometheus of namespace monitoring:
    rbg-metrics-adapter --prometheus-url http://prometheus.monitoring:9090 --secure-port 6443

  On a desk, against the cluster of a kubeconfig:
    rbg-metrics-adapter --kubeconfig ~/.kube/config --prometheus-url http://127.0.0.1:9090 --secure-port 6443

  Without any Prometheus, scraping the pods itself:
    rbg-metrics-adapter --metrics-from=direct --secure-port 6443

  What a file of rules would expose, without a cluster (rbg-metrics-adapter check --help):
    rbg-metrics-adapter check --config config.yaml --series series.json

  What a client gets:
    kubectl get --raw '/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/queue_length'

Flags of prometheus-adapter that have no meaning here (audit, klog) are accepted, with a warning.";

impl Options {
    /// Parses a command line as prometheus-adapter takes it; flags that have no meaning here are returned beside.
    pub fn parse_foreign(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(Self, Vec<Foreign>), clap::Error> {
        let (own, foreign) = foreign::split(arguments);
        Ok((Self::try_parse_from(own)?, foreign))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> (Options, Vec<String>) {
        let arguments = arguments.iter().map(OsString::from);
        let (options, foreign) = Options::parse_foreign(arguments).unwrap_or_else(|error| panic!("{error}"));
        (options, foreign.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_chart_of_prometheus_adapter_starts_it() {
        let (options, foreign) = parse(&[
            "/adapter",
            "/adapter",
            "--secure-port=6443",
            "--cert-dir=/tmp/cert",
            "--logtostderr=true",
            "--prometheus-url=http://prometheus.default.svc:9090",
            "--metrics-relist-interval=1m",
            "--v=4",
        ]);
        assert_eq!((options.serving.secure_port, options.verbosity), (6443, 4));
        assert_eq!(options.ignored, ["/adapter"]);
        assert_eq!(foreign, ["--logtostderr"]);
    }

    #[test]
    fn takes_every_form_of_a_flag() {
        let (options, foreign) = parse(&[
            "adapter",
            "--disable-http2",
            "--secure_port",
            "7443",
            "--prometheus-header=X-Scope-OrgID=a",
            "--prometheus-header",
            "X-Other: b",
            "--prometheus-verb=post",
            "--authentication-skip-lookup=false",
            "--audit-log-path",
            "-",
            "--profiling",
            "-v",
            "6",
        ]);
        assert!(options.serving.disable_http2 && !options.access.authentication_skip_lookup);
        assert_eq!((options.serving.secure_port, options.verbosity), (7443, 6));
        assert_eq!(options.prometheus.prometheus_headers, ["X-Scope-OrgID=a", "X-Other: b"]);
        assert_eq!(options.prometheus.prometheus_verb, Verb::Post);
        assert_eq!(foreign, ["--audit-log-path", "--profiling"]);
        assert!(Options::parse_foreign(["adapter", "--frobnicate"].map(OsString::from)).is_err());
    }

    /// As the charts of others write them: a flag of the chart and then the user's own, values that nobody has set.
    #[test]
    fn the_last_of_a_flag_counts_and_an_empty_one_does_not() {
        let (options, foreign) = parse(&[
            "adapter",
            "--metrics-relist-interval=1m",
            "--v=4",
            "--metrics-relist-interval=30s",
            "--v=6",
            "--config=",
            "--prometheus-auth-config=",
            "--prometheus-token-file=",
            "--client-ca-file=",
            "--requestheader-allowed-names=",
            "--tls-min-version=",
            "--tls-cipher-suites=",
            "--authorization-always-allow-paths=",
        ]);
        assert_eq!((options.metrics_relist_interval, options.verbosity), (Duration::from_secs(30), 6));
        assert_eq!((options.config, options.prometheus.prometheus_auth_config), (None, None));
        assert_eq!((options.prometheus.prometheus_token_file, options.access.client_ca_file), (None, None));
        assert!(options.access.requestheader_allowed_names.is_empty(), "any name, as upstream");
        assert_eq!(options.access.authorization_always_allow_paths, [""], "no path at all");
        assert_eq!(foreign, ["--tls-cipher-suites"]);
    }

    /// With the values that they have by default, mostly.
    const FLAGS: &[&str] = &[
        "config=/etc/adapter/config.yaml",
        "prometheus-url=https://localhost",
        "prometheus-auth-incluster=false",
        "prometheus-auth-config=",
        "prometheus-ca-file=",
        "prometheus-client-tls-cert-file=",
        "prometheus-client-tls-key-file=",
        "prometheus-token-file=",
        "prometheus-header=a=b",
        "prometheus-verb=GET",
        "metrics-relist-interval=10m0s",
        "metrics-max-age=0s",
        "disable-http2=false",
        "lister-kubeconfig=",
        "discovery-interval=0s",
        "client-qps=5",
        "client-burst=10",
        "bind-address=0.0.0.0",
        "secure-port=443",
        "cert-dir=apiserver.local.config/certificates",
        "tls-cert-file=",
        "tls-private-key-file=",
        "tls-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA,TLS_AES_128_GCM_SHA256",
        "tls-min-version=VersionTLS12",
        "tls-sni-cert-key=a.crt,a.key",
        "http2-max-streams-per-connection=0",
        "permit-port-sharing=false",
        "permit-address-sharing=false",
        "authentication-kubeconfig=",
        "authentication-skip-lookup=false",
        "authentication-token-webhook-cache-ttl=10s",
        "authentication-tolerate-lookup-failure=false",
        "client-ca-file=",
        "requestheader-allowed-names=",
        "requestheader-client-ca-file=",
        "requestheader-username-headers=x-remote-user",
        "requestheader-group-headers=x-remote-group",
        "requestheader-extra-headers-prefix=x-remote-extra-",
        "authorization-kubeconfig=",
        "authorization-always-allow-paths=/healthz,/readyz,/livez",
        "authorization-webhook-cache-authorized-ttl=10s",
        "authorization-webhook-cache-unauthorized-ttl=10s",
        "audit-policy-file=",
        "audit-log-path=-",
        "audit-log-maxage=0",
        "audit-log-maxbackup=0",
        "audit-log-maxsize=0",
        "audit-log-format=json",
        "audit-log-compress=false",
        "audit-log-mode=blocking",
        "audit-log-version=audit.k8s.io/v1",
        "audit-log-batch-buffer-size=10000",
        "audit-log-batch-max-size=1",
        "audit-log-batch-max-wait=0s",
        "audit-log-batch-throttle-burst=0",
        "audit-log-batch-throttle-enable=false",
        "audit-log-batch-throttle-qps=0",
        "audit-log-truncate-enabled=false",
        "audit-log-truncate-max-batch-size=10485760",
        "audit-log-truncate-max-event-size=102400",
        "audit-webhook-config-file=",
        "audit-webhook-initial-backoff=10s",
        "audit-webhook-mode=batch",
        "audit-webhook-version=audit.k8s.io/v1",
        "audit-webhook-batch-buffer-size=10000",
        "audit-webhook-batch-max-size=400",
        "audit-webhook-batch-max-wait=30s",
        "audit-webhook-batch-throttle-burst=15",
        "audit-webhook-batch-throttle-enable=true",
        "audit-webhook-batch-throttle-qps=10",
        "audit-webhook-truncate-enabled=false",
        "audit-webhook-truncate-max-batch-size=10485760",
        "audit-webhook-truncate-max-event-size=102400",
        "profiling=true",
        "contention-profiling=false",
        "debug-socket-path=",
        "enable-priority-and-fairness=false",
        "feature-gates=",
        "v=0",
        "vmodule=",
        "log-flush-frequency=5s",
        "logtostderr=true",
        "alsologtostderr=false",
        "log-backtrace-at=:0",
        "log-dir=",
        "log-file=",
        "log-file-max-size=1800",
        "one-output=false",
        "add-dir-header=false",
        "skip-headers=false",
        "skip-log-headers=false",
        "stderrthreshold=2",
    ];

    /// Each with the value that it has by default, and the switches without one as well.
    #[test]
    fn every_flag_of_prometheus_adapter_is_taken() {
        let mut arguments = vec!["adapter".to_owned()];
        arguments.extend(FLAGS.iter().map(|flag| format!("--{flag}")));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (options, _) = parse(&arguments);
        assert_eq!(options.config.as_deref(), Some(std::path::Path::new("/etc/adapter/config.yaml")));
        let switches = FLAGS.iter().filter(|flag| flag.ends_with("=true") || flag.ends_with("=false"));
        for switch in switches {
            let name = switch.split('=').next().unwrap_or_default();
            let (options, _) = parse(&["adapter", &format!("--{name}"), "--secure-port=7443"]);
            assert_eq!(options.serving.secure_port, 7443, "--{name} takes no value");
        }
        for flag in FLAGS
            .iter()
            .filter(|flag| !flag.ends_with("=true") && !flag.ends_with("=false") && !flag.ends_with('='))
        {
            let (name, value) = flag.split_once('=').unwrap_or_default();
            let (options, _) = parse(&["adapter", &format!("--{name}"), value, "--bind-address=::1"]);
            assert!(options.ignored.is_empty(), "--{name} takes the next argument as its value");
        }
    }
}
