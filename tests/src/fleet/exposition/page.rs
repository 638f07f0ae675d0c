//! [`Page`]: writes the Prometheus text format as the Python client library does.

use std::fmt::Write;

use crate::fleet::histogram::Histogram;

/// Labels in any order; they are printed sorted.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// A page of metrics being written.
#[derive(Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn header(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(
        &mut self,
        name: &str,
        suffix: &str,
        labels: Labels<'_>,
        extra: Option<(&str, &str)>,
        value: f64,
    ) {
        let mut pairs: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, *value)).collect();
        pairs.extend(extra);
        pairs.sort_unstable();
        self.text.push_str(name);
        self.text.push_str(suffix);
        for (index, (label, text)) in pairs.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"{text}\"");
        }
        self.text.push_str(if pairs.is_empty() { " " } else { "} " });
        write_value(&mut self.text, value);
        self.text.push('\n');
    }

    /// Writes a gauge with one series.
    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        self.header(name, "gauge", help);
        self.line(name, "", labels, None, value);
    }

    /// Writes a gauge with one series per value of `split`.
    pub(super) fn split_gauge(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        split: &str,
        values: &[(&str, f64)],
    ) {
        self.header(name, "gauge", help);
        for (part, value) in values {
            self.line(name, "", labels, Some((split, part)), *value);
        }
    }

    /// Writes a counter; `name` is without `_total`. With `created`, its companion gauge follows.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        value: f64,
        created: Option<f64>,
    ) {
        self.header(&format!("{name}_total"), "counter", help);
        self.line(name, "_total", labels, None, value);
        if let Some(created) = created {
            self.header(&format!("{name}_created"), "gauge", help);
            self.line(name, "_created", labels, None, created);
        }
    }

    /// Writes a counter with one series per value of `split`.
    pub(super) fn split_counter(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        (split, values): (&str, &[(&str, f64)]),
        created: Option<f64>,
    ) {
        self.header(&format!("{name}_total"), "counter", help);
        for (part, value) in values {
            self.line(name, "_total", labels, Some((split, part)), *value);
        }
        let Some(created) = created else { return };
        self.header(&format!("{name}_created"), "gauge", help);
        for (part, _) in values {
            self.line(name, "_created", labels, Some((split, part)), created);
        }
    }

    /// Writes a histogram.
    pub(super) fn histogram(&mut self, name: &str, help: &str, labels: Labels<'_>, histogram: &Histogram) {
        self.header(name, "histogram", help);
        let mut bound_text = String::new();
        for (bound, count) in histogram.cumulative() {
            bound_text.clear();
            write_value(&mut bound_text, bound);
            self.line(name, "_bucket", labels, Some(("le", &bound_text)), float(count));
        }
        self.line(name, "_bucket", labels, Some(("le", "+Inf")), float(histogram.count()));
        self.line(name, "_sum", labels, None, histogram.sum());
        self.line(name, "_count", labels, None, float(histogram.count()));
    }
}

/// Writes a number the way Python does: `1.0`, `0.05`, `NaN`, `+Inf`.
fn write_value(text: &mut String, value: f64) {
    let _ = match value {
        f64::INFINITY => write!(text, "+Inf"),
        f64::NEG_INFINITY => write!(text, "-Inf"),
        _ => write!(text, "{value:?}"),
    };
}

/// Returns a count as a sample value; exact below 2^53.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "sample values are floats by definition"
)]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}
