//! [`Matcher`]: a condition on one label of the series behind a signal, written into PromQL or judged by ourselves.

use std::collections::BTreeSet;

/// A condition on a label; an absent label counts as an empty one, as in PromQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// How it is compared.
    pub comparison: Comparison,
    /// Whether the comparison must fail.
    pub is_negative: bool,
}

/// What a label is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// A text; the empty one stands for an absent label.
    Equal(String),
    /// Several, one of which it must be. As in prometheus-adapter they are parts of a regular expression towards Prometheus.
    OneOf(Vec<String>),
}

impl Matcher {
    /// Says whether the value of the label fulfils it.
    pub fn matches(&self, value: &str) -> bool {
        let is_so = match &self.comparison {
            Comparison::Equal(text) => text == value,
            Comparison::OneOf(texts) => texts.iter().any(|text| text == value),
        };
        is_so != self.is_negative
    }

    /// Writes it as PromQL does.
    pub fn promql(&self) -> String {
        let (sign, text) = match (&self.comparison, self.is_negative) {
            (Comparison::Equal(text), false) => ("=", text.clone()),
            (Comparison::Equal(text), true) => ("!=", text.clone()),
            (Comparison::OneOf(texts), false) => ("=~", texts.join("|")),
            (Comparison::OneOf(texts), true) => ("!~", texts.join("|")),
        };
        format!("{}{sign}\"{}\"", self.label, text.replace('\\', "\\\\").replace('"', "\\\""))
    }

    /// Writes several, joined by commas.
    pub fn join(matchers: &[Self]) -> String {
        matchers.iter().map(Self::promql).collect::<Vec<_>>().join(",")
    }
}

/// Puts matchers into every selector of a query over series of these names.
pub(super) fn with_matchers(query: &str, names: &BTreeSet<String>, matchers: &str) -> String {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
    let mut text = String::with_capacity(query.len() * 2);
    let mut rest = query;
    while let Some(letter) = rest.chars().next() {
        let length = match letter {
            // Texts hold no escapes: values of labels and names are ours.
            '"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            _ if is_of_name(letter) => rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len()),
            _ => letter.len_utf8(),
        };
        let (word, after) = rest.split_at(length);
        text.push_str(word);
        rest = after;
        if names.contains(word) {
            match after.strip_prefix('{') {
                Some(inside) => {
                    text.extend(["{", matchers, ","]);
                    rest = inside;
                }
                None => text.extend(["{", matchers, "}"]),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_judge_as_their_promql_says() {
        let equal = |text: &str| Comparison::Equal(text.to_owned());
        let one_of = || Comparison::OneOf(vec!["a".to_owned(), "b".to_owned()]);
        for (comparison, is_negative, promql, [of_a, of_c, of_nothing]) in [
            (equal("a"), false, r#"l="a""#, [true, false, false]),
            (equal("a"), true, r#"l!="a""#, [false, true, true]),
            (one_of(), false, r#"l=~"a|b""#, [true, false, false]),
            (one_of(), true, r#"l!~"a|b""#, [false, true, true]),
            (equal(""), false, r#"l="""#, [false, false, true]),
            (equal(""), true, r#"l!="""#, [true, true, false]),
        ] {
            let matcher = Matcher { label: "l".to_owned(), comparison, is_negative };
            assert_eq!(matcher.promql(), promql);
            let judged = ["a", "c", ""].map(|value| matcher.matches(value));
            assert_eq!(judged, [of_a, of_c, of_nothing], "{promql}");
        }
    }
}
