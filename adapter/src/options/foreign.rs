//! Flags of prometheus-adapter that mean nothing here, taken out so that a deployment of it starts ours unchanged.

use std::{ffi::OsString, fmt};

/// A flag that was given and is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    name: String,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.name)
    }
}

/// Flags without a value of their own unless it is joined by `=`.
const SWITCHES: &[&str] = &[
    "add-dir-header",
    "alsologtostderr",
    "audit-log-batch-throttle-enable",
    "audit-log-compress",
    "audit-log-truncate-enabled",
    "audit-webhook-batch-throttle-enable",
    "audit-webhook-truncate-enabled",
    "contention-profiling",
    "enable-priority-and-fairness",
    "logtostderr",
    "one-output",
    "permit-address-sharing",
    "permit-port-sharing",
    "profiling",
    "skip-headers",
    "skip-log-headers",
];

/// Flags with a value.
const WITH_VALUE: &[&str] = &[
    "audit-policy-file",
    "client-burst",
    "client-qps",
    "debug-socket-path",
    "discovery-interval",
    "feature-gates",
    "http2-max-streams-per-connection",
    "log-backtrace-at",
    "log-dir",
    "log-file",
    "log-file-max-size",
    "log-flush-frequency",
    "logging-format",
    "stderrthreshold",
    "tls-cipher-suites",
    "tls-sni-cert-key",
    "vmodule",
];

/// Flags that are set by everybody who deploys prometheus-adapter and whose loss nobody needs to hear of.
const SILENT: &[&str] = &["discovery-interval"];

/// Our flags for which an empty value says something: nobody, rather than the default.
const MAY_BE_EMPTY: &[&str] = &["authorization-always-allow-paths"];

/// Returns the arguments that are ours, underscores in flags' names turned to dashes, and the foreign flags.
pub fn split(arguments: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<Foreign>) {
    let (mut own, mut foreign) = (Vec::new(), Vec::new());
    let mut arguments = arguments.into_iter();
    own.extend(arguments.next());
    while let Some(argument) = arguments.next() {
        let Some(flag) = argument.to_str().and_then(|text| text.strip_prefix("--")) else {
            own.push(argument);
            continue;
        };
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        let name = name.replace('_', "-");
        let is_switch = SWITCHES.contains(&name.as_str());
        let has_value = WITH_VALUE.contains(&name.as_str())
            || (!is_switch && (name.starts_with("audit-log-") || name.starts_with("audit-webhook-")));
        if !is_switch && !has_value {
            // An empty text is what prometheus-adapter's flags are when nobody sets them.
            if value == Some("") && !MAY_BE_EMPTY.contains(&name.as_str()) {
                continue;
            }
            own.push(value.map_or_else(|| format!("--{name}"), |value| format!("--{name}={value}")).into());
            continue;
        }
        if has_value && value.is_none() {
            arguments.next();
        }
        if !SILENT.contains(&name.as_str()) {
            foreign.push(Foreign { name });
        }
    }
    (own, foreign)
}
