//! [`Template`]: the part of Go's `text/template` that rules use, with the delimiters `<<` and `>>`.
//!
//! Everything is checked when a template is parsed, types included, so that a mistake is a configuration error and
//! never a failed query. Knows nothing of rules: the fields it may read come as a [`Schema`].
//! Source: the documentation of Go's `text/template` and `fmt`.

use crate::rules::template::{ast::Node, parser::Parser};

pub use value::{Type, Value};

mod ast;
mod call;
mod lexer;
mod parser;
mod pipeline;
mod render;
pub mod unquote;
mod value;

#[cfg(test)]
mod tests;

/// The fields of a template's data: names and types.
pub type Schema = &'static [(&'static str, Type)];

/// The data of one rendering, in the order of the schema.
pub type Fields<'a> = &'a [Value<'a>];

/// No template is longer; parsing and rendering stay cheap on any input.
const MAX_LENGTH: usize = 64 * 1024;
/// Parentheses and blocks nest no deeper.
const MAX_DEPTH: usize = 32;

/// A template that was parsed and type-checked.
#[derive(Clone, Debug)]
pub struct Template {
    nodes: Vec<Node>,
    slots: usize,
}

/// Why a template is refused, or cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    message: String,
}

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl Template {
    /// Parses a template that may read the fields of `schema`.
    pub fn parse(text: &str, schema: Schema) -> Result<Self, TemplateError> {
        if text.len() > MAX_LENGTH {
            return Err(TemplateError::new(format!("a template has at most {MAX_LENGTH} bytes")));
        }
        let (nodes, slots) = Parser::new(lexer::lex(text)?, schema).template()?;
        Ok(Self { nodes, slots })
    }

    /// Renders the template.
    ///
    /// Errors: an index beyond the end of a list, or more text than a query can hold.
    pub fn render(&self, fields: Fields<'_>) -> Result<String, TemplateError> {
        render::render(&self.nodes, self.slots, fields)
    }

    /// Says whether the template only inserts values, without conditions, loops or variables.
    ///
    /// Its text is then built in the same way whatever the values are.
    pub fn is_plain(&self) -> bool {
        self.nodes.iter().all(|node| match node {
            Node::Text(_) => true,
            Node::Print(expr) => expr.is_plain(),
            _ => false,
        })
    }

    /// Says whether a field of the schema, counted from zero, is read anywhere.
    pub fn reads(&self, field: usize) -> bool {
        self.nodes.iter().any(|node| node.reads(field))
    }
}
