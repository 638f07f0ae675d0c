//! What a PromQL expression does with labels: which selectors it reads, and whether a label survives to its answer.

use promql_parser::{
    label::{MatchOp as ParsedOp, Matcher as ParsedMatcher},
    parser::{self, Call, Expr, LabelModifier, VectorMatchCardinality, VectorSelector, value::ValueType},
};

use crate::rules::series::MatchOp;

pub mod partition;

/// Longer or deeper expressions are not parsed: the parser recurses.
const MAX_LENGTH: usize = 64 * 1024;
const MAX_DEPTH: usize = 64;

/// Parses an expression. Errors: the parser's reason.
pub fn parse(query: &str) -> Result<Expr, String> {
    let mut depth: usize = 0;
    for byte in query.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH || query.len() > MAX_LENGTH {
            return Err("too long or too deeply nested".to_owned());
        }
    }
    // Operators nest as well, without parentheses.
    if query.bytes().filter(|byte| b"+-*/%^=!<>".contains(byte)).count() > 16 * MAX_DEPTH {
        return Err("too many operators".to_owned());
    }
    parser::parse(query)
}

/// Returns all selectors of an expression.
pub fn selectors(expr: &Expr) -> Vec<&VectorSelector> {
    let mut found = Vec::new();
    gather(expr, &mut found);
    found
}

fn gather<'a>(expr: &'a Expr, found: &mut Vec<&'a VectorSelector>) {
    match expr {
        Expr::VectorSelector(selector) => found.push(selector),
        Expr::MatrixSelector(matrix) => found.push(&matrix.vs),
        Expr::Aggregate(aggregate) => {
            gather(&aggregate.expr, found);
            if let Some(param) = &aggregate.param {
                gather(param, found);
            }
        }
        Expr::Binary(binary) => {
            gather(&binary.lhs, found);
            gather(&binary.rhs, found);
        }
        Expr::Call(call) => {
            for arg in &call.args.args {
                gather(arg, found);
            }
        }
        Expr::Paren(paren) => gather(&paren.expr, found),
        Expr::Unary(unary) => gather(&unary.expr, found),
        Expr::Subquery(subquery) => gather(&subquery.expr, found),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

/// Returns the labels that any aggregation of the expression groups by.
pub fn grouped_by(expr: &Expr) -> Vec<&str> {
    match expr {
        Expr::Aggregate(aggregate) => {
            let mut labels = grouped_by(&aggregate.expr);
            if let Some(LabelModifier::Include(by)) = &aggregate.modifier {
                labels.extend(by.labels.iter().map(String::as_str));
            }
            labels
        }
        Expr::Binary(binary) => {
            let mut labels = grouped_by(&binary.lhs);
            labels.extend(grouped_by(&binary.rhs));
            labels
        }
        Expr::Call(call) => call.args.args.iter().flat_map(|arg| grouped_by(arg)).collect(),
        Expr::Paren(paren) => grouped_by(&paren.expr),
        Expr::Unary(unary) => grouped_by(&unary.expr),
        Expr::Subquery(subquery) => grouped_by(&subquery.expr),
        _ => Vec::new(),
    }
}

/// Returns a selector's matchers on all of its alternatives.
pub fn matchers(selector: &VectorSelector) -> impl Iterator<Item = &ParsedMatcher> {
    selector.matchers.matchers.iter().chain(selector.matchers.or_matchers.iter().flatten())
}

/// Returns a parsed operator as ours.
pub fn op(matcher: &ParsedMatcher) -> MatchOp {
    match matcher.op {
        ParsedOp::Equal => MatchOp::Equal,
        ParsedOp::NotEqual => MatchOp::NotEqual,
        ParsedOp::Re(_) => MatchOp::Match,
        ParsedOp::NotRe(_) => MatchOp::NotMatch,
    }
}

/// Says whether samples of the answer can carry a label. `false` is certain, `true` is not.
pub fn can_carry(expr: &Expr, label: &str) -> bool {
    match expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => false,
        Expr::Extension(_) => true,
        Expr::VectorSelector(selector) => selector_can_carry(selector, label),
        Expr::MatrixSelector(matrix) => selector_can_carry(&matrix.vs, label),
        Expr::Paren(paren) => can_carry(&paren.expr, label),
        Expr::Unary(unary) => can_carry(&unary.expr, label),
        Expr::Subquery(subquery) => can_carry(&subquery.expr, label),
        Expr::Call(call) => call_can_carry(call, label),
        Expr::Aggregate(aggregate) => {
            let op = aggregate.op.to_string();
            if matches!(op.as_str(), "topk" | "bottomk" | "limitk" | "limit_ratio") {
                return can_carry(&aggregate.expr, label);
            }
            if is_text(aggregate.param.as_deref(), label) {
                return true;
            }
            let inner = can_carry(&aggregate.expr, label);
            match &aggregate.modifier {
                None => false,
                Some(LabelModifier::Include(by)) => holds(&by.labels, label) && inner,
                Some(LabelModifier::Exclude(without)) => !holds(&without.labels, label) && inner,
            }
        }
        Expr::Binary(binary) => {
            let left = can_carry(&binary.lhs, label);
            let right = can_carry(&binary.rhs, label);
            let is_scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
            if is_scalar(&binary.lhs) || is_scalar(&binary.rhs) {
                return left || right;
            }
            if binary.op.is_set_operator() {
                return left || (binary.op.to_string() == "or" && right);
            }
            let Some(modifier) = &binary.modifier else { return left };
            match (&modifier.card, &modifier.matching) {
                (VectorMatchCardinality::ManyToOne(extra), _) => left || holds(&extra.labels, label),
                (VectorMatchCardinality::OneToMany(extra), _) => right || holds(&extra.labels, label),
                (_, Some(LabelModifier::Include(on))) => left && holds(&on.labels, label),
                (_, Some(LabelModifier::Exclude(ignoring))) => left && !holds(&ignoring.labels, label),
                (_, None) => left,
            }
        }
    }
}

fn selector_can_carry(selector: &VectorSelector, label: &str) -> bool {
    let is_empty = |matcher: &ParsedMatcher| {
        matcher.name == label && matcher.value.is_empty() && op(matcher) == MatchOp::Equal
    };
    !selector.matchers.matchers.iter().any(is_empty)
}

fn call_can_carry(call: &Call, label: &str) -> bool {
    let args = &call.args.args;
    match call.func.name {
        "label_replace" | "label_join" if is_text(args.get(1).map(|arg| &**arg), label) => true,
        "scalar" | "vector" | "time" | "pi" => false,
        "info" => true,
        _ => args.iter().any(|arg| can_carry(arg, label)),
    }
}

pub(crate) fn holds(labels: &[String], label: &str) -> bool {
    labels.iter().any(|listed| listed == label)
}

pub(crate) fn is_text(expr: Option<&Expr>, text: &str) -> bool {
    matches!(expr, Some(Expr::StringLiteral(literal)) if literal.val == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_when_a_label_is_lost() {
        for (query, want) in [
            ("x", true),
            ("x{pod=\"\"}", false),
            ("sum(x)", false),
            ("sum(x) by (pod)", true),
            ("sum by (namespace) (x)", false),
            ("sum without (pod) (x)", false),
            ("sum without (le) (x)", true),
            ("topk(3, x)", true),
            ("count_values(\"pod\", x)", true),
            ("max(sum by (pod) (x))", false),
            ("sum by (pod) (sum by (a) (x))", false),
            ("1", false),
            ("time()", false),
            ("vector(1)", false),
            ("scalar(x)", false),
            ("rate(x[5m]) * 100", true),
            ("100 * sum(x)", false),
            ("x / on (pod) y", true),
            ("x / on (namespace) y", false),
            ("x / ignoring (pod) y", false),
            ("x / ignoring (a) y", true),
            ("sum(x) / on () group_right () y", true),
            ("sum(x) * on (a) group_left (pod) y", true),
            ("sum(x) or y", true),
            ("sum(x) and y", false),
            ("label_replace(sum(x), \"pod\", \"$1\", \"a\", \"(.*)\")", true),
            ("label_replace(sum(x), \"node\", \"$1\", \"a\", \"(.*)\")", false),
            ("histogram_quantile(0.9, sum by (le, pod) (rate(x[5m])))", true),
            ("histogram_quantile(0.9, sum by (le) (rate(x[5m])))", false),
            ("max_over_time(sum by (pod) (x)[5m:30s])", true),
            ("-(sum by (pod) (x))", true),
        ] {
            let expr = parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
            assert_eq!(can_carry(&expr, "pod"), want, "{query}");
        }
    }

    #[test]
    fn finds_selectors_and_groupings() {
        let expr =
            parse("sum by (a) (rate(x{l=\"1\"}[5m])) / on (a) count by (a, b) (y) + max_over_time(z[5m:1m])")
                .expect("parses");
        let names: Vec<_> = selectors(&expr).iter().filter_map(|selector| selector.name.as_deref()).collect();
        assert_eq!(names, ["x", "y", "z"]);
        assert_eq!(grouped_by(&expr), ["a", "a", "b"]);
    }

    #[test]
    fn deep_expressions_are_refused() {
        assert!(parse(&format!("{}x{}", "(".repeat(10_000), ")".repeat(10_000))).is_err());
        assert!(parse(&format!("x{}", " + x".repeat(10_000))).is_err());
        assert!(parse(&"-".repeat(5_000)).is_err());
        let long = parse(&format!("x{}", " + x".repeat(1_000))).expect("parses");
        assert!(can_carry(&long, "pod") && selectors(&long).len() == 1_001);
    }
}
