//! `/livez`, `/healthz` and `/readyz`: whether the process lives, and whether it can answer at all.
//!
//! The source of metrics does not count: an outage of it must not take the API away, or every kubectl would complain. With `?verbose`
//! it is told all the same, and so is what the configuration leaves out.

use std::{fmt::Write as _, sync::Arc};

use axum::extract::State;
use http::{StatusCode, Uri};

use crate::{
    app::App,
    request::{EXTERNAL_GROUP, RESOURCE_GROUP, target::Target},
};

/// Says that the process lives.
pub async fn live(uri: Uri) -> String {
    if is_verbose(&uri) { format!("[+]ping ok\n{} check passed\n", name(&uri)) } else { "ok".to_owned() }
}

/// Says whether requests can be answered.
pub async fn ready(State(app): State<Arc<App>>, uri: Uri) -> (StatusCode, String) {
    let checks = [
        ("pods", app.pods.is_synced(), "not listed yet"),
        (
            "authentication",
            app.trust.borrow().is_some(),
            "the ConfigMap of the aggregation layer is not read yet",
        ),
    ];
    let passed = checks.iter().all(|(_, passed, _)| *passed);
    let code = if passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !is_verbose(&uri) {
        if passed {
            return (code, "ok".to_owned());
        }
        let failed = checks.iter().filter(|(_, passed, _)| !passed);
        let lines: Vec<String> = failed.map(|(name, _, why)| format!("{name}: {why}\n")).collect();
        return (code, lines.concat());
    }
    let mut text = String::new();
    for (name, passed, why) in checks {
        let _ =
            if passed { writeln!(text, "[+]{name} ok") } else { writeln!(text, "[-]{name} failed: {why}") };
    }
    for note in notes(&app) {
        let _ = writeln!(text, "[ ]{note}");
    }
    let verdict = if passed { "passed" } else { "failed" };
    let _ = writeln!(text, "{} check {verdict}", name(&uri));
    (code, text)
}

/// What an operator may want to know although it does not count.
fn notes(app: &App) -> Vec<String> {
    let snapshot = app.collector.snapshot();
    let mut failing: Vec<String> = snapshot
        .readings()
        .filter_map(|(signal, reading)| Some(format!("{signal}: {}", reading.error.as_ref()?)))
        .collect();
    failing.sort();
    let mut notes = vec![if failing.is_empty() {
        format!("source: {}", app.collector.source_name())
    } else {
        format!("source is failing: {}", failing.join("; "))
    }];
    let book = app.engine.book();
    let asks = book.as_ref().map(|book| book.rules().asks).unwrap_or_default();
    for (asked, group, key) in
        [(asks.external, EXTERNAL_GROUP, "externalRules"), (asks.usage, RESOURCE_GROUP, "resourceRules")]
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

fn is_verbose(uri: &Uri) -> bool {
    let target = Target::parse(uri.path_and_query().map_or("/", |path| path.as_str())).unwrap_or_default();
    target.first("verbose").is_some_and(|verbose| !matches!(verbose, "0" | "false"))
}

fn name(uri: &Uri) -> &str {
    uri.path().trim_matches('/')
}
