//! `/livez`, `/healthz` and `/readyz`: whether the process lives, and whether it can answer at all.
//!
//! The source of metrics does not count: an outage of it must not take the API away, or every kubectl would complain. With `?verbose`
//! it is told all the same, and so is what the configuration leaves out. Anybody may read these paths, so neither addresses nor
//! causes stand there: those are in the log and in the answers to who may ask for metrics.

use std::{fmt::Write as _, sync::Arc};

use axum::extract::State;
use http::{StatusCode, Uri};

use crate::{
    app::App,
    request::{EXTERNAL_GROUP, RESOURCE_GROUP, target::Target},
};

/// One thing that must be so.
struct Check {
    name: &'static str,
    passed: bool,
    /// What it means that it is not.
    why: &'static str,
}

const PING: Check = Check { name: "ping", passed: true, why: "" };

/// Says that the process lives.
pub async fn live(uri: Uri) -> (StatusCode, String) {
    report(&[PING], &[], &uri)
}

/// Says whether requests can be answered.
pub async fn ready(State(app): State<Arc<App>>, uri: Uri) -> (StatusCode, String) {
    let pods = Check { name: "pods", passed: app.pods.is_synced(), why: "not listed yet" };
    let authentication = Check {
        name: "authentication",
        passed: app.trust.borrow().is_some(),
        why: "the ConfigMap of the aggregation layer is not read yet",
    };
    report(&[PING, pods, authentication], &notes(&app), &uri)
}

/// Writes what kube-apiserver's own checks write: `ok`, or a line for each check with `?verbose` and when one has failed.
///
/// `/readyz/NAME` is about one check alone; `?exclude=NAME` leaves one out.
fn report(checks: &[Check], notes: &[String], uri: &Uri) -> (StatusCode, String) {
    let target = Target::parse(uri.path_and_query().map_or("/", |path| path.as_str())).unwrap_or_default();
    let (path, only) = match target.segments() {
        [path] => (path.as_str(), None),
        [path, only] => (path.as_str(), Some(only)),
        _ => return no_such_check(),
    };
    if let Some(only) = only {
        return match checks.iter().find(|check| check.name == only) {
            None => no_such_check(),
            Some(check) if check.passed => (StatusCode::OK, "ok".to_owned()),
            Some(check) => {
                (StatusCode::SERVICE_UNAVAILABLE, format!("{} failed: {}\n", check.name, check.why))
            }
        };
    }
    let excluded: Vec<&str> = target.all("exclude").collect();
    let is_excluded = |check: &&Check| excluded.contains(&check.name);
    let has_passed = checks.iter().all(|check| check.passed || is_excluded(&check));
    let code = if has_passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let is_verbose = target.first("verbose").is_some_and(|verbose| !matches!(verbose, "0" | "false"));
    if has_passed && !is_verbose {
        return (code, "ok".to_owned());
    }
    let mut text = String::new();
    for check in checks {
        let Check { name, why, .. } = check;
        let _ = match (is_excluded(&check), check.passed) {
            (true, _) => writeln!(text, "[+]{name} excluded: ok"),
            (false, true) => writeln!(text, "[+]{name} ok"),
            (false, false) => writeln!(text, "[-]{name} failed: {why}"),
        };
    }
    for name in excluded.iter().filter(|name| !checks.iter().any(|check| check.name == **name)) {
        let _ = writeln!(text, "warn: there is no check {name:?} to exclude");
    }
    for note in notes.iter().filter(|_| is_verbose) {
        let _ = writeln!(text, "[ ]{note}");
    }
    let verdict = if has_passed { "passed" } else { "failed" };
    let _ = writeln!(text, "{path} check {verdict}");
    (code, text)
}

fn no_such_check() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "404 page not found\n".to_owned())
}

/// What an operator may want to know although it does not count.
fn notes(app: &App) -> Vec<String> {
    let snapshot = app.collector.snapshot();
    let mut failing: Vec<String> = snapshot
        .readings()
        .filter_map(|(signal, reading)| Some(format!("{signal} ({})", reading.error.as_ref()?.class())))
        .collect();
    failing.sort();
    let mut notes = Vec::new();
    if !failing.is_empty() {
        notes.push(format!("the source of metrics is failing: {}", failing.join(", ")));
    }
    let book = app.engine.book();
    let asks = book.as_ref().map(|book| book.rules().asks).unwrap_or_default();
    let is_external = asks.external || app.external_signals;
    for (asked, group, key) in
        [(is_external, EXTERNAL_GROUP, "externalRules"), (asks.usage, RESOURCE_GROUP, "resourceRules")]
    {
        if !asked {
            notes.push(format!("{group} is not served: the configuration has no {key}"));
        }
    }
    for finding in book.iter().flat_map(|book| &book.rules().errors) {
        notes.push(format!("left out: {finding}"));
    }
    notes
}
