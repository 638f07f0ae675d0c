//! Rewrites Go's syntax into that of the `regex` crate.

use std::fmt::Write;

/// Go refuses a counted repetition above this.
const MAX_REPEAT: u32 = 1000;

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

struct Translator<'a> {
    rest: &'a str,
    out: String,
    /// The last piece was a repetition, behind which another one is refused.
    repeated: bool,
}

pub(super) fn translate(source: &str) -> Result<String, String> {
    let mut translator = Translator { rest: source, out: String::new(), repeated: false };
    while let Some(c) = translator.rest.chars().next() {
        translator.piece(c)?;
    }
    Ok(translator.out)
}

impl<'a> Translator<'a> {
    fn piece(&mut self, c: char) -> Result<(), String> {
        let was_repeated = std::mem::take(&mut self.repeated);
        match c {
            '\\' => self.escape(),
            '[' => self.class(),
            '(' => self.group(),
            '*' | '+' | '?' => {
                self.take(1);
                self.repetition(c.encode_utf8(&mut [0; 4]), was_repeated)
            }
            '{' => self.brace(was_repeated),
            other => {
                self.take(other.len_utf8());
                self.out.push(other);
                Ok(())
            }
        }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn copy(&mut self, bytes: usize) {
        let taken = self.take(bytes);
        self.out.push_str(taken);
    }

    fn repetition(&mut self, operator: &str, was_repeated: bool) -> Result<(), String> {
        if was_repeated {
            return Err(format!("invalid nested repetition operator {operator:?}"));
        }
        self.out.push_str(operator);
        if self.rest.starts_with('?') {
            self.take(1);
            self.out.push('?');
        }
        self.repeated = true;
        Ok(())
    }

    fn brace(&mut self, was_repeated: bool) -> Result<(), String> {
        let Some(text) = self.counted() else {
            self.take(1);
            self.out.push_str("\\{");
            return Ok(());
        };
        let too_many = |count: &str| count.parse::<u32>().map_or(true, |count| count > MAX_REPEAT);
        if text[1..text.len() - 1].split(',').filter(|count| !count.is_empty()).any(too_many) {
            return Err(format!("invalid repeat count {text}"));
        }
        self.take(text.len());
        self.repetition(text, was_repeated)
    }

    /// The text of `{n}`, `{n,}` or `{n,m}`, if it stands here; any other `{` is a character.
    fn counted(&self) -> Option<&'a str> {
        let end = self.rest.find('}')?;
        let (least, most) = match self.rest[1..end].split_once(',') {
            Some((least, most)) => (least, most),
            None => (&self.rest[1..end], ""),
        };
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let is_counted = !least.is_empty() && is_number(least) && is_number(most);
        is_counted.then(|| &self.rest[..=end])
    }

    /// `(`, with flags or a name; only Go's are let through.
    fn group(&mut self) -> Result<(), String> {
        let Some(options) = self.rest.strip_prefix("(?") else {
            self.copy(1);
            return Ok(());
        };
        if options.starts_with("P<") || options.starts_with('<') {
            let end = self.rest.find('>').ok_or("unclosed group name")?;
            let name =
                self.rest[..end].trim_start_matches("(?").trim_start_matches('P').trim_start_matches('<');
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err("invalid group name".to_owned());
            }
            self.copy(end + 1);
            return Ok(());
        }
        let end = options.find([':', ')']).ok_or("missing closing )")?;
        let flags = &options[..end];
        if !flags.bytes().all(|b| b"imsU-".contains(&b)) {
            return Err(format!("invalid or unsupported group (?{flags}"));
        }
        self.copy("(?".len() + end + 1);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        if let Some(body) = self.rest.strip_prefix("\\Q") {
            let (literal, rest) = body.split_once("\\E").unwrap_or((body, ""));
            self.out.push_str(&regex::escape(literal));
            self.rest = rest;
            return Ok(());
        }
        let kind = self.rest[1..].chars().next().ok_or("trailing backslash")?;
        let boundary = match kind {
            'A' | 'z' => Some(format!("\\{kind}")),
            'b' | 'B' => Some(format!("(?-u:\\{kind})")),
            _ => None,
        };
        if let Some(text) = boundary {
            self.take(2);
            self.out.push_str(&text);
        } else if let Some(class) = self.perl_class() {
            write_to(&mut self.out, format_args!("[{class}]"));
        } else if let Some(class) = self.unicode_class()? {
            self.out.push_str(&class);
        } else {
            let c = self.character()?;
            push_character(&mut self.out, c);
        }
        Ok(())
    }

    /// `\d` and its kin, ASCII only as in Go; the text goes inside brackets.
    fn perl_class(&mut self) -> Option<&'static str> {
        let class = match self.rest.as_bytes().get(1)? {
            b'd' => "0-9",
            b'D' => "[^0-9]",
            b's' => "\\t\\n\\x0C\\r ",
            b'S' => "[^\\t\\n\\x0C\\r ]",
            b'w' => "0-9A-Za-z_",
            b'W' => "[^0-9A-Za-z_]",
            _ => return None,
        };
        self.take(2);
        Some(class)
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`, `\P…`
    fn unicode_class(&mut self) -> Result<Option<String>, String> {
        let Some(positive) = [("\\p", true), ("\\P", false)]
            .into_iter()
            .find_map(|(start, positive)| self.rest.starts_with(start).then_some(positive))
        else {
            return Ok(None);
        };
        self.take(2);
        let name = if let Some(body) = self.rest.strip_prefix('{') {
            let end = body.find('}').ok_or("unclosed \\p{")?;
            self.take(end + 2);
            &body[..end]
        } else {
            let length = self.rest.chars().next().map(char::len_utf8).ok_or("unfinished \\p")?;
            self.take(length)
        };
        let (positive, name) = match name.strip_prefix('^') {
            Some(name) => (!positive, name),
            None => (positive, name),
        };
        Ok(Some(format!("\\{}{{{name}}}", if positive { 'p' } else { 'P' })))
    }

    /// An escape that stands for one character.
    fn character(&mut self) -> Result<char, String> {
        self.take(1);
        let kind = self.rest.chars().next().ok_or("trailing backslash")?;
        let refused = || format!("invalid escape \\{kind}");
        let simple = match kind {
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        };
        if let Some(c) = simple {
            self.take(kind.len_utf8());
            return Ok(c);
        }
        let (digits, length, radix) = if kind == 'x' && self.rest[1..].starts_with('{') {
            let end = self.rest.find('}').ok_or_else(refused)?;
            (&self.rest[2..end], end + 1, 16)
        } else if kind == 'x' {
            (self.rest.get(1..3).ok_or_else(refused)?, 3, 16)
        } else {
            let octal = self.rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            // One digit other than 0 would be a back reference.
            if octal == 0 || (octal == 1 && kind != '0') {
                return Err(refused());
            }
            (&self.rest[..octal], octal, 8)
        };
        let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        let code = u32::from_str_radix(digits, radix).ok().filter(|_| valid).ok_or_else(refused)?;
        self.take(length);
        char::from_u32(code).ok_or_else(refused)
    }

    /// `[…]`, every character of it spelled out so that Rust's set operators cannot arise.
    fn class(&mut self) -> Result<(), String> {
        self.take(1);
        self.out.push('[');
        if self.rest.starts_with('^') {
            self.copy(1);
        }
        let mut first = true;
        loop {
            let c = self.rest.chars().next().ok_or("missing closing ]")?;
            if c == ']' && !first {
                self.take(1);
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if let Some(end) = self.rest.strip_prefix("[:").and_then(|body| body.find(":]")) {
                let name = self.rest[2..2 + end].trim_start_matches('^');
                if !POSIX_CLASSES.contains(&name) {
                    return Err(format!("unknown character class [:{name}:]"));
                }
                self.copy(end + "[::]".len());
            } else if c == '\\'
                && let Some(class) = self.perl_class()
            {
                self.out.push_str(class);
            } else if c == '\\'
                && let Some(class) = self.unicode_class()?
            {
                self.out.push_str(&class);
            } else {
                self.class_range()?;
            }
        }
    }

    fn class_range(&mut self) -> Result<(), String> {
        let low = self.class_character()?;
        push_character(&mut self.out, low);
        let mut ahead = self.rest.chars();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
            self.take(1);
            let high = self.class_character()?;
            if high < low {
                return Err(format!("invalid character class range {low}-{high}"));
            }
            self.out.push('-');
            push_character(&mut self.out, high);
        }
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, String> {
        let c = self.rest.chars().next().ok_or("missing closing ]")?;
        if c == '\\' {
            return self.character();
        }
        self.take(c.len_utf8());
        Ok(c)
    }
}

fn push_character(out: &mut String, c: char) {
    write_to(out, format_args!("\\x{{{:x}}}", u32::from(c)));
}

fn write_to(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}
