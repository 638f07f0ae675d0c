//! Go's way of quoting text, since PromQL's double-quoted strings are Go's: `%q`, and `regexp.QuoteMeta`.

use std::fmt::Write;

/// Returns a text in double quotes, escaped as Go's `%q` escapes it.
///
/// Source: Go `strconv.Quote`; what is printable is Unicode's letters, marks, numbers, punctuation, symbols, and the
/// ASCII space.
pub fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c => push_rune(&mut quoted, c),
        }
    }
    quoted.push('"');
    quoted
}

fn push_rune(quoted: &mut String, c: char) {
    let code = u32::from(c);
    // Writing to a String cannot fail.
    let _ = match code {
        _ if is_printable(c) => quoted.write_char(c),
        0..0x20 | 0x7f => write!(quoted, "\\x{code:02x}"),
        0..0x1_0000 => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
}

/// Says whether Rust's own debug form, which follows the same Unicode classes, leaves a character as it is.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // Behind a letter, combining marks are left alone as well.
    ['a', c].iter().collect::<String>().escape_debug().nth(1) == Some(c)
}

/// Returns a text as a regular expression that matches just it, escaped only where needed.
pub fn quote_meta(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        for (text, want) in [
            ("", r#""""#),
            ("plain-1.a/b", r#""plain-1.a/b""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("\0\u{1f}\u{7f}", r#""\x00\x1f\x7f""#),
            ("é世界😀", r#""é世界😀""#),
            ("e\u{301}", "\"e\u{301}\""),
            ("\u{a0}\u{ad}\u{80}\u{200b}\u{feff}", r#""\u00a0\u00ad\u0080\u200b\ufeff""#),
            ("\u{e000}\u{10ffff}\u{e0001}", r#""\ue000\U0010ffff\U000e0001""#),
            ("'`", "\"'`\""),
        ] {
            assert_eq!(go_quote(text), want, "{text:?}");
        }
    }

    #[test]
    fn only_metacharacters_are_escaped() {
        assert_eq!(quote_meta("web-7d9_x"), "web-7d9_x");
        assert_eq!(quote_meta("n1.example.com"), r"n1\.example\.com");
        assert_eq!(quote_meta(r"\a+b*?(c)|[d]{1}^$"), r"\\a\+b\*\?\(c\)\|\[d\]\{1\}\^\$");
    }
}
