//! [`MetricsQuery`]: a rule's PromQL template, and the query that a request makes of it.

use std::collections::BTreeMap;

use crate::{
    rules::{
        quote::{go_quote, quote_meta},
        series::MatchOp,
        template::{Schema, Template, TemplateError, Type, Value},
    },
    selector::{Operator, Requirement, Selector},
};

const SCHEMA: Schema = &[
    ("Series", Type::Text),
    ("LabelMatchers", Type::Text),
    ("LabelValuesByName", Type::Map),
    ("GroupBy", Type::Text),
    ("GroupBySlice", Type::List),
];

/// The fields of the template, in the order of the schema.
const GROUP_BY: [usize; 2] = [3, 4];

/// A `metricsQuery`, `containerQuery` or `nodeQuery`.
#[derive(Clone, Debug)]
pub struct MetricsQuery {
    text: String,
    template: Template,
}

/// What a request fills into the template.
#[derive(Clone, Debug, Default)]
pub struct Filling<'a> {
    /// The series' name; empty for resource metrics.
    pub series: &'a str,
    /// The request's selector over series.
    pub selector: Option<&'a Selector>,
    /// The label of the namespace and the namespace, if the request has one.
    pub namespace: Option<(&'a str, &'a str)>,
    /// The label of the objects and their names, if the metric is one of objects.
    pub objects: Option<(&'a str, &'a [&'a str])>,
    /// What the answer is grouped by.
    pub group_by: &'a [String],
    /// How values in regular expressions are written.
    pub escaping: Escaping,
}

/// Whether values that become part of a regular expression (`=~`) are escaped.
///
/// prometheus-adapter escapes neither. Names of objects may hold a dot, which then matches any character; values of
/// selectors are sometimes meant as expressions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Escaping {
    /// The names of objects.
    pub names: bool,
    /// The values of `in` and `notin`.
    pub selector_values: bool,
}

impl Escaping {
    /// What prometheus-adapter does: nothing is escaped.
    pub const UPSTREAM: Self = Self { names: false, selector_values: false };
    /// What we send: names are escaped, values of selectors stay expressions.
    pub const NAMES: Self = Self { names: true, selector_values: false };
}

/// Why a query cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// PromQL has no such matcher.
    #[error("the selector's operator {sign} on label {label} cannot be expressed in PromQL")]
    UnsupportedOperator {
        /// The label.
        label: String,
        /// `>` or `<`
        sign: &'static str,
    },
    /// The template failed on these values.
    #[error("the query template fails: {0}")]
    Template(#[from] TemplateError),
    /// Nothing came out.
    #[error("the query template makes an empty query")]
    Empty,
}

impl MetricsQuery {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { text: text.to_owned(), template: Template::parse(text, SCHEMA)? })
    }

    /// Returns the template as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Says whether the template uses the labels to group by.
    pub fn groups(&self) -> bool {
        GROUP_BY.iter().any(|field| self.template.reads(*field))
    }

    /// Builds the PromQL of a request: the selector's matchers sorted by key, then the namespace, then the objects.
    pub fn build(&self, filling: &Filling<'_>) -> Result<String, QueryError> {
        let mut matchers = Self::selector_matchers(filling)?;
        let mut values = BTreeMap::new();
        for requirement in filling.selector.map(Selector::requirements).unwrap_or_default() {
            values.insert(requirement.key.clone(), requirement.values.join("|"));
        }
        if let Some((label, namespace)) = filling.namespace {
            matchers.push(Self::namespace_matcher(label, namespace));
            values.insert(label.to_owned(), namespace.to_owned());
        }
        if let Some((label, names)) = filling.objects {
            matchers.push(object_matcher(label, names, filling.escaping));
            values.insert(label.to_owned(), names.join("|"));
        }
        self.render(filling.series, &matchers.join(","), &values, filling.group_by)
    }

    /// Returns the matchers of the request's selector, sorted by key.
    pub fn selector_matchers(filling: &Filling<'_>) -> Result<Vec<String>, QueryError> {
        let requirements = filling.selector.map(Selector::requirements).unwrap_or_default();
        requirements.iter().map(|requirement| matcher(requirement, filling.escaping)).collect()
    }

    /// Returns the matcher of the request's namespace.
    pub fn namespace_matcher(label: &str, namespace: &str) -> String {
        format!("{label}={}", go_quote(namespace))
    }

    /// Fills the template.
    pub fn render(
        &self,
        series: &str,
        matchers: &str,
        values: &BTreeMap<String, String>,
        group_by: &[String],
    ) -> Result<String, QueryError> {
        let joined = group_by.join(",");
        let query = self.template.render(&[
            Value::Text(series.into()),
            Value::Text(matchers.into()),
            Value::Map(values),
            Value::Text(joined.into()),
            Value::List(group_by),
        ])?;
        if query.is_empty() { Err(QueryError::Empty) } else { Ok(query) }
    }
}

/// One name is compared as it is, several make an expression.
fn object_matcher(label: &str, names: &[&str], escaping: Escaping) -> String {
    if let [name] = names {
        return format!("{label}={}", go_quote(name));
    }
    format!("{label}=~{}", go_quote(&expression(names.iter().copied(), escaping.names)))
}

fn expression<'a>(values: impl Iterator<Item = &'a str>, escapes: bool) -> String {
    let written: Vec<_> =
        values.map(|value| if escapes { quote_meta(value) } else { value.to_owned() }).collect();
    written.join("|")
}

/// Returns a selector's requirement as a PromQL matcher.
fn matcher(requirement: &Requirement, escaping: Escaping) -> Result<String, QueryError> {
    let label = &requirement.key;
    let op = match requirement.operator {
        Operator::Equals | Operator::DoubleEquals | Operator::DoesNotExist => MatchOp::Equal,
        Operator::NotEquals | Operator::Exists => MatchOp::NotEqual,
        Operator::In => MatchOp::Match,
        Operator::NotIn => MatchOp::NotMatch,
        Operator::GreaterThan => {
            return Err(QueryError::UnsupportedOperator { label: label.clone(), sign: ">" });
        }
        Operator::LessThan => {
            return Err(QueryError::UnsupportedOperator { label: label.clone(), sign: "<" });
        }
    };
    let escapes = escaping.selector_values && matches!(op, MatchOp::Match | MatchOp::NotMatch);
    let value = expression(requirement.values.iter().map(String::as_str), escapes);
    Ok(format!("{label}{}{}", op.sign(), go_quote(&value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)";

    fn build(template: &str, filling: &Filling<'_>) -> Result<String, QueryError> {
        MetricsQuery::parse(template).expect(template).build(filling)
    }

    fn pods<'a>(names: &'a [&'a str], group_by: &'a [String]) -> Filling<'a> {
        let namespace = Some(("namespace", "a"));
        Filling {
            series: "s_total",
            namespace,
            objects: Some(("pod", names)),
            group_by,
            ..Filling::default()
        }
    }

    #[test]
    fn one_name_is_equal_several_are_an_expression_in_their_order() {
        let group_by = ["pod".to_owned()];
        for (names, want) in [
            (&["p1"][..], r#"sum(rate(s_total{namespace="a",pod="p1"}[2m])) by (pod)"#),
            (&["p2", "p1"], r#"sum(rate(s_total{namespace="a",pod=~"p2|p1"}[2m])) by (pod)"#),
            (&["n.x", "p"], r#"sum(rate(s_total{namespace="a",pod=~"n.x|p"}[2m])) by (pod)"#),
            (&["q\"\\"], r#"sum(rate(s_total{namespace="a",pod="q\"\\"}[2m])) by (pod)"#),
        ] {
            assert_eq!(build(QUERY, &pods(names, &group_by)).as_deref(), Ok(want));
        }
    }

    #[test]
    fn escaping_touches_expressions_only() {
        let group_by = ["pod".to_owned()];
        let escaping = Escaping { names: true, selector_values: true };
        let selector = Selector::parse("v in (1.5,2),w=1.5").expect("parses");
        let filling = Filling { escaping, selector: Some(&selector), ..pods(&["n.x", "p"], &group_by) };
        let want = r#"v=~"1\\.5|2",w="1.5",namespace="a",pod=~"n\\.x|p""#;
        assert_eq!(build("<<.LabelMatchers>>", &filling).as_deref(), Ok(want));
        let filling = Filling { objects: Some(("pod", &["n.x"])), ..filling };
        assert_eq!(
            build("<<.LabelMatchers>> <<.LabelValuesByName>>", &filling).as_deref(),
            Ok(r#"v=~"1\\.5|2",w="1.5",namespace="a",pod="n.x" map[namespace:a pod:n.x v:1.5|2 w:1.5]"#)
        );
    }

    #[test]
    fn every_operator_becomes_a_matcher() {
        for (selector, want) in [
            ("l=v", Ok(r#"l="v""#)),
            ("l==v", Ok(r#"l="v""#)),
            ("l!=v", Ok(r#"l!="v""#)),
            ("l=", Ok(r#"l="""#)),
            ("l in (v)", Ok(r#"l=~"v""#)),
            ("l in (b,a)", Ok(r#"l=~"a|b""#)),
            ("l in (,a)", Ok(r#"l=~"|a""#)),
            ("l notin (v)", Ok(r#"l!~"v""#)),
            ("l notin (b,a)", Ok(r#"l!~"a|b""#)),
            ("l", Ok(r#"l!="""#)),
            ("!l", Ok(r#"l="""#)),
            ("z=1,a=2,m", Ok(r#"a="2",m!="",z="1""#)),
            ("app.kubernetes.io/name=x", Ok(r#"app.kubernetes.io/name="x""#)),
            ("l>1", Err("the selector's operator > on label l cannot be expressed in PromQL")),
            ("l<1", Err("the selector's operator < on label l cannot be expressed in PromQL")),
        ] {
            let parsed = Selector::parse(selector).expect(selector);
            let filling = Filling { selector: Some(&parsed), ..Filling::default() };
            let built = build("<<.LabelMatchers>>", &filling).map_err(|error| error.to_string());
            assert_eq!(built, want.map(str::to_owned).map_err(str::to_owned), "{selector}");
        }
    }

    #[test]
    fn fields_hold_what_the_documentation_says() {
        let selector = Selector::parse("x in (b,a),gone").expect("parses");
        let group_by = ["pod".to_owned(), "container".to_owned()];
        let filling = Filling { selector: Some(&selector), ..pods(&["p1", "p2"], &group_by) };
        for (template, want) in [
            ("<<.Series>>", "s_total"),
            ("<<.LabelValuesByName>>", "map[gone: namespace:a pod:p1|p2 x:a|b]"),
            ("<<index .LabelValuesByName \"namespace\">><<index .LabelValuesByName \"nope\">>", "a"),
            ("<<.GroupBy>> <<.GroupBySlice>>", "pod,container [pod container]"),
            ("a\n  <<.GroupBy>>\n", "a\n  pod,container\n"),
        ] {
            assert_eq!(build(template, &filling).as_deref(), Ok(want), "{template}");
        }
        assert_eq!(build("<<.GroupBy>>", &Filling::default()), Err(QueryError::Empty));
        assert_eq!(build("<<.GroupBySlice>>", &Filling::default()).as_deref(), Ok("[]"));
        let error = build("<<index .GroupBySlice 2>>", &filling).expect_err("out of range");
        assert_eq!(error.to_string(), "the query template fails: index out of range: 2");
    }

    #[test]
    fn an_object_label_repeated_in_the_selector_keeps_both_matchers() {
        let selector = Selector::parse("pod=other").expect("parses");
        let filling = Filling { selector: Some(&selector), ..pods(&["p1"], &[]) };
        assert_eq!(
            build("<<.LabelMatchers>> <<.LabelValuesByName>>", &filling).as_deref(),
            Ok(r#"pod="other",namespace="a",pod="p1" map[namespace:a pod:p1]"#)
        );
    }
}
