//! [`Parser`]: the lines of a metrics page, in Prometheus' text format or `OpenMetrics`.
//!
//! Reads samples only: names, labels, values and explicit times. A malformed line is skipped and counted, since one broken metric
//! of an engine must not hide its others. Source: the formats' own specifications.

use std::borrow::Cow;

/// A sample line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// The series' name.
    pub name: &'a str,
    /// The labels as written, without the braces; equal texts are equal series.
    pub labels: &'a str,
    /// The value.
    pub value: f64,
    /// The time that the page itself gives, in seconds since the epoch.
    pub time: Option<f64>,
}

/// Iterates over the samples of a page.
pub struct Parser<'a> {
    rest: &'a str,
    is_open_metrics: bool,
    /// How many lines made no sense.
    pub malformed: usize,
}

impl<'a> Parser<'a> {
    /// Returns the samples of a page. `OpenMetrics` (see its content type) writes times in seconds, the text format in milliseconds.
    pub fn new(page: &'a str, is_open_metrics: bool) -> Self {
        Self { rest: page, is_open_metrics, malformed: 0 }
    }

    fn line(&self, line: &'a str) -> Option<Line<'a>> {
        let name_end = line.find(['{', ' ', '\t'])?;
        let (name, rest) = line.split_at(name_end);
        if !is_name(name) {
            return None;
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => {
                let end = labels_end(rest)?;
                (rest[..end].trim(), &rest[end + 1..])
            }
            None => ("", rest),
        };
        // An exemplar stands behind a `#`.
        let fields = rest.split_once(" # ").map_or(rest, |(fields, _)| fields);
        let mut fields = fields.split_ascii_whitespace();
        let value = number(fields.next()?)?;
        let scale = if self.is_open_metrics { 1.0 } else { 1000.0 };
        let time = fields.next().map(|time| time.parse::<f64>().map(|time| time / scale));
        let time = time.transpose().ok()?;
        fields.next().is_none().then_some(Line { name, labels, value, time })
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        while !self.rest.is_empty() {
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.rest = rest;
            let line = line.trim();
            if line == "# EOF" {
                self.rest = "";
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match self.line(line) {
                Some(line) => return Some(line),
                None => self.malformed += 1,
            }
        }
        None
    }
}

/// Splits the labels of a line into names and values; `None` when malformed.
pub fn labels(text: &str) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let mut labels = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once('=')?;
        let name = name.trim();
        if !is_name(name) {
            return None;
        }
        let value = quoted.trim_start().strip_prefix('"')?;
        let end = closing_quote(value)?;
        labels.push((name, unescape(&value[..end])));
        rest = value[end + 1..].trim_start();
        rest = match rest.strip_prefix(',') {
            Some(rest) => rest.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(labels)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '_' | ':'))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// Where the brace closes that is not inside quotes.
fn labels_end(text: &str) -> Option<usize> {
    let mut index = 0;
    loop {
        let found = index + text.get(index..)?.find(['"', '}'])?;
        if text.as_bytes()[found] == b'}' {
            return Some(found);
        }
        index = found + 1 + closing_quote(&text[found + 1..])? + 1;
    }
}

/// Where the quote closes that opened before `text`.
fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(index),
            _ => {}
        }
    }
    None
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some(escaped @ ('\\' | '"')) => plain.push(escaped),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(page: &str, is_open_metrics: bool) -> (Vec<Line<'_>>, usize) {
        let mut parser = Parser::new(page, is_open_metrics);
        let lines = parser.by_ref().collect();
        (lines, parser.malformed)
    }

    #[test]
    fn reads_samples() {
        let page = "# HELP a b\n# TYPE a gauge\na 1\nns:a{x=\"1\"} 2.5e3 1395066363000\r\n\
                    b{x=\"}\\\"\",y=\"\",} +Inf\nc{} NaN # {trace=\"1\"} 2\n\n  d\t7\n";
        let (lines, malformed) = read(page, false);
        let seen: Vec<_> = lines.iter().map(|line| (line.name, line.labels, line.value, line.time)).collect();
        assert_eq!(seen[0], ("a", "", 1.0, None));
        assert_eq!(seen[1], ("ns:a", "x=\"1\"", 2500.0, Some(1_395_066_363.0)));
        assert_eq!((seen[2].0, seen[2].1, seen[2].2), ("b", "x=\"}\\\"\",y=\"\",", f64::INFINITY));
        assert!(seen[3].0 == "c" && seen[3].2.is_nan());
        assert_eq!(seen[4], ("d", "", 7.0, None));
        assert_eq!((seen.len(), malformed), (5, 0));
    }

    #[test]
    fn open_metrics_has_seconds_and_an_end() {
        let (lines, _) = read("a_total 1 1395066363.5\n# EOF\nb 2\n", true);
        assert_eq!(lines, [Line { name: "a_total", labels: "", value: 1.0, time: Some(1_395_066_363.5) }]);
    }

    #[test]
    fn a_malformed_line_hides_no_other() {
        for bad in
            ["a", "a{x=\"1\" 1", "a{x=\"1} 1", "1a 1", "a x", "a 1 2 3", "a{x} 1 1 1", "a 1 x", "<html>"]
        {
            let page = format!("{bad}\nb 2\n");
            let (lines, malformed) = read(&page, false);
            assert_eq!((lines.len(), malformed), (1, 1), "{bad}");
        }
    }

    #[test]
    fn splits_labels() {
        let parsed = labels(r#"a="1", b = "x\"y\\z\n\q" ,c="","#).expect("well-formed");
        let parsed: Vec<_> = parsed.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        assert_eq!(parsed, [("a", "1"), ("b", "x\"y\\z\n\\q"), ("c", "")]);
        for bad in ["a", "a=1", "a=\"1", "a=\"1\" b=\"2\"", "=\"1\"", ","] {
            assert_eq!(labels(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(page in "[a-z{}\"\\\\=, #0-9.\\n+é-]{0,80}") {
            for line in Parser::new(&page, false) {
                let _ = labels(line.labels);
            }
        }
    }
}
