//! [`Parser`]: tokens to the checked form: text, actions and blocks. Expressions are in `pipeline`.

use crate::rules::template::{
    MAX_DEPTH, Schema, TemplateError,
    ast::{Node, Range},
    lexer::Token,
    value::Type,
};

/// A variable in scope: its name, its slot and what it holds.
pub(super) struct Variable {
    pub name: String,
    pub slot: usize,
    pub holds: Type,
}

pub(super) struct Parser {
    tokens: std::vec::IntoIter<Token>,
    pub(super) schema: Schema,
    pub(super) scope: Vec<Variable>,
    pub(super) dot: Type,
    pub(super) slots: usize,
    depth: usize,
}

/// What ended a list of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Template,
    End,
    Else,
    ElseIf,
}

type Result<T> = std::result::Result<T, TemplateError>;

pub(super) fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(TemplateError::new(message))
}

impl Parser {
    pub(super) fn new(tokens: Vec<Token>, schema: Schema) -> Self {
        let tokens = tokens.into_iter();
        Self { tokens, schema, scope: Vec::new(), dot: Type::Data, slots: 0, depth: 0 }
    }

    pub(super) fn template(mut self) -> Result<(Vec<Node>, usize)> {
        match self.nodes()? {
            (nodes, Ending::Template) => Ok((nodes, self.slots)),
            (_, Ending::End) => refuse("end without if, with or range"),
            (_, Ending::Else | Ending::ElseIf) => refuse("else without if, with or range"),
        }
    }

    pub(super) fn peek(&self) -> &Token {
        self.tokens.as_slice().first().unwrap_or(&Token::End)
    }

    /// Returns the token behind the next one, and behind spaces.
    pub(super) fn peek_after_next(&self) -> &Token {
        let mut behind = self.tokens.as_slice().iter().skip(1);
        behind.find(|token| **token != Token::Space).unwrap_or(&Token::End)
    }

    pub(super) fn next(&mut self) -> Token {
        self.tokens.next().unwrap_or(Token::End)
    }

    pub(super) fn skip_space(&mut self) {
        if *self.peek() == Token::Space {
            self.next();
        }
    }

    pub(super) fn take(&mut self, wanted: &Token) -> bool {
        let taken = self.peek() == wanted;
        if taken {
            self.next();
        }
        taken
    }

    /// Runs one level deeper; nesting is bounded so that no text can exhaust the stack.
    pub(super) fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return refuse(format!("nested more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Parses up to the end of the template or of a block; variables declared in between end there.
    fn nodes(&mut self) -> Result<(Vec<Node>, Ending)> {
        let in_scope = self.scope.len();
        let mut nodes = Vec::new();
        let ending = loop {
            match self.next() {
                Token::Plain(text) => nodes.push(Node::Text(text)),
                Token::Left => {
                    self.skip_space();
                    if let Some(ending) = self.block_end()? {
                        break ending;
                    }
                    nodes.push(self.deeper(Self::action)?);
                }
                _ => break Ending::Template,
            }
        };
        self.scope.truncate(in_scope);
        Ok((nodes, ending))
    }

    /// Takes `end>>`, `else>>` or the `else` of `else if`.
    fn block_end(&mut self) -> Result<Option<Ending>> {
        let ending = match self.peek() {
            Token::Word(word) if word == "end" => Ending::End,
            Token::Word(word) if word == "else" => Ending::Else,
            _ => return Ok(None),
        };
        self.next();
        self.skip_space();
        if ending == Ending::Else && matches!(self.peek(), Token::Word(word) if word == "if") {
            self.next();
            return Ok(Some(Ending::ElseIf));
        }
        if self.take(&Token::Right) {
            return Ok(Some(ending));
        }
        refuse("unexpected text after end or else")
    }

    fn action(&mut self) -> Result<Node> {
        let keyword = match self.peek() {
            Token::Word(word) => word.clone(),
            _ => String::new(),
        };
        match keyword.as_str() {
            "if" => {
                self.next();
                self.conditional()
            }
            "with" => {
                self.next();
                self.with()
            }
            "range" => {
                self.next();
                self.range()
            }
            "block" | "break" | "continue" | "define" | "template" => {
                refuse(format!("{keyword:?} is not supported"))
            }
            _ => {
                let (variable, (value, kind)) = self.pipeline(&Token::Right)?;
                match variable {
                    Some(slot) => Ok(Node::Set(slot, value)),
                    None if kind == Type::Data => refuse("the template's data as a whole cannot be printed"),
                    None => Ok(Node::Print(value)),
                }
            }
        }
    }

    fn conditional(&mut self) -> Result<Node> {
        let in_scope = self.scope.len();
        let (pipeline, _) = self.condition()?;
        let (then, ending) = self.nodes()?;
        let otherwise = self.otherwise(ending)?;
        self.scope.truncate(in_scope);
        Ok(Node::If(pipeline, then, otherwise))
    }

    /// Parses what follows `else`; an `else if` shares the `end` of its `if`.
    fn otherwise(&mut self, ending: Ending) -> Result<Vec<Node>> {
        match ending {
            Ending::Template => refuse("unclosed if, with or range: end is missing"),
            Ending::End => Ok(Vec::new()),
            Ending::ElseIf => Ok(vec![self.deeper(Self::conditional)?]),
            Ending::Else => match self.nodes()? {
                (nodes, Ending::End) => Ok(nodes),
                (_, Ending::Template) => refuse("unclosed if, with or range: end is missing"),
                (_, Ending::Else | Ending::ElseIf) => refuse("a second else"),
            },
        }
    }

    fn with(&mut self) -> Result<Node> {
        let in_scope = self.scope.len();
        let (pipeline, kind) = self.condition()?;
        let outer = self.dot;
        // Inside, the value is present.
        self.dot = if kind == Type::MaybeText { Type::Text } else { kind };
        let (then, ending) = self.nodes()?;
        self.dot = outer;
        if ending == Ending::ElseIf {
            return refuse("else if belongs to if, not to with");
        }
        let otherwise = self.otherwise(ending)?;
        self.scope.truncate(in_scope);
        Ok(Node::With(pipeline, then, otherwise))
    }

    fn range(&mut self) -> Result<Node> {
        let in_scope = self.scope.len();
        let header = self.range_header()?;
        let outer = self.dot;
        self.dot = Type::Text;
        let (body, ending) = self.nodes()?;
        self.dot = outer;
        if ending == Ending::ElseIf {
            return refuse("else if belongs to if, not to range");
        }
        let otherwise = self.otherwise(ending)?;
        self.scope.truncate(in_scope);
        Ok(Node::Range(Range { body, otherwise, ..header }))
    }
}
