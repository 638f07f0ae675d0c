//! [`Value`]: what a template computes with, and how it is printed.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, fmt};

use crate::rules::quote::go_quote;

/// The type of an expression, known when the template is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A string.
    Text,
    /// A string that may be missing: a key of a map read as a field.
    MaybeText,
    /// An integer.
    Number,
    /// A boolean.
    Bool,
    /// Strings by name.
    Map,
    /// A list of strings.
    List,
    /// The template's own data, whose fields are read.
    Data,
    /// One of several types, as `and` and `or` return.
    Mixed,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a string",
            Self::MaybeText => "a map entry that may be missing",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Map => "a map",
            Self::List => "a list",
            Self::Data => "the template's data",
            Self::Mixed => "a value of varying type",
        })
    }
}

/// A value of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// An integer.
    Number(i64),
    /// A boolean.
    Bool(bool),
    /// Strings by name.
    Map(&'a BTreeMap<String, String>),
    /// A list of strings.
    List(&'a [String]),
    /// The template's data.
    Data,
    /// A map entry that is missing.
    Missing,
}

impl Value<'_> {
    /// Returns Go's truth: everything that is not empty, zero, false or missing.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Number(number) => *number != 0,
            Self::Bool(bool) => *bool,
            Self::Map(map) => !map.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Data => true,
            Self::Missing => false,
        }
    }

    /// Returns the order of two strings (by bytes) or two numbers.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Number(a), Self::Number(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// Says whether this is a string, which `print` sets no spaces beside.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Returns the value as `%q` prints it.
    pub fn quoted(&self) -> String {
        match self {
            Self::Text(text) => go_quote(text),
            Self::List(list) => {
                let items: Vec<_> = list.iter().map(|item| go_quote(item)).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Map(map) => {
                let pairs: Vec<_> =
                    map.iter().map(|(k, v)| format!("{}:{}", go_quote(k), go_quote(v))).collect();
                format!("map[{}]", pairs.join(" "))
            }
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Value<'_> {
    /// Writes the value as Go's `%v`: a map as `map[a:b c:d]`, a list as `[a b]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Map(map) => {
                let pairs: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                write!(f, "map[{}]", pairs.join(" "))
            }
            Self::List(list) => write!(f, "[{}]", list.join(" ")),
            Self::Data => Ok(()),
            Self::Missing => f.write_str("<nil>"),
        }
    }
}
