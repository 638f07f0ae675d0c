//! [`Lexer`]: the words and signs of a label selector's text.

use std::fmt;

/// One word or sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    Equals,
    DoubleEquals,
    NotEquals,
    Not,
    Greater,
    Less,
    Open,
    Close,
    Comma,
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Word(word) => return write!(f, "{word:?}"),
            Self::Equals => "'='",
            Self::DoubleEquals => "'=='",
            Self::NotEquals => "'!='",
            Self::Not => "'!'",
            Self::Greater => "'>'",
            Self::Less => "'<'",
            Self::Open => "'('",
            Self::Close => "')'",
            Self::Comma => "','",
            Self::End => "the end",
        })
    }
}

/// Cuts a text into tokens, one token ahead.
pub(super) struct Lexer<'a> {
    rest: &'a str,
}

const SIGNS: [(&str, Token<'static>); 9] = [
    ("==", Token::DoubleEquals),
    ("!=", Token::NotEquals),
    ("=", Token::Equals),
    ("!", Token::Not),
    (">", Token::Greater),
    ("<", Token::Less),
    ("(", Token::Open),
    (")", Token::Close),
    (",", Token::Comma),
];

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(super) fn peek(&self) -> Token<'a> {
        self.split().0
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let (token, rest) = self.split();
        self.rest = rest;
        token
    }

    fn split(&self) -> (Token<'a>, &'a str) {
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return (Token::End, rest);
        }
        for (sign, token) in SIGNS {
            if let Some(rest) = rest.strip_prefix(sign) {
                return (token, rest);
            }
        }
        let end = rest.find([' ', '\t', '\r', '\n', '=', '!', '(', ')', ',', '>', '<']).unwrap_or(rest.len());
        (Token::Word(&rest[..end]), &rest[end..])
    }
}
