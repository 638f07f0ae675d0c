//! [`Row`]: one workload as a line of the demo's live table, and the table itself as text.

use std::fmt::Write as _;

/// One workload at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// `chat/engine`.
    pub name: String,
    /// What one step is, such as `1 × 4 pods`.
    pub step: String,
    /// Requests arriving, per simulated second.
    pub rate: f64,
    /// Requests waiting, at the gateway and in engines.
    pub queue: u32,
    /// Replicas that serve.
    pub ready: u32,
    /// Replicas asked for.
    pub replicas: u32,
    /// Replicas decided on.
    pub desired: u32,
    /// The last decision in words.
    pub decision: String,
}

/// Returns the table as lines, as wide as `width` columns at most; the decision is what gives way.
pub fn render(title: &str, rows: &[Row], width: usize) -> String {
    let name = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(8);
    let step = rows.iter().map(|row| row.step.chars().count()).max().unwrap_or(0).max(4);
    let mut text = format!("{}\n", clip(title, width));
    let head = format!(
        "{:name$}  {:step$}  {:>6}  {:>6}  {:>14}  {}",
        "WORKLOAD", "STEP", "REQ/S", "QUEUE", "READY/REPLICAS", "LAST DECISION"
    );
    let _ = writeln!(text, "{}", clip(&head, width));
    for row in rows {
        let replicas = if row.desired == row.replicas {
            format!("{}/{}", row.ready, row.replicas)
        } else {
            format!("{}/{} → {}", row.ready, row.replicas, row.desired)
        };
        let line = format!(
            "{:name$}  {:step$}  {:>6.1}  {:>6}  {replicas:>14}  {}",
            row.name, row.step, row.rate, row.queue, row.decision
        );
        let _ = writeln!(text, "{}", clip(&line, width));
    }
    text
}

/// Returns the text cut to `width` characters, with an ellipsis where something was cut.
fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(width.saturating_sub(1)).collect();
    clipped.push('…');
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_long_decisions_are_cut() {
        let row = Row {
            name: "chat/engine".into(),
            step: "1 × 4 pods".into(),
            rate: 12.34,
            queue: 7,
            ready: 3,
            replicas: 3,
            desired: 3,
            decision: "queue_length: 12 per replica".into(),
        };
        let moving = Row { name: "plain".into(), desired: 5, ..row.clone() };
        let text = render("demo", &[row, moving], 80);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "WORKLOAD     STEP         REQ/S   QUEUE  READY/REPLICAS  LAST DECISION");
        assert_eq!(
            lines[2],
            "chat/engine  1 × 4 pods    12.3       7             3/3  queue_length: 12 per r…"
        );
        assert_eq!(
            lines[3],
            "plain        1 × 4 pods    12.3       7         3/3 → 5  queue_length: 12 per r…"
        );
    }
}
