//! [`SeriesSelector`]: a `seriesQuery`, as Prometheus reads `match[]`, and the series it selects.

use std::{collections::BTreeMap, fmt};

use crate::rules::{go_regex::GoRegex, quote::go_quote, template::unquote::unquote};

/// The label that holds a series' name.
pub const NAME_LABEL: &str = "__name__";

/// What discovery keeps of a series: its name and the names of its labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesShape {
    /// The series' name.
    pub name: String,
    /// The labels' names, without `__name__`.
    pub labels: Vec<String>,
}

/// A vector selector without anything behind it.
#[derive(Clone, Debug)]
pub struct SeriesSelector {
    text: String,
    /// One of these groups must match; only VictoriaMetrics' `or` makes more than one.
    groups: Vec<Vec<Matcher>>,
}

/// A matcher on one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label's name.
    pub label: String,
    /// How the value is compared.
    pub op: MatchOp,
    /// What it is compared with.
    pub value: String,
    regex: Option<GoRegex>,
}

/// The operators of matchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Match,
    /// `!~`
    NotMatch,
}

/// Why a text is no series selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SeriesSelectorError {
    message: String,
}

impl MatchOp {
    /// Returns the operator's sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Match => "=~",
            Self::NotMatch => "!~",
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.label, self.op.sign(), go_quote(&self.value))
    }
}

impl Matcher {
    fn new(label: String, op: MatchOp, value: String) -> Result<Self, String> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Match | MatchOp::NotMatch => {
                Some(GoRegex::anchored(&value).map_err(|error| error.to_string())?)
            }
        };
        Ok(Self { label, op, value, regex })
    }

    /// Says whether a label's value matches; an absent label has the empty value.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::NotEqual, _) => self.value != value,
            (MatchOp::Match, Some(regex)) => regex.is_match(value),
            (MatchOp::NotMatch, Some(regex)) => !regex.is_match(value),
            _ => self.value == value,
        }
    }
}

impl SeriesSelector {
    /// Parses a selector such as `queue_length{namespace!="",pod!=""}`.
    pub fn parse(text: &str) -> Result<Self, SeriesSelectorError> {
        let refused = |message| SeriesSelectorError { message };
        let mut parser = Parser { rest: text };
        let groups = parser.selector().map_err(refused)?;
        Ok(Self { text: text.to_owned(), groups })
    }

    /// Returns the selector as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the matchers that must all hold; none when there are alternatives.
    pub fn matchers(&self) -> &[Matcher] {
        if let [group] = self.groups.as_slice() { group } else { &[] }
    }

    /// Says whether a series (all its labels, the name among them) is selected.
    pub fn matches(&self, series: &BTreeMap<String, String>) -> bool {
        let holds =
            |matcher: &Matcher| matcher.matches(series.get(&matcher.label).map_or("", String::as_str));
        self.groups.iter().any(|group| group.iter().all(holds))
    }
}

struct Parser<'a> {
    rest: &'a str,
}

type Parsed<T> = Result<T, String>;

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Parsed<Vec<Vec<Matcher>>> {
        self.space();
        let name = self.word(|c| c == ':');
        let mut groups = Vec::new();
        if self.sign("{") {
            groups = self.groups()?;
        } else if name.is_empty() {
            return Err("expected a series name or {".to_owned());
        }
        if !self.rest.is_empty() {
            return Err(format!("unexpected text behind the selector: {}", head(self.rest)));
        }
        if groups.is_empty() {
            groups.push(Vec::new());
        }
        for group in &mut groups {
            if !name.is_empty() {
                if let Some(second) = group.iter().find(|matcher| matcher.label == NAME_LABEL) {
                    let names = (name, &second.value);
                    return Err(format!("the series name is given twice: {names:?}"));
                }
                group.insert(0, Matcher::new(NAME_LABEL.to_owned(), MatchOp::Equal, name.to_owned())?);
            }
            if group.iter().all(|matcher| matcher.matches("")) {
                return Err("at least one matcher must not match the empty value".to_owned());
            }
        }
        Ok(groups)
    }

    fn groups(&mut self) -> Parsed<Vec<Vec<Matcher>>> {
        let mut groups = vec![Vec::new()];
        loop {
            if self.sign("}") {
                return Ok(groups);
            }
            let matcher = self.matcher()?;
            if let Some(group) = groups.last_mut() {
                group.push(matcher);
            }
            if self.sign(",") {
                continue;
            }
            if self.rest.starts_with("or ") || self.rest.starts_with("OR ") {
                self.rest = &self.rest[2..];
                self.space();
                groups.push(Vec::new());
            } else if !self.rest.starts_with('}') {
                return Err(format!("expected ',' or '}}', found {}", head(self.rest)));
            }
        }
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let quoted = self.rest.starts_with(['"', '\'', '`']);
        let label = if quoted { self.string()? } else { self.word(|_| false).to_owned() };
        if label.is_empty() {
            return Err(format!("expected a label name, found {}", head(self.rest)));
        }
        let op = [
            ("=~", MatchOp::Match),
            ("!~", MatchOp::NotMatch),
            ("!=", MatchOp::NotEqual),
            ("=", MatchOp::Equal),
        ]
        .into_iter()
        .find_map(|(sign, op)| self.sign(sign).then_some(op));
        let Some(op) = op else {
            // A quoted text alone is the series' name.
            if quoted {
                return Matcher::new(NAME_LABEL.to_owned(), MatchOp::Equal, label);
            }
            return Err(format!("expected an operator behind {label:?}"));
        };
        if !self.rest.starts_with(['"', '\'', '`']) {
            return Err(format!("expected a quoted value for {label:?}"));
        }
        let value = self.string()?;
        Matcher::new(label, op, value)
    }

    fn string(&mut self) -> Parsed<String> {
        let (text, rest) = unquote(self.rest)?;
        self.rest = rest;
        self.space();
        Ok(text)
    }

    fn word(&mut self, also: fn(char) -> bool) -> &'a str {
        let starts = |c: char| c == '_' || c.is_ascii_alphabetic() || also(c);
        if !self.rest.starts_with(starts) {
            return "";
        }
        let is_part = |c: char| starts(c) || c.is_ascii_digit();
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.space();
        word
    }

    fn sign(&mut self, sign: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(sign) else { return false };
        self.rest = rest;
        self.space();
        true
    }

    /// Skips white space and comments.
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        while let Some(comment) = self.rest.strip_prefix('#') {
            let (_, rest) = comment.split_once('\n').unwrap_or((comment, ""));
            self.rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        }
    }
}

fn head(text: &str) -> String {
    if text.is_empty() {
        return "the end".to_owned();
    }
    format!("{:?}", text.chars().take(16).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn selects_as_prometheus_does() {
        let queue = series(&[("__name__", "queue"), ("namespace", "a"), ("pod", "p1"), ("line", "x\ny")]);
        for (text, want) in [
            ("queue", true),
            ("other", false),
            ("queue{}", true),
            ("queue{namespace=\"a\"}", true),
            ("queue{namespace!=\"\",pod!=\"\",}", true),
            ("queue{container!=\"\"}", false),
            ("queue{container=\"\"}", true),
            ("{__name__=~\"^qu.*\"}", true),
            ("{__name__=~\"qu\"}", false),
            ("{__name__!~\"^container_.*\",namespace!=\"\"}", true),
            ("{\"queue\",pod='p1'}", true),
            ("{\"queue\", \"pod\"=`p1`}", true),
            ("queue{pod=~\"p\\\\d\"}", true),
            ("queue{line=~\"x.y\"}", true),
            ("queue{pod=~\"p2|p1\"}", true),
            ("queue{pod!~\"p2|p1\"}", false),
            ("queue{pod=\"p2\" or pod=\"p1\"}", true),
            ("{pod=\"p2\" or namespace=\"b\"}", false),
            (" queue { pod = \"p1\" , } # comment", true),
            ("on{pod=\"p1\"}", false),
            ("a:b:c", false),
            ("{or=\"\",pod=\"p1\"}", true),
        ] {
            let selector = SeriesSelector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(selector.matches(&queue), want, "{text}");
        }
    }

    #[test]
    fn refuses_what_prometheus_refuses() {
        for text in [
            "",
            "{}",
            "{a=~\".*\"}",
            "{a!=\"x\"}",
            "queue{a}",
            "queue{a=b}",
            "queue{a=\"b\"",
            "queue{a=\"b\"}x",
            "queue[5m]",
            "queue offset 5m",
            "queue{,a=\"b\"}",
            "queue{a=\"b\",,}",
            "queue{a=\"b\" c=\"d\"}",
            "queue{__name__=\"x\"}",
            "queue{a=~\"(\"}",
            "queue{a=~\"\\d\"}",
            "sum(queue)",
            "1queue",
            "queue{1a=\"b\"}",
            "a.b",
            "queue{a:b=\"c\"}",
        ] {
            assert!(SeriesSelector::parse(text).is_err(), "{text:?} must be refused");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-z{}=~!\"',|or# \\\\.*()\\[\\]]{0,40}") {
            if let Ok(selector) = SeriesSelector::parse(&text) {
                selector.matches(&series(&[("a", "b")]));
            }
        }
    }
}
