//! [`Node`]: a YAML document as a tree that keeps what strict decoding needs: lines, duplicate keys, plain scalars.
//!
//! One bad rule must not take the others with it, so the document is first a tree and each rule is decoded alone.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

/// No configuration file is larger.
const MAX_LENGTH: usize = 4 * 1024 * 1024;
/// Nothing nests deeper.
const MAX_DEPTH: usize = 64;
/// Aliases count each time they are used, so that they cannot multiply without end.
const MAX_NODES: usize = 200_000;

/// A value of the document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The line it starts on, from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A scalar as it was written; `plain` when it had no quotes, so that `null` and `true` mean something.
    Scalar {
        /// Its text.
        text: String,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file, duplicate keys kept.
    Map(Vec<(String, Node)>),
}

/// Why a text is no YAML document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct YamlError {
    line: usize,
    message: String,
}

impl Node {
    /// Says whether the value is null, as an empty or a plain `null` is.
    pub fn is_null(&self) -> bool {
        let Kind::Scalar { text, plain } = &self.kind else { return false };
        *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// Returns what a person would call the value's kind.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } => "a scalar",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

/// Reads the first document of a text; an empty text is a null.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    if text.len() > MAX_LENGTH {
        return Err(YamlError { line: 1, message: format!("more than {MAX_LENGTH} bytes") });
    }
    let mut reader =
        Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, line: 1 };
    loop {
        match reader.next()? {
            None | Some(Event::StreamEnd | Event::DocumentEnd) => return Ok(null(1)),
            Some(Event::StreamStart | Event::DocumentStart(..)) => {}
            Some(event) => {
                let node = reader.node(event, 0)?;
                // What follows in the document must be readable as well.
                while !matches!(reader.next()?, None | Some(Event::DocumentEnd | Event::StreamEnd)) {}
                return Ok(node);
            }
        }
    }
}

fn null(line: usize) -> Node {
    Node { line, kind: Kind::Scalar { text: String::new(), plain: true } }
}

struct Reader<'a, E: Iterator<Item = Result<(Event<'a>, Span), granit_parser::ScanError>>> {
    events: E,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    line: usize,
}

impl<'a, E: Iterator<Item = Result<(Event<'a>, Span), granit_parser::ScanError>>> Reader<'a, E> {
    fn next(&mut self) -> Result<Option<Event<'a>>, YamlError> {
        loop {
            match self.events.next() {
                None => return Ok(None),
                Some(Ok((event, span))) => {
                    self.line = span.start.line();
                    if !matches!(event, Event::Comment(..)) {
                        return Ok(Some(event));
                    }
                }
                Some(Err(error)) => {
                    self.line = error.marker().line();
                    return Err(self.refused(error.info()));
                }
            }
        }
    }

    fn refused(&self, message: impl Into<String>) -> YamlError {
        YamlError { line: self.line, message: message.into() }
    }

    fn count(&mut self, nodes: usize) -> Result<(), YamlError> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(self.refused("too many values"));
        }
        Ok(())
    }

    fn child(&mut self, depth: usize) -> Result<Option<Node>, YamlError> {
        match self.next()? {
            None => Err(self.refused("unexpected end")),
            Some(Event::SequenceEnd | Event::MappingEnd) => Ok(None),
            Some(event) => self.node(event, depth).map(Some),
        }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, YamlError> {
        self.count(1)?;
        if depth > MAX_DEPTH {
            return Err(self.refused("nested too deeply"));
        }
        let line = self.line;
        let (anchor, kind) = match event {
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.ok_or_else(|| self.refused("an alias inside its own anchor"))?;
                self.count(size(&node))?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
                let plain = style == ScalarStyle::Plain && !quoted;
                (anchor, Kind::Scalar { text: text.into_owned(), plain })
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut list = Vec::new();
                while let Some(node) = self.child(depth + 1)? {
                    list.push(node);
                }
                (anchor, Kind::List(list))
            }
            Event::MappingStart(_, anchor, _) => (anchor, self.map(depth)?),
            _ => return Err(self.refused("unexpected YAML")),
        };
        let node = Node { line, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Kind, YamlError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut merged = Vec::new();
        while let Some(key) = self.child(depth + 1)? {
            let Some(value) = self.child(depth + 1)? else {
                return Err(self.refused("a key without a value"));
            };
            match key.kind {
                Kind::Scalar { text, plain: true } if text == "<<" => merged.push(value),
                Kind::Scalar { text, .. } => entries.push((text, value)),
                _ => return Err(self.refused("a key must be a scalar")),
            }
        }
        for value in merged {
            let maps = match value.kind {
                Kind::List(list) => list,
                _ => vec![value],
            };
            for map in maps {
                let Kind::Map(pairs) = map.kind else {
                    return Err(self.refused("a merge key needs a mapping"));
                };
                for (key, value) in pairs {
                    if entries.iter().all(|(known, _)| *known != key) {
                        entries.push((key, value));
                    }
                }
            }
        }
        Ok(Kind::Map(entries))
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar { .. } => 0,
        Kind::List(list) => list.iter().map(size).sum(),
        Kind::Map(map) => map.iter().map(|(_, node)| size(node)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A short form: scalars quoted when they were, lists and maps as in flow style.
    fn show(node: &Node) -> String {
        match &node.kind {
            Kind::Scalar { text, plain: true } => text.clone(),
            Kind::Scalar { text, .. } => format!("{text:?}"),
            Kind::List(list) => format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(", ")),
            Kind::Map(map) => {
                let pairs: Vec<_> = map.iter().map(|(key, node)| format!("{key}: {}", show(node))).collect();
                format!("{{{}}}", pairs.join(", "))
            }
        }
    }

    #[test]
    fn reads_documents() {
        for (text, want) in [
            ("", ""),
            ("# nothing\n", ""),
            ("---\na: 1\n---\nb: 2\n", "{a: 1}"),
            ("a: [1, '1', \"x\", ~, null]\n", "{a: [1, \"1\", \"x\", ~, null]}"),
            ("a: 1\na: 2\n", "{a: 1, a: 2}"),
            ("a: !!str true\n", "{a: \"true\"}"),
            ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{a: \"x\\ny\\n\", b: \"x y\"}"),
            ("a: &x {b: 1}\nc: *x\n", "{a: {b: 1}, c: {b: 1}}"),
            ("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n", "{a: {b: 1, c: 2}, d: {b: 3, c: 2}}"),
            ("{\"a\": {\"b\": [1]}}", "{a: {b: [1]}}"),
            ("q: '<<.Series>>'\n", "{q: \"<<.Series>>\"}"),
        ] {
            assert_eq!(show(&parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))), want, "{text:?}");
        }
    }

    #[test]
    fn knows_lines_and_nulls() {
        let node = parse("a:\n- b: 1\n- c:\n").expect("parses");
        let Kind::Map(map) = node.kind else { panic!("a mapping") };
        let Kind::List(list) = &map[0].1.kind else { panic!("a list") };
        assert_eq!((list[0].line, list[1].line), (2, 3));
        assert!(parse("~").expect("parses").is_null() && !parse("'~'").expect("parses").is_null());
    }

    #[test]
    fn refuses_what_is_no_yaml() {
        for text in ["a: \"b", "a: [", "a: b: c", "a: *nope", "? [a]\n: b", "a: {<<: 1}", "a: &x [*x]"] {
            assert!(parse(text).is_err(), "{text:?} must be refused");
        }
        assert!(parse(&"[".repeat(1000)).is_err());
        let doubled = |i: i32| format!("a{i}: &a{i} [*a{0}, *a{0}]", i - 1);
        let bomb: Vec<_> = (1..60).map(doubled).collect();
        assert!(parse(&format!("a0: &a0 x\n{}\n", bomb.join("\n"))).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-c:\\[\\]{}\\-?&*!|>'\"%@# \\n\\t,<]{0,60}") {
            let _ = parse(&text);
        }
    }
}
