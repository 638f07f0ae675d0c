//! [`Fields`]: strict decoding of a mapping: every key must be known and stand once, and every mistake is told with
//! its path and line.

use std::{cell::RefCell, fmt::Display, time::Duration};

use crate::rules::yaml::{Kind, Node};

/// What is wrong with one rule, gathered while it is decoded.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<String>>);

impl Problems {
    /// Notes a problem at a path (which may be empty).
    pub fn add(&self, path: &str, problem: impl Display) {
        let text = if path.is_empty() { problem.to_string() } else { format!("{path}: {problem}") };
        self.0.borrow_mut().push(text);
    }

    /// Returns all problems, in the order in which they were found.
    pub fn into_inner(self) -> Vec<String> {
        self.0.into_inner()
    }

    /// Returns all problems as one text; `None` without any.
    pub fn message(self) -> Option<String> {
        let problems = self.into_inner();
        (!problems.is_empty()).then(|| problems.join("; "))
    }
}

/// A mapping whose keys were checked.
pub struct Fields<'a> {
    path: String,
    entries: &'a [(String, Node)],
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// Checks a mapping's keys; null counts as an empty one.
    pub fn of(node: &'a Node, path: &str, known: &[&str], problems: &'a Problems) -> Self {
        let entries = match &node.kind {
            Kind::Map(entries) => entries.as_slice(),
            _ if node.is_null() => &[],
            _ => {
                let found = node.kind_name();
                problems.add(path, format_args!("expected a mapping, found {found} (line {})", node.line));
                &[]
            }
        };
        let fields = Self { path: path.to_owned(), entries, problems };
        for (place, (key, node)) in entries.iter().enumerate() {
            let line = node.line;
            if entries[..place].iter().any(|(earlier, _)| earlier == key) {
                problems.add(&fields.join(key), format_args!("duplicate field (line {line})"));
            } else if !known.is_empty() && !known.contains(&key.as_str()) {
                let expected = known.join(", ");
                let problem = format!("unknown field (line {line}), expected one of {expected}");
                problems.add(&fields.join(key), problem);
            }
        }
        fields
    }

    /// Returns the path of a key.
    pub fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes a problem with a key's value.
    pub fn problem(&self, key: &str, problem: impl Display) {
        self.problems.add(&self.join(key), problem);
    }

    /// Returns a key's value, unless it is absent or null.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// Returns all pairs in the order of the file, the first of each key.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a Node)> {
        let entries = self.entries;
        let first = move |place: usize| entries[..place].iter().all(|(key, _)| *key != entries[place].0);
        (0..entries.len()).filter(move |place| first(*place)).map(move |place| {
            let (key, node) = &entries[place];
            (key.as_str(), node)
        })
    }

    /// Returns a scalar's text as it was written; empty when absent.
    pub fn text(&self, key: &str) -> String {
        let Some(node) = self.get(key) else { return String::new() };
        if let Kind::Scalar { text, .. } = &node.kind {
            return text.clone();
        }
        self.wrong(key, node, "a string");
        String::new()
    }

    /// Returns a text that must be there.
    pub fn required_text(&self, key: &str) -> String {
        let text = self.text(key);
        let is_scalar = self.get(key).is_none_or(|node| matches!(node.kind, Kind::Scalar { .. }));
        if text.is_empty() && is_scalar {
            self.problem(key, "is required");
        }
        text
    }

    /// Returns a boolean, in any of YAML 1.1's spellings.
    pub fn flag(&self, key: &str) -> Option<bool> {
        let node = self.get(key)?;
        if let Kind::Scalar { text, plain: true } = &node.kind {
            match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "on" => return Some(true),
                "false" | "no" | "n" | "off" => return Some(false),
                _ => {}
            }
        }
        self.wrong(key, node, "true or false");
        None
    }

    /// Returns a list's items; empty when absent.
    pub fn list(&self, key: &str) -> &'a [Node] {
        let Some(node) = self.get(key) else { return &[] };
        if let Kind::List(list) = &node.kind {
            return list;
        }
        self.wrong(key, node, "a list");
        &[]
    }

    /// Returns the fields of a mapping below; empty when absent.
    #[must_use]
    pub fn fields(&self, key: &str, known: &[&str]) -> Fields<'a> {
        match self.get(key) {
            Some(node) => Fields::of(node, &self.join(key), known, self.problems),
            None => Fields { path: self.join(key), entries: &[], problems: self.problems },
        }
    }

    /// Returns the fields of a list's item.
    #[must_use]
    pub fn item(&self, key: &str, node: &'a Node, known: &[&str]) -> Fields<'a> {
        Fields::of(node, &self.join(key), known, self.problems)
    }

    /// Returns a duration in Prometheus' form, such as `1m30s`; zero when absent.
    pub fn duration(&self, key: &str) -> Duration {
        if self.get(key).is_none() {
            return Duration::ZERO;
        }
        let text = self.text(key);
        parse_duration(&text).unwrap_or_else(|| {
            self.problem(key, format_args!("{text:?} is no duration; write for example 30s or 5m"));
            Duration::ZERO
        })
    }

    fn wrong(&self, key: &str, node: &Node, wanted: &str) {
        let problem = match &node.kind {
            Kind::Scalar { text, .. } => format!("expected {wanted}, found {text:?} (line {})", node.line),
            _ => format!("expected {wanted}, found {} (line {})", node.kind_name(), node.line),
        };
        self.problem(key, problem);
    }
}

/// Parses a Prometheus duration: units from years to milliseconds, largest first, each once; or `0`.
fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*millis)?)?;
        rest = tail;
    }
    Some(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::yaml;

    #[test]
    fn every_mistake_is_told_with_its_path() {
        let node =
            yaml::parse("a: [1]\nb: maybe\nc: x\nd: {e: 1, e: 2, f: 3}\nw: 5\nl: 1\n").expect("parses");
        let problems = Problems::default();
        let fields = Fields::of(&node, "top", &["a", "b", "d", "w", "l", "r"], &problems);
        fields.text("a");
        fields.flag("b");
        let _ = fields.fields("d", &["e"]);
        fields.duration("w");
        fields.list("l");
        fields.required_text("r");
        assert_eq!(
            problems.message().unwrap_or_default().split("; ").collect::<Vec<_>>(),
            [
                "top.c: unknown field (line 3), expected one of a, b, d, w, l, r",
                "top.a: expected a string, found a list (line 1)",
                "top.b: expected true or false, found \"maybe\" (line 2)",
                "top.d.e: duplicate field (line 4)",
                "top.d.f: unknown field (line 4), expected one of e",
                "top.w: \"5\" is no duration",
                "write for example 30s or 5m",
                "top.l: expected a list, found \"1\" (line 6)",
                "top.r: is required",
            ]
        );
    }

    #[test]
    fn scalars_are_read_as_go_reads_them() {
        let node = yaml::parse("s: 010\nn: ~\nt: yes\nf: Off\nq: 'true'\n").expect("parses");
        let problems = Problems::default();
        let fields = Fields::of(&node, "", &["s", "n", "t", "f", "q"], &problems);
        assert_eq!((fields.text("s").as_str(), fields.text("n").as_str()), ("010", ""));
        assert_eq!((fields.flag("t"), fields.flag("f"), fields.flag("n")), (Some(true), Some(false), None));
        assert_eq!(fields.flag("q"), None);
        assert!(problems.message().is_some_and(|message| message.starts_with("q: ")));
    }

    #[test]
    fn durations_are_those_of_prometheus() {
        for (text, want) in [
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("1m250ms", Some(60_250)),
            ("0", Some(0)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("5", None),
            ("m", None),
            ("5m5m", None),
            ("5s1m", None),
            ("1.5m", None),
            ("-1m", None),
            ("99999999999999999999y", None),
        ] {
            assert_eq!(parse_duration(text), want.map(Duration::from_millis), "{text:?}");
        }
    }
}
