//! [`Lexer`]: a template's text cut into plain text and the tokens of its actions.

use crate::rules::template::{TemplateError, unquote::unquote};

const LEFT: &str = "<<";
const RIGHT: &str = ">>";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// A token. `Space` matters, since operands must stand apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Text outside of actions, trimmed as the markers ask.
    Plain(String),
    /// `<<`
    Left,
    /// `>>`
    Right,
    Space,
    /// A name: a function or a keyword.
    Word(String),
    /// `.name`
    Field(String),
    /// `.`
    Dot,
    /// `$name`, or `$`
    Variable(String),
    Text(String),
    Number(i64),
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Pipe,
    Comma,
    Open,
    Close,
    End,
}

/// Cuts all of a template; the last token is [`Token::End`].
pub(super) fn lex(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { rest: text, tokens: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.plain();
        if lexer.rest.is_empty() {
            break;
        }
        if !lexer.comment()? {
            lexer.action()?;
        }
    }
    lexer.tokens.push(Token::End);
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    tokens: Vec<Token>,
}

fn error(message: impl Into<String>) -> TemplateError {
    TemplateError::new(message)
}

impl<'a> Lexer<'a> {
    /// Takes the text up to the next action; `<<- ` trims its end.
    fn plain(&mut self) {
        let end = self.rest.find(LEFT).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        let text = if starts_with_left_trim(rest) { text.trim_end_matches(SPACES) } else { text };
        if !text.is_empty() {
            self.tokens.push(Token::Plain(text.to_owned()));
        }
        self.rest = rest;
    }

    /// Takes `<</* … */>>`, with or without trim markers.
    fn comment(&mut self) -> Result<bool, TemplateError> {
        let body = &self.rest[LEFT.len()..];
        let body = if starts_with_left_trim(self.rest) { &body[2..] } else { body };
        let Some(body) = body.strip_prefix("/*") else { return Ok(false) };
        let (_, rest) = body.split_once("*/").ok_or_else(|| error("unclosed comment"))?;
        self.rest = rest;
        if self.right_delimiter() {
            return Ok(true);
        }
        Err(error("a comment must end right before >>"))
    }

    /// Takes `>>`, or ` ->>` with the spaces after it.
    fn right_delimiter(&mut self) -> bool {
        if let Some(rest) = self.rest.strip_prefix(RIGHT) {
            self.rest = rest;
            return true;
        }
        let trimmed = self.rest.strip_prefix(SPACES).and_then(|rest| rest.strip_prefix("->>"));
        if let Some(rest) = trimmed {
            self.rest = rest.trim_start_matches(SPACES);
            return true;
        }
        false
    }

    fn action(&mut self) -> Result<(), TemplateError> {
        let skipped = if starts_with_left_trim(self.rest) { LEFT.len() + 2 } else { LEFT.len() };
        self.rest = &self.rest[skipped..];
        self.tokens.push(Token::Left);
        while !self.right_delimiter() {
            let token = self.token()?;
            self.tokens.push(token);
        }
        self.tokens.push(Token::Right);
        Ok(())
    }

    fn token(&mut self) -> Result<Token, TemplateError> {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else { return Err(error("unclosed action")) };
        if SPACES.contains(&first) {
            // One space is left for a trim marker that follows.
            let after = rest.trim_start_matches(SPACES);
            let taken = rest.len() - after.len() - usize::from(after.starts_with("->>"));
            self.rest = &rest[taken..];
            return Ok(Token::Space);
        }
        for (sign, token) in [
            (":=", Token::Declare),
            ("=", Token::Assign),
            ("|", Token::Pipe),
            (",", Token::Comma),
            ("(", Token::Open),
            (")", Token::Close),
        ] {
            if let Some(after) = rest.strip_prefix(sign) {
                self.rest = after;
                return Ok(token);
            }
        }
        match first {
            '"' | '`' => self.string(),
            '$' => self.name(1).map(|name| Token::Variable(name.to_owned())),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            '.' => {
                let name = self.name(1)?;
                Ok(if name.is_empty() { Token::Dot } else { Token::Field(name.to_owned()) })
            }
            '+' | '-' | '0'..='9' => self.number(),
            c if is_word(c) => self.name(0).map(|name| Token::Word(name.to_owned())),
            other => Err(error(format!("unexpected {other:?} in an action"))),
        }
    }

    /// Takes a name behind `prefix` bytes; what follows must end it.
    fn name(&mut self, prefix: usize) -> Result<&'a str, TemplateError> {
        let after_prefix = &self.rest[prefix..];
        let end = after_prefix.find(|c| !is_word(c)).unwrap_or(after_prefix.len());
        let (name, rest) = after_prefix.split_at(end);
        let ends = rest.is_empty()
            || rest.starts_with(RIGHT)
            || rest.starts_with(SPACES)
            || rest.starts_with(['.', ',', '|', ':', ')', '(']);
        if !ends {
            let next = rest.chars().next().unwrap_or_default();
            return Err(error(format!("bad character {next:?} after {:?}", &self.rest[..prefix + end])));
        }
        self.rest = rest;
        Ok(name)
    }

    fn number(&mut self) -> Result<Token, TemplateError> {
        let sign = usize::from(self.rest.starts_with(['+', '-']));
        let end = self.rest[sign..]
            .find(|c: char| !(is_word(c) || c == '.'))
            .map_or(self.rest.len(), |end| end + sign);
        let (text, rest) = self.rest.split_at(end);
        let unsigned = &text[sign..];
        let leading_zero = unsigned.len() > 1 && unsigned.starts_with('0');
        let number: i64 =
            text.parse().ok().filter(|_| !leading_zero).ok_or_else(|| {
                error(format!("{text:?} is not a decimal integer, the only numbers supported"))
            })?;
        self.rest = rest;
        Ok(Token::Number(number))
    }

    fn string(&mut self) -> Result<Token, TemplateError> {
        let (text, rest) = unquote(self.rest).map_err(error)?;
        self.rest = rest;
        Ok(Token::Text(text))
    }
}

/// `<<- `: the marker counts only with a space behind it.
fn starts_with_left_trim(rest: &str) -> bool {
    rest.strip_prefix("<<-").is_some_and(|rest| rest.starts_with(SPACES))
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_text_actions_and_trim_markers() {
        let plain = |text: &str| Token::Plain(text.to_owned());
        let field = |text: &str| Token::Field(text.to_owned());
        for (text, want) in [
            ("a<<.X>>b", vec![plain("a"), Token::Left, field("X"), Token::Right, plain("b")]),
            ("a <<- .X ->> b", vec![plain("a"), Token::Left, field("X"), Token::Right, plain("b")]),
            ("a <<-3>> b", vec![plain("a "), Token::Left, Token::Number(-3), Token::Right, plain(" b")]),
            ("a<</* c >> */>>b", vec![plain("a"), plain("b")]),
            ("a <<- /* c */ ->> b", vec![plain("a"), plain("b")]),
            ("<<\n.X\n>>", vec![Token::Left, Token::Space, field("X"), Token::Space, Token::Right]),
            ("<<.X  ->>\n\n", vec![Token::Left, field("X"), Token::Space, Token::Right]),
            ("<<>>", vec![Token::Left, Token::Right]),
            (
                "<<$x:=\"q\\\"\">>",
                vec![
                    Token::Left,
                    Token::Variable("x".into()),
                    Token::Declare,
                    Token::Text("q\"".into()),
                    Token::Right,
                ],
            ),
        ] {
            let mut want = want;
            want.push(Token::End);
            assert_eq!(lex(text).unwrap_or_else(|e| panic!("{text}: {e}")), want, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_unclosed_or_unknown() {
        for text in [
            "<<",
            "<<.X",
            "<<.X>",
            "<</* c",
            "<</* c */ x>>",
            "<<.X+>>",
            "<<\"a>>",
            "<<\"a\nb\">>",
            "<<1.5>>",
            "<<0x1>>",
            "<<012>>",
            "<<99999999999999999999>>",
            "<<'a'>>",
            "<<a%b>>",
            "<<#>>",
            "<<.5>>",
            "<<$x;>>",
        ] {
            assert!(lex(text).is_err(), "{text:?} must be refused");
        }
    }
}
