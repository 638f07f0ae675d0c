//! [`Naming`]: which series a rule takes by their name, and what the metric is called.

use crate::rules::{
    decode::Fields,
    go_regex::{GoRegex, RegexError},
};

/// The series filters and the `name` of a rule.
#[derive(Clone, Debug)]
pub struct Naming {
    /// Expressions that must (`true`) or must not match.
    filters: Vec<(GoRegex, bool)>,
    /// `name.matches`: a filter as well.
    matches: GoRegex,
    /// `name.as`
    template: String,
}

impl Naming {
    /// Decodes `seriesFilters` and `name` of a rule.
    pub fn decode(rule: &Fields<'_>) -> Option<Self> {
        let mut filters = Vec::new();
        let mut sound = true;
        for (place, node) in rule.list("seriesFilters").iter().enumerate() {
            let key = format!("seriesFilters[{place}]");
            let filter = rule.item(&key, node, &["is", "isNot"]);
            let (is, is_not) = (filter.text("is"), filter.text("isNot"));
            let (text, wanted) = match (is.is_empty(), is_not.is_empty()) {
                (false, true) => (is, true),
                (true, false) => (is_not, false),
                _ => {
                    rule.problem(&key, "needs exactly one of is and isNot");
                    sound = false;
                    continue;
                }
            };
            match GoRegex::new(&text) {
                Ok(regex) => filters.push((regex, wanted)),
                Err(error) => {
                    filter.problem(if wanted { "is" } else { "isNot" }, error);
                    sound = false;
                }
            }
        }
        let name = rule.fields("name", &["matches", "as"]);
        let matches = name.text("matches");
        match Self::new(filters, &matches, &name.text("as")) {
            Ok(naming) => sound.then_some(naming),
            Err(NamingError::Regex(error)) => {
                name.problem("matches", error);
                None
            }
            Err(NamingError::Ambiguous(groups)) => {
                let problem = format!("is required, because matches has {groups} groups");
                name.problem("as", problem);
                None
            }
        }
    }

    fn new(filters: Vec<(GoRegex, bool)>, matches: &str, template: &str) -> Result<Self, NamingError> {
        let matches = GoRegex::new(if matches.is_empty() { ".*" } else { matches })?;
        let template = match (template, matches.groups()) {
            ("", 0) => "$0",
            ("", 1) => "$1",
            ("", groups) => return Err(NamingError::Ambiguous(groups)),
            (template, _) => template,
        };
        Ok(Self { filters, matches, template: template.to_owned() })
    }

    /// Returns the metric's name for a series; `None` when the rule does not take the series, or leaves nothing of its name.
    pub fn metric(&self, series: &str) -> Option<String> {
        let passes = self.filters.iter().all(|(regex, wanted)| regex.is_match(series) == *wanted);
        if !passes {
            return None;
        }
        self.matches.expand(&self.template, series).filter(|name| !name.is_empty())
    }

    /// Returns `name.as`, or what stands for it.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Returns `name.matches`, or what stands for it.
    pub fn matches(&self) -> &GoRegex {
        &self.matches
    }
}

enum NamingError {
    Regex(RegexError),
    Ambiguous(usize),
}

impl From<RegexError> for NamingError {
    fn from(error: RegexError) -> Self {
        Self::Regex(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{decode::Problems, yaml};

    fn naming(text: &str) -> Result<Naming, String> {
        let node = yaml::parse(text).expect("parses");
        let problems = Problems::default();
        let naming = Naming::decode(&Fields::of(&node, "", &[], &problems));
        match (problems.message(), naming) {
            (None, Some(naming)) => Ok(naming),
            (Some(message), None) => Err(message),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn filters_and_names_series() {
        for (text, series, want) in [
            ("{}", "queue", Some("queue")),
            ("name: {matches: '', as: ''}", "queue", Some("queue")),
            ("name: {as: vllm_queue}", "vllm:queue", Some("vllm_queue")),
            ("name: {matches: '^(.*)_total$'}", "http_total", Some("http")),
            ("name: {matches: '^(.*)_total$'}", "http", None),
            ("name: {matches: _total}", "a_total_b", Some("_total")),
            ("name: {matches: '^(.*)_total$', as: '${1}_per_second'}", "http_total", Some("http_per_second")),
            ("name: {matches: '^(.*)_total$', as: '$1_per_second'}", "http_total", None),
            ("name: {matches: '(a)(b)', as: '$2$1'}", "xaby", Some("ba")),
            ("seriesFilters: [{is: '^a'}, {isNot: '_total$'}]", "a_x", Some("a_x")),
            ("seriesFilters: [{is: '^a'}, {isNot: '_total$'}]", "a_total", None),
            ("seriesFilters: [{is: '^a'}, {isNot: '_total$'}]", "b", None),
            ("seriesFilters: [{is: b}]", "abc", Some("abc")),
        ] {
            let naming = naming(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(naming.metric(series).as_deref(), want, "{text} on {series}");
        }
    }

    #[test]
    fn mistakes_name_their_field() {
        for (text, want) in [
            ("name: {matches: '(a)(b)'}", "name.as: is required"),
            ("name: {matches: '('}", "name.matches: \"(\" is not a regular expression"),
            ("seriesFilters: [{is: a, isNot: b}]", "seriesFilters[0]: needs exactly one"),
            ("seriesFilters: [{is: a}, {}]", "seriesFilters[1]: needs exactly one"),
            ("seriesFilters: [{isNot: '['}]", "seriesFilters[0].isNot: \"[\" is not"),
        ] {
            let error = naming(text).expect_err(text);
            assert!(error.starts_with(want), "{text}: {error}");
        }
    }
}
