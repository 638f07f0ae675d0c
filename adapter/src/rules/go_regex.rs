//! [`GoRegex`]: a regular expression in Go's syntax (RE2), run by the `regex` crate.
//!
//! The two agree on matching (leftmost, first alternative); `translate` removes the differences in syntax: `\Q…\E`,
//! octal escapes, ASCII-only `\d \s \w \b`, a literal `{`, class characters that Rust reads as operators, and what
//! Go refuses. Source: Go's `regexp/syntax` documentation.

use regex::Regex;

mod translate;

/// A compiled expression; it matches anywhere unless it is anchored.
#[derive(Clone, Debug)]
pub struct GoRegex {
    source: String,
    regex: Regex,
}

/// Why a text is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_text:?} is not a regular expression: {why}")]
pub struct RegexError {
    source_text: String,
    why: String,
}

impl GoRegex {
    /// Compiles an expression that matches anywhere in a text.
    pub fn new(source: &str) -> Result<Self, RegexError> {
        Self::wrapped(source, "", "")
    }

    /// Compiles an expression that must match all of a text, as PromQL's matchers do; `.` matches line breaks too.
    pub fn anchored(source: &str) -> Result<Self, RegexError> {
        Self::wrapped(source, "^(?s:", ")$")
    }

    fn wrapped(source: &str, before: &str, after: &str) -> Result<Self, RegexError> {
        let refused = |why: String| {
            let source_text = source.chars().take(256).collect();
            RegexError { source_text, why }
        };
        // The last line of the crate's report tells the reason; those before it draw a picture.
        let last_line = |error: regex::Error| {
            let text = error.to_string();
            let line = text.lines().next_back().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        };
        let compiled = |source: &str| {
            let translated = translate::translate(source).map_err(refused)?;
            Regex::new(&translated).map_err(|error| refused(last_line(error)))
        };
        // On its own first: parentheses must not pair with those around it.
        let mut regex = compiled(source)?;
        if !before.is_empty() {
            regex = compiled(&format!("{before}{source}{after}"))?;
        }
        Ok(Self { source: source.to_owned(), regex })
    }

    /// Returns the expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Says whether the expression matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Returns how many groups there are, the whole match not counted.
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// Returns a group of the first match by its name; `None` without a match or without the group.
    pub fn named_group<'a>(&self, name: &str, text: &'a str) -> Option<&'a str> {
        Some(self.regex.captures(text)?.name(name)?.as_str())
    }

    /// Says whether a group has this name.
    pub fn has_group(&self, name: &str) -> bool {
        self.regex.capture_names().flatten().any(|known| known == name)
    }

    /// Returns the names in a template that no group has, each once.
    pub fn unknown_groups(&self, template: &str) -> Vec<String> {
        let mut unknown: Vec<String> = Vec::new();
        let mut rest = template;
        while let Some((_, after)) = rest.split_once('$') {
            rest = after.strip_prefix('$').unwrap_or(after);
            if rest.len() < after.len() {
                continue;
            }
            let Some((name, behind)) = group_name(after) else { continue };
            let known = group_number(name).map_or_else(|| self.has_group(name), |n| n <= self.groups());
            if !known && !unknown.iter().any(|other| other == name) {
                unknown.push(name.to_owned());
            }
            rest = behind;
        }
        unknown
    }

    /// Returns `template` with `$1`, `${1}`, `$name` and `${name}` replaced by the groups of the first match; `None`
    /// without a match.
    ///
    /// A name is the longest run of letters, digits and `_`: `$1_x` is the group `1_x`. Unknown groups are empty.
    pub fn expand(&self, template: &str, text: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        let mut expanded = String::new();
        let mut rest = template;
        while let Some((plain, after)) = rest.split_once('$') {
            expanded.push_str(plain);
            if let Some(after) = after.strip_prefix('$') {
                expanded.push('$');
                rest = after;
                continue;
            }
            let Some((name, after)) = group_name(after) else {
                expanded.push('$');
                rest = after;
                continue;
            };
            let group = match group_number(name) {
                Some(number) => captures.get(number),
                None => captures.name(name),
            };
            expanded.push_str(group.map_or("", |group| group.as_str()));
            rest = after;
        }
        expanded.push_str(rest);
        Some(expanded)
    }
}

/// The name behind a `$`, and what follows it; `None` when there is none and the `$` stands for itself.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let (braced, body) = match text.strip_prefix('{') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let end = body.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(body.len());
    let (name, rest) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced { Some((name, rest.strip_prefix('}')?)) } else { Some((name, rest)) }
}

fn group_number(name: &str) -> Option<usize> {
    let leading_zero = name.len() > 1 && name.starts_with('0');
    if leading_zero || name.len() > 8 || !name.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_as_go_does() {
        for (source, text, want) in [
            ("^(.*)_total$", "a_total", true),
            ("_total", "a_total_b", true),
            (r"\d", "٣", false),
            (r"\w", "é", false),
            (r"\W", "é", true),
            (r"\s", "\u{b}", false),
            (r"\bé", "é", false),
            (r"[\d.]+$", "1.5", true),
            (r"[^\s]", "a", true),
            (r"[\D]", "a", true),
            (r"\Qa.b\E+", "a.bbb", true),
            (r"\Qa.b", "axb", false),
            (r"a{b}", "a{b}", true),
            (r"a{,3}", "a{,3}", true),
            (r"x{2,3}$", "xxx", true),
            (r"[a&&b]", "&", true),
            (r"[[a]", "[", true),
            (r"[]a]", "]", true),
            (r"[^]a]", "]", false),
            (r"[a-]", "-", true),
            (r"[--/]", ".", true),
            (r"[[:alpha:]_]", "_", true),
            (r"[[:^alpha:]]", "a", false),
            (r"\pL", "é", true),
            (r"\p{Greek}", "α", true),
            (r"\p{^Greek}", "α", false),
            (r"\x41\x{42}\103", "ABC", true),
            (r"(?i)ABC", "abc", true),
            (r"(?P<a>x)|(?<b>y)", "y", true),
            (r"a\<b\>", "a<b>", true),
            (r"\_\-\ \/", "_- /", true),
            (r"$", "", true),
            ("é~#&", "é~#&", true),
            (r"]}", "]}", true),
        ] {
            let regex = GoRegex::new(source).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(regex.is_match(text), want, "{source} on {text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for source in [
            "(",
            ")",
            "[a",
            "a**",
            "a{2}{3}",
            "*a",
            "+",
            r"\1",
            r"\8",
            r"\Z",
            r"\C",
            r"\q",
            "\\",
            r"[a-\d]",
            r"[z-a]",
            r"[\b]",
            "[[:nope:]]",
            "(?=a)",
            "(?x)a",
            "(?P<n>a)(?P<n>b)",
            "(?<n",
            "x{1001}",
            r"\x4",
            r"\pX",
            r"\é",
            "a++",
            "(?#c)",
        ] {
            assert!(GoRegex::new(source).is_err(), "{source:?} must be refused");
        }
    }

    #[test]
    fn anchored_matches_all_of_the_text() {
        for (source, text, want) in [
            ("a|b", "b", true),
            ("a|b", "ab", false),
            (".*", "a\nb", true),
            ("", "", true),
            ("", "a", false),
            ("^a$", "a", true),
        ] {
            let regex = GoRegex::anchored(source).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(regex.is_match(text), want, "{source} on {text}");
        }
        assert!(GoRegex::anchored("a)(b").is_err());
    }

    #[test]
    fn expands_groups_as_go_does() {
        for (source, template, text, want) in [
            ("^(.*)_total$", "${1}_per_second", "http_requests_total", "http_requests_per_second"),
            ("^(.*)_total$", "$1_per_second", "http_requests_total", ""),
            ("b(c)", "<$1$0>", "abcd", "<cbc>"),
            ("(?P<name>a)(b)?", "$name-$2-$3-${name}x", "a", "a---ax"),
            ("a", "$$1 $ ${ ${x ${} $- ${0}", "a", "$1 $ ${ ${x ${} $- a"),
            ("(a)", "$01,${1}", "a", ",a"),
            ("(a)", "$1é.", "a", "."),
        ] {
            let regex = GoRegex::new(source).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(regex.expand(template, text).as_deref(), Some(want), "{source} {template}");
        }
        assert_eq!(GoRegex::new("x").expect("compiles").expand("$0", "a"), None);
        let regex = GoRegex::new("(?P<n>a)").expect("compiles");
        assert_eq!(regex.unknown_groups("$$0 $0${1}$n$2_x$m${2_x} $"), ["2_x", "m"]);
    }

    proptest! {
        #[test]
        fn never_panics(source in "\\PC{0,30}", template in "[$a1_{}-]{0,20}") {
            if let Ok(regex) = GoRegex::new(&source) {
                let _ = regex.expand(&template, &source);
            }
        }

        #[test]
        fn never_panics_on_its_own_alphabet(source in r"[\[\](){}|*+?.\\^$a-zQE0-9,:<>P=-]{0,20}") {
            let _ = GoRegex::anchored(&source);
        }
    }
}
