//! The parser's expressions: pipelines, commands and operands, with their types.

use crate::rules::template::{
    ast::{Expr, Pipeline, Range},
    call::{self, Typed},
    lexer::Token,
    parser::{Parser, Variable, refuse},
    value::Type,
};

type Result<T> = std::result::Result<T, super::TemplateError>;

impl Parser {
    /// Parses the pipeline of `if` or `with`, through `>>`.
    pub(super) fn condition(&mut self) -> Result<(Pipeline, Type)> {
        self.skip_space();
        let (variable, (value, kind)) = self.pipeline(&Token::Right)?;
        Ok((Pipeline { variable, value }, kind))
    }

    /// Parses a pipeline through its closing token, with the variable it sets, if any.
    pub(super) fn pipeline(&mut self, close: &Token) -> Result<(Option<usize>, Typed)> {
        self.skip_space();
        let name = self.assigned_variable();
        let assigns = name.as_ref().map(|_| self.next() == Token::Assign);
        let typed = self.value(close)?;
        let Some((name, assigns)) = name.zip(assigns) else { return Ok((None, typed)) };
        if *close == Token::Close {
            return refuse("a variable cannot be set inside parentheses");
        }
        let slot = if assigns { self.reassign(&name, typed.1)? } else { self.declare(name, typed.1) };
        Ok((Some(slot), typed))
    }

    /// Takes `$x` and the spaces behind it when `:=` or `=` follows.
    fn assigned_variable(&mut self) -> Option<String> {
        let Token::Variable(name) = self.peek() else { return None };
        if !matches!(self.peek_after_next(), Token::Declare | Token::Assign) {
            return None;
        }
        let name = name.clone();
        self.next();
        self.skip_space();
        Some(name)
    }

    /// Parses commands joined by `|`, through the closing token.
    fn value(&mut self, close: &Token) -> Result<Typed> {
        let mut piped: Option<Typed> = None;
        loop {
            self.skip_space();
            let (typed, more) = self.command(piped.take(), close)?;
            if !more {
                return Ok(typed);
            }
            piped = Some(typed);
        }
    }

    /// Parses one command; says whether `|` follows, and takes that or the closing token.
    fn command(&mut self, piped: Option<Typed>, close: &Token) -> Result<(Typed, bool)> {
        let function = match self.peek() {
            Token::Word(word) if !matches!(word.as_str(), "true" | "false" | "nil") => Some(word.clone()),
            _ => None,
        };
        if function.is_some() {
            self.next();
            if matches!(self.peek(), Token::Field(_)) {
                return refuse("a field cannot be read from a function's name; use parentheses");
            }
        }
        let mut operands = Vec::new();
        if function.is_none() {
            operands.push(self.operand()?);
        }
        let more = loop {
            let spaced = self.take(&Token::Space);
            if self.take(&Token::Pipe) {
                break true;
            }
            if self.take(close) {
                break false;
            }
            if !spaced {
                return refuse("operands must be separated by spaces");
            }
            operands.push(self.operand()?);
        };
        if let Some(function) = function {
            // A piped value is the last argument.
            operands.extend(piped);
            return Ok((call::call(&function, operands)?, more));
        }
        if piped.is_some() {
            return refuse("only a function can take a piped value");
        }
        let mut operands = operands.into_iter();
        match (operands.next(), operands.next()) {
            (Some(typed), None) => Ok((typed, more)),
            _ => refuse("only a function can take arguments"),
        }
    }

    /// Parses an operand with the fields read from it.
    fn operand(&mut self) -> Result<Typed> {
        let (mut expr, mut kind, literal) = match self.next() {
            Token::Text(text) => (Expr::Text(text), Type::Text, true),
            Token::Number(number) => (Expr::Number(number), Type::Number, true),
            Token::Word(word) if word == "true" => (Expr::Bool(true), Type::Bool, true),
            Token::Word(word) if word == "false" => (Expr::Bool(false), Type::Bool, true),
            Token::Word(word) if word == "nil" => return refuse("nil is not supported"),
            // A function's name among arguments calls it without any.
            Token::Word(word) => {
                let (expr, kind) = call::call(&word, Vec::new())?;
                (expr, kind, true)
            }
            Token::Dot => (Expr::Dot, self.dot, true),
            Token::Field(name) => {
                let (expr, kind) = self.field(Expr::Dot, self.dot, name)?;
                (expr, kind, false)
            }
            Token::Variable(name) if name.is_empty() => (Expr::Root, Type::Data, false),
            Token::Variable(name) => {
                let variable = self.variable(&name)?;
                (Expr::Variable(variable.slot), variable.holds, false)
            }
            Token::Open => {
                let (variable, typed) = self.deeper(|parser| parser.pipeline(&Token::Close))?;
                debug_assert!(variable.is_none());
                (typed.0, typed.1, false)
            }
            Token::Right | Token::Close | Token::Pipe => return refuse("a value is missing"),
            Token::End => return refuse("unclosed action"),
            _ => return refuse("unexpected sign where a value should stand"),
        };
        while let Token::Field(name) = self.peek() {
            let name = name.clone();
            if literal {
                return refuse(format!("unexpected .{name} behind a literal"));
            }
            self.next();
            (expr, kind) = self.field(expr, kind, name)?;
        }
        Ok((expr, kind))
    }

    fn field(&self, expr: Expr, kind: Type, name: String) -> Result<Typed> {
        match kind {
            Type::Data => {
                let Some(place) = self.schema.iter().position(|(known, _)| *known == name) else {
                    let known: Vec<_> = self.schema.iter().map(|(name, _)| format!(".{name}")).collect();
                    return refuse(format!("unknown field .{name}; there are {}", known.join(", ")));
                };
                Ok((Expr::Field(place), self.schema[place].1))
            }
            Type::Map => Ok((Expr::Entry(Box::new(expr), name), Type::MaybeText)),
            other => refuse(format!("{other} has no field .{name}")),
        }
    }

    fn variable(&self, name: &str) -> Result<&Variable> {
        match self.scope.iter().rev().find(|variable| variable.name == name) {
            Some(variable) => Ok(variable),
            None => refuse(format!("undefined variable ${name}")),
        }
    }

    fn declare(&mut self, name: String, holds: Type) -> usize {
        let slot = self.slots;
        self.slots += 1;
        self.scope.push(Variable { name, slot, holds });
        slot
    }

    fn reassign(&self, name: &str, kind: Type) -> Result<usize> {
        let variable = self.variable(name)?;
        if variable.holds != kind {
            return refuse(format!("${name} holds {} and cannot become {kind}", variable.holds));
        }
        Ok(variable.slot)
    }

    /// Parses what stands behind `range`, through `>>`.
    pub(super) fn range_header(&mut self) -> Result<Range> {
        self.skip_space();
        let mut names = Vec::new();
        if let Token::Variable(first) = self.peek().clone()
            && matches!(self.peek_after_next(), Token::Comma | Token::Declare | Token::Assign)
        {
            self.next();
            self.skip_space();
            names.push(first);
            if self.take(&Token::Comma) {
                self.skip_space();
                let Token::Variable(second) = self.next() else {
                    return refuse("range can only set variables");
                };
                self.skip_space();
                names.push(second);
            }
        }
        let assigns = match (names.is_empty(), self.peek()) {
            (true, _) | (false, Token::Declare) => false,
            (false, Token::Assign) => true,
            _ => return refuse("expected := behind the variables of range"),
        };
        if !names.is_empty() {
            self.next();
        }
        let (over, kind) = self.value(&Token::Right)?;
        let key_type = match kind {
            Type::List => Type::Number,
            Type::Map => Type::Text,
            other => return refuse(format!("range goes over lists and maps, not over {other}")),
        };
        let mut slots = Vec::new();
        let types = if names.len() == 2 { [key_type, Type::Text] } else { [Type::Text, Type::Text] };
        for (name, holds) in names.into_iter().zip(types) {
            slots.push(if assigns { self.reassign(&name, holds)? } else { self.declare(name, holds) });
        }
        let (key, value) = match *slots {
            [key, value] => (Some(key), Some(value)),
            [value] => (None, Some(value)),
            _ => (None, None),
        };
        Ok(Range { over, key, value, body: Vec::new(), otherwise: Vec::new() })
    }
}
