//! [`Selector`]: a Kubernetes label selector in its text form, as it stands in a request's query.
//!
//! Knows nothing of objects or metrics: it parses, and says whether a set of labels matches.

use std::collections::BTreeSet;

use crate::selector::lexer::{Lexer, Token};

mod lexer;

/// Requirements that must all hold, sorted by key as Kubernetes sorts them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label's name.
    pub key: String,
    /// How the label is judged.
    pub operator: Operator,
    /// What it is compared with: sorted, without repeats.
    pub values: Vec<String>,
}

/// The operators of the text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equals,
    /// `==`
    DoubleEquals,
    /// `!=`
    NotEquals,
    /// `in`
    In,
    /// `notin`
    NotIn,
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `>`
    GreaterThan,
    /// `<`
    LessThan,
}

/// Why a text is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse the selector {text:?}: {why}")]
pub struct SelectorError {
    text: String,
    why: String,
}

impl Selector {
    /// Parses the text form, such as `app=web,tier in (a,b),!canary`; an empty text selects everything.
    ///
    /// Source: apimachinery `labels.Parse`, including its checks of keys and values.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let why = |why: String| SelectorError { text: text.chars().take(256).collect(), why };
        let mut requirements = Parser { lexer: Lexer::new(text) }.selector().map_err(why)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }

    /// Returns the requirements, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Says whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Says whether labels match, given a look-up of a label's value.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }
}

impl Requirement {
    /// Says whether a label's value (`None`: the label is absent) fulfils the requirement.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|listed| listed == value);
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => value.is_some_and(listed),
            Operator::NotEquals | Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compares(value, |value, bound| value > bound),
            Operator::LessThan => self.compares(value, |value, bound| value < bound),
        }
    }

    fn compares(&self, value: Option<&str>, holds: fn(i64, i64) -> bool) -> bool {
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = self.values.first().and_then(|bound| number(bound));
        value.and_then(number).zip(bound).is_some_and(|(value, bound)| holds(value, bound))
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
}

impl Parser<'_> {
    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        if self.lexer.peek() == Token::End {
            return Ok(requirements);
        }
        loop {
            requirements.push(self.requirement()?);
            match self.lexer.next() {
                Token::End => return Ok(requirements),
                Token::Comma => {}
                other => return Err(format!("found {other}, expected ',' or the end")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.lexer.peek() == Token::Not;
        if absent {
            self.lexer.next();
        }
        let key = match self.lexer.next() {
            Token::Word(key) => key.to_owned(),
            other => return Err(format!("found {other}, expected a label name")),
        };
        check_key(&key)?;
        if matches!(self.lexer.peek(), Token::End | Token::Comma) {
            let operator = if absent { Operator::DoesNotExist } else { Operator::Exists };
            return Ok(Requirement { key, operator, values: Vec::new() });
        }
        if absent {
            let found = self.lexer.next();
            return Err(format!("found {found} after !{key}, expected ',' or the end"));
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.list()?,
            _ => BTreeSet::from([self.value()?]),
        };
        for value in &values {
            check_value(value)?;
        }
        if matches!(operator, Operator::GreaterThan | Operator::LessThan)
            && values.iter().any(|value| value.parse::<i64>().is_err())
        {
            return Err(format!("{key}: '>' and '<' need an integer"));
        }
        Ok(Requirement { key, operator, values: values.into_iter().collect() })
    }

    fn operator(&mut self) -> Result<Operator, String> {
        Ok(match self.lexer.next() {
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            Token::Word("in") => Operator::In,
            Token::Word("notin") => Operator::NotIn,
            other => {
                return Err(format!("found {other}, expected one of = == != in notin > < or ','"));
            }
        })
    }

    fn value(&mut self) -> Result<String, String> {
        match self.lexer.peek() {
            Token::End | Token::Comma => Ok(String::new()),
            Token::Word(value) => {
                self.lexer.next();
                Ok(value.to_owned())
            }
            other => Err(format!("found {other}, expected a value")),
        }
    }

    /// `(a,b)`; a comma with nothing beside it stands for the empty value.
    fn list(&mut self) -> Result<BTreeSet<String>, String> {
        match self.lexer.next() {
            Token::Open => {}
            other => return Err(format!("found {other}, expected '('")),
        }
        let mut values = BTreeSet::new();
        let mut expects_value = true;
        loop {
            match self.lexer.next() {
                Token::Word(value) if expects_value => {
                    values.insert(value.to_owned());
                    expects_value = false;
                }
                Token::Comma => {
                    if expects_value {
                        values.insert(String::new());
                    }
                    expects_value = true;
                    if self.lexer.peek() == Token::Close {
                        values.insert(String::new());
                    }
                }
                Token::Close if values.is_empty() => {
                    return Err("'in' and 'notin' need at least one value".to_owned());
                }
                Token::Close => return Ok(values),
                other => return Err(format!("found {other}, expected ',' or ')'")),
            }
        }
    }
}

/// A qualified name: an optional DNS prefix with a slash, then at most 63 word characters, `-`, `_` and `.`.
fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_ok = prefix.is_none_or(|prefix| {
        prefix.len() <= 253
            && prefix.split('.').all(|part| {
                edges_are_alphanumeric(part)
                    && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })
    });
    if prefix_ok && is_label_text(name) { Ok(()) } else { Err(format!("{key:?} is not a label name")) }
}

fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_label_text(value) {
        Ok(())
    } else {
        Err(format!("{value:?} is not a label value"))
    }
}

fn is_label_text(text: &str) -> bool {
    text.len() <= 63
        && edges_are_alphanumeric(text)
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn edges_are_alphanumeric(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric());
    edge(text.bytes().next()) && edge(text.bytes().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<&'a str> {
        move |key| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    #[test]
    fn every_operator_matches_as_in_kubernetes() {
        let set = [("app", "web"), ("tier", "a"), ("rank", "7"), ("empty", "")];
        for (text, want) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app=db", false),
            ("app!=db", true),
            ("gone!=db", true),
            ("app!=web", false),
            ("tier in (a,b)", true),
            ("tier in (b)", false),
            ("gone in (b)", false),
            ("tier notin (b)", true),
            ("gone notin (b)", true),
            ("tier notin (a)", false),
            ("app", true),
            ("gone", false),
            ("!gone", true),
            ("!app", false),
            ("rank>6", true),
            ("rank>7", false),
            ("rank<8", true),
            ("app>6", false),
            ("gone<6", false),
            ("empty=", true),
            ("empty in (,x)", true),
            ("app=web,tier in (a,b),!gone", true),
            ("app=web , tier notin ( b , c )", true),
            ("app=web,tier=b", false),
        ] {
            let selector = Selector::parse(text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(selector.matches(labels(&set)), want, "{text}");
        }
    }

    #[test]
    fn requirements_are_sorted_by_key_and_values() {
        let selector = Selector::parse("z=1,a.b/c in (y,x,y),m,in=notin").expect("parses");
        let shown: Vec<_> =
            selector.requirements().iter().map(|r| (r.key.as_str(), r.values.join("|"))).collect();
        let want = [("a.b/c", "x|y"), ("in", "notin"), ("m", ""), ("z", "1")];
        assert_eq!(shown, want.map(|(key, values)| (key, values.to_owned())));
    }

    #[test]
    fn lists_with_bare_commas_hold_the_empty_value() {
        for (text, want) in
            [("x in (,)", vec![""]), ("x in (a,)", vec!["", "a"]), ("x in (,a)", vec!["", "a"])]
        {
            let selector = Selector::parse(text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(selector.requirements()[0].values, want, "{text}");
        }
    }

    #[test]
    fn refuses_what_kubernetes_refuses() {
        for text in [
            "=",
            "a=b=c",
            "a in",
            "a in (",
            "a in ()",
            "a in (b",
            "a in b",
            "!",
            "!a=b",
            "a,",
            ",a",
            "a b",
            "a>x",
            "a>",
            "a=-",
            "-a",
            "a/b/c",
            "/a",
            "A_/b=1",
            "a=b c",
            "a in (b c)",
            "a=é",
            "a ! b",
            "a in (b,(",
        ] {
            assert!(Selector::parse(text).is_err(), "{text:?} must be refused");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = Selector::parse(&text);
        }

        #[test]
        fn never_panics_on_its_own_alphabet(text in "[ab=!(),<> in notin/.-]{0,30}") {
            if let Ok(selector) = Selector::parse(&text) {
                selector.matches(|_| Some("a"));
                selector.matches(|_| None);
            }
        }
    }
}
