//! Go's string literals, as templates and PromQL write them.

/// Reads the literal at the start of a text (`"…"`, or `` `…` `` raw) and returns it with what follows.
///
/// Errors: an unclosed literal, a line break in a double-quoted one, an unknown escape.
pub fn unquote(text: &str) -> Result<(String, &str), String> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')) else {
        return Err("a string must start with a quote".to_owned());
    };
    let body = &text[1..];
    if quote == '`' {
        let (raw, rest) = body.split_once('`').ok_or("unclosed raw string")?;
        return Ok((raw.replace('\r', ""), rest));
    }
    let mut bytes = Vec::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => break,
            _ if c == quote => {
                let text = String::from_utf8(bytes).map_err(|_| "string is not UTF-8".to_owned())?;
                return Ok((text, &body[at + 1..]));
            }
            '\\' => {
                let length = escape(&body[at + 1..], quote, &mut bytes)?;
                for _ in 0..length {
                    chars.next();
                }
            }
            c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    Err("unclosed string".to_owned())
}

/// Decodes what follows a backslash; returns how many characters it took.
fn escape(rest: &str, quote: char, bytes: &mut Vec<u8>) -> Result<usize, String> {
    let Some(kind) = rest.chars().next() else { return Err("unclosed string".to_owned()) };
    let simple = match kind {
        'a' => Some(7),
        'b' => Some(8),
        'f' => Some(12),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(11),
        '\\' => Some(b'\\'),
        c if c == quote => u8::try_from(c).ok(),
        _ => None,
    };
    if let Some(byte) = simple {
        bytes.push(byte);
        return Ok(1);
    }
    let (start, digits, radix) = match kind {
        'x' => (1, 2, 16),
        'u' => (1, 4, 16),
        'U' => (1, 8, 16),
        '0'..='7' => (0, 3, 8),
        other => return Err(format!("unknown escape \\{other} in a string")),
    };
    let number = rest
        .get(start..start + digits)
        .filter(|text| text.chars().all(|c| c.is_digit(radix)))
        .and_then(|text| u32::from_str_radix(text, radix).ok())
        .ok_or_else(|| format!("malformed escape \\{kind} in a string"))?;
    let malformed = || format!("escape \\{kind} in a string is out of range");
    if matches!(kind, 'u' | 'U') {
        let c = char::from_u32(number).ok_or_else(malformed)?;
        bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
    } else {
        bytes.push(u8::try_from(number).map_err(|_| malformed())?);
    }
    Ok(start + digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_literals() {
        for (text, want, rest) in [
            (r#""a" x"#, "a", " x"),
            (r#""\a\b\f\n\r\t\v\\\"""#, "\u{7}\u{8}\u{c}\n\r\t\u{b}\\\"", ""),
            (r#""\x41\101\u0041\U00000041é""#, "AAAAé", ""),
            (r#""\xc3\xa9""#, "é", ""),
            ("`a\\n\"b`c", "a\\n\"b", "c"),
            (r"'it\'s'", "it's", ""),
        ] {
            assert_eq!(unquote(text), Ok((want.to_owned(), rest)), "{text}");
        }
        for text in [
            "",
            "a",
            "\"a",
            "\"a\nb\"",
            r#""\q""#,
            r#""\x4""#,
            r#""\400""#,
            r#""\ud800""#,
            r#""\'""#,
            "`a",
            "\"\\",
        ] {
            assert!(unquote(text).is_err(), "{text:?} must be refused");
        }
    }
}
