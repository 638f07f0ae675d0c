//! The report as people read it: columns for metrics, indented lines for the rest.

use crate::{
    check::report::{Outcome, Report},
    request::EXTERNAL_GROUP,
};

/// Without a cluster only the usual kinds are known.
const KINDS: &str = "  Kinds that are not built into Kubernetes stand in the --series file: \
    \"resources\": [{\"group\": \"…\", \"kind\": \"…\", \"resource\": \"…\", \"namespaced\": true}]";

/// Returns the report as text; parts without content are left out, except the metrics.
pub(super) fn table(report: &Report) -> String {
    let mut lines = Vec::new();
    let mut rows = vec![["METRIC", "API", "NAMESPACED", "RULE", "SERIES"].map(str::to_owned).to_vec()];
    for metric in &report.exposed {
        let api = if metric.api == EXTERNAL_GROUP { "external" } else { "custom" };
        rows.push(vec![
            metric.name.clone(),
            api.to_owned(),
            metric.namespaced.to_string(),
            metric.rule.to_string(),
            metric.series.join(", "),
        ]);
    }
    if report.exposed.is_empty() {
        lines.push("No metrics are exposed.".to_owned());
    } else {
        lines.extend(columns(&rows));
    }
    if !report.idle.is_empty() {
        let idle: Vec<_> = report.idle.iter().map(ToString::to_string).collect();
        lines.push(String::new());
        lines.push(format!("No metrics from: {}; no series of --series is theirs", idle.join(", ")));
    }
    for (title, findings) in
        [("Errors (these rules are left out):", &report.errors), ("Warnings:", &report.warnings)]
    {
        if !findings.is_empty() {
            lines.push(String::new());
            lines.push(title.to_owned());
            lines.extend(findings.iter().map(|finding| format!("  {finding}")));
            if findings.iter().any(|finding| finding.message.contains("no kind of object")) {
                lines.push(KINDS.to_owned());
            }
        }
    }
    for request in &report.requests {
        lines.push(String::new());
        lines.push(request.path.clone());
        match &request.outcome {
            Outcome::Failed { error } => lines.push(format!("  {}", error.line())),
            Outcome::Planned { rule, queries, batch } => {
                lines.push(format!("  {rule}"));
                lines.extend(queries.iter().map(|query| format!("  query: {}", indented(query))));
                lines.extend(batch.iter().map(|query| format!("  batch: {}", indented(query))));
            }
        }
    }
    lines.join("\n") + "\n"
}

/// Keeps the lines of a long query together.
fn indented(query: &str) -> String {
    query.trim_end().replace('\n', "\n         ")
}

fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).filter_map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}
