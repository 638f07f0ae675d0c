//! Whether an expression answers many objects as it answers one: each sample of its answer depends only on series with
//! the same values of some labels.

use promql_parser::{
    label::Matcher as ParsedMatcher,
    parser::{
        AggregateExpr, BinModifier, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality,
        VectorSelector, value::ValueType,
    },
};

use crate::rules::{
    promql::{holds, is_text, op},
    series::MatchOp,
};

/// The value of a label that stands for any value, where a template asks for the values themselves.
pub const ANY_VALUE: &str = ".+";

/// What an expression is, given the labels that objects are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The same for one object as for many: it does not read the objects' series.
    Free,
    /// Every sample carries the labels and depends only on series that carry the same values.
    Parted {
        /// An aggregation stands above each selector of objects, so the answer has one sample per group.
        aggregated: bool,
    },
    /// Neither, or not known to be.
    Mixed,
}

/// Says whether an expression, in which every value of `keys` is selected, holds for each object the same sample as the
/// expression that selects this object alone; and aggregates.
pub fn answers_each(expr: &Expr, keys: &[&str]) -> bool {
    part(expr, keys) == Part::Parted { aggregated: true }
}

fn part(expr: &Expr, keys: &[&str]) -> Part {
    match expr {
        Expr::StringLiteral(literal) if literal.val.contains(ANY_VALUE) => Part::Mixed,
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Part::Free,
        Expr::VectorSelector(selector) => selector_part(selector, keys),
        Expr::MatrixSelector(matrix) => selector_part(&matrix.vs, keys),
        Expr::Paren(paren) => part(&paren.expr, keys),
        Expr::Unary(unary) => part(&unary.expr, keys),
        Expr::Subquery(subquery) => part(&subquery.expr, keys),
        Expr::Aggregate(aggregate) => aggregate_part(aggregate, keys),
        Expr::Call(call) => call_part(call, keys),
        Expr::Binary(binary) => binary_part(binary, keys),
        Expr::Extension(_) => Part::Mixed,
    }
}

/// A selector of objects selects every value of all keys; one of something else names none of them.
fn selector_part(selector: &VectorSelector, keys: &[&str]) -> Part {
    if !selector.matchers.or_matchers.is_empty() {
        return Part::Mixed;
    }
    let matchers = &selector.matchers.matchers;
    let selects_any = |matcher: &ParsedMatcher| match op(matcher) {
        MatchOp::NotEqual => matcher.value.is_empty(),
        MatchOp::Match => matcher.value == ANY_VALUE,
        MatchOp::Equal | MatchOp::NotMatch => false,
    };
    let stands_for_values =
        |matcher: &ParsedMatcher| matcher.value.contains(ANY_VALUE) && !selects_any(matcher);
    let of_key = |key: &str| matchers.iter().any(|matcher| matcher.name == key && selects_any(matcher));
    let on_keys = |matcher: &&ParsedMatcher| keys.contains(&matcher.name.as_str());
    if matchers.iter().filter(on_keys).any(stands_for_values) {
        return Part::Mixed;
    }
    match keys.iter().filter(|key| of_key(key)).count() {
        0 => Part::Free,
        all if all == keys.len() => Part::Parted { aggregated: false },
        _ => Part::Mixed,
    }
}

fn aggregate_part(aggregate: &AggregateExpr, keys: &[&str]) -> Part {
    let param = aggregate.param.as_deref();
    if param.is_some_and(|param| part(param, keys) != Part::Free)
        || keys.iter().any(|key| is_text(param, key))
    {
        return Part::Mixed;
    }
    let keeps = match &aggregate.modifier {
        None => false,
        Some(modifier) => keeps_keys(modifier, keys),
    };
    match part(&aggregate.expr, keys) {
        Part::Parted { .. } if keeps => Part::Parted { aggregated: true },
        Part::Free => Part::Free,
        _ => Part::Mixed,
    }
}

/// Says whether `by` or `on` names all keys, or `without` or `ignoring` none.
fn keeps_keys(modifier: &LabelModifier, keys: &[&str]) -> bool {
    match modifier {
        LabelModifier::Include(labels) => keys.iter().all(|key| holds(&labels.labels, key)),
        LabelModifier::Exclude(labels) => !keys.iter().any(|key| holds(&labels.labels, key)),
    }
}

fn call_part(call: &Call, keys: &[&str]) -> Part {
    let parts: Vec<Part> = call.args.args.iter().map(|arg| part(arg, keys)).collect();
    if parts.iter().all(|part| *part == Part::Free) {
        return Part::Free;
    }
    let mut of_objects = parts.iter().filter(|part| **part != Part::Free);
    let (Some(part @ Part::Parted { .. }), None) = (of_objects.next(), of_objects.next()) else {
        return Part::Mixed;
    };
    let name = call.func.name;
    let keeps = match name {
        "label_replace" | "label_join" => {
            let target = call.args.args.get(1).map(|arg| &**arg);
            matches!(target, Some(Expr::StringLiteral(_))) && !keys.iter().any(|key| is_text(target, key))
        }
        "histogram_quantile" => !keys.contains(&"le"),
        "absent_over_time" => false,
        _ => name.ends_with("_over_time") || SAMPLE_BY_SAMPLE.contains(&name),
    };
    if keeps { *part } else { Part::Mixed }
}

/// Functions that make one sample of each series and keep its labels.
const SAMPLE_BY_SAMPLE: [&str; 30] = [
    "abs",
    "ceil",
    "changes",
    "clamp",
    "clamp_max",
    "clamp_min",
    "delta",
    "deriv",
    "double_exponential_smoothing",
    "exp",
    "floor",
    "histogram_avg",
    "histogram_count",
    "histogram_fraction",
    "histogram_sum",
    "idelta",
    "increase",
    "irate",
    "ln",
    "log10",
    "log2",
    "predict_linear",
    "rate",
    "resets",
    "round",
    "sgn",
    "sort",
    "sort_desc",
    "sqrt",
    "timestamp",
];

fn binary_part(binary: &BinaryExpr, keys: &[&str]) -> Part {
    let parts = (part(&binary.lhs, keys), part(&binary.rhs, keys));
    let modifier = binary.modifier.as_ref();
    let fills =
        |modifier: &BinModifier| modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some();
    let copied =
        |modifier: &BinModifier| modifier.card.labels().map_or(&[][..], |extra| &extra.labels).to_vec();
    let copies_key = |modifier: &BinModifier| keys.iter().any(|key| holds(&copied(modifier), key));
    if modifier.is_some_and(|modifier| fills(modifier) || copies_key(modifier)) {
        return if parts == (Part::Free, Part::Free) { Part::Free } else { Part::Mixed };
    }
    let is_scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
    let matching = modifier.and_then(|modifier| modifier.matching.as_ref());
    let covers = matching.is_none_or(|matching| keeps_keys(matching, keys));
    match parts {
        (Part::Free, Part::Free) => Part::Free,
        (parted @ Part::Parted { .. }, Part::Free) if is_scalar(&binary.rhs) => parted,
        (Part::Free, parted @ Part::Parted { .. }) if is_scalar(&binary.lhs) => parted,
        (Part::Parted { aggregated: left }, Part::Parted { aggregated: right }) if covers => {
            Part::Parted { aggregated: left && right }
        }
        (parted @ Part::Parted { .. }, Part::Free) if covers || follows_left(binary) => parted,
        (Part::Free, parted @ Part::Parted { .. }) if covers || follows_right(binary) => parted,
        _ => Part::Mixed,
    }
}

/// Each sample of the left side is matched on its own.
fn follows_left(binary: &BinaryExpr) -> bool {
    let many = |modifier: &BinModifier| matches!(modifier.card, VectorMatchCardinality::ManyToOne(_));
    matches!(binary.op.to_string().as_str(), "and" | "unless") || binary.modifier.as_ref().is_some_and(many)
}

fn follows_right(binary: &BinaryExpr) -> bool {
    let many = |modifier: &BinModifier| matches!(modifier.card, VectorMatchCardinality::OneToMany(_));
    binary.modifier.as_ref().is_some_and(many)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::promql::parse;

    #[test]
    fn aggregations_by_the_object_answer_each() {
        // `M` stands for the matcher that selects every object.
        for (query, want) in [
            ("sum(rate(x{M}[2m])) by (pod)", true),
            ("max by (pod, a) (x{M,b=\"c\"})", true),
            ("sum without (instance) (x{M})", true),
            ("sum(x{M})", false),
            ("sum by (a) (x{M})", false),
            ("sum without (pod) (x{M})", false),
            ("x{M}", false),
            ("rate(x{M}[2m])", false),
            ("count(y{a=\"b\"})", false),
            ("sum by (pod) (x)", false),
            ("100 * sum by (pod) (x{M}) / 8", true),
            ("sum by (pod) (x{M}) / sum by (pod) (y{M})", true),
            ("sum by (pod) (x{M}) / on (pod) sum by (pod, a) (y{M})", true),
            ("sum by (pod) (x{M}) / on () sum by (pod) (y{M})", false),
            ("sum by (pod) (x{M}) / ignoring (pod) sum(y)", false),
            ("sum by (pod) (x{M}) / on () group_left () sum(y)", true),
            ("sum(y) / on () group_right () sum by (pod) (x{M})", true),
            ("sum by (pod) (x{M}) / on (pod) y", true),
            ("sum by (pod) (x{M}) / x{M}", false),
            ("sum by (pod) (x{M} * on (pod) group_left (node) y)", true),
            ("sum by (pod) (x{M} * on (a) group_left (pod) y)", false),
            ("sum by (pod) (x{M}) or vector(0)", true),
            ("vector(0) or sum by (pod) (x{M})", true),
            ("sum by (pod) (x{M}) or on () vector(0)", false),
            ("sum by (pod) (x{M}) and on () (y > 0)", true),
            ("(y > 0) and on () sum by (pod) (x{M})", false),
            ("sum by (pod) (x{M}) unless sum by (pod) (y{M}) > 5", true),
            ("sum by (pod) (x{M}) > bool 5", true),
            ("avg_over_time(sum by (pod) (x{M})[5m:30s])", true),
            ("histogram_quantile(0.95, sum by (le, pod) (rate(x{M}[5m])))", true),
            ("clamp_min(sum by (pod) (x{M}), scalar(y))", true),
            ("clamp_min(sum by (pod) (x{M}), scalar(sum(z{M})))", false),
            ("topk by (pod) (1, sum by (pod, a) (x{M}))", true),
            ("topk(1, sum by (pod) (x{M}))", false),
            ("absent(sum by (pod) (x{M}))", false),
            ("scalar(sum by (pod) (x{M}))", false),
            ("quantile by (pod) (0.5, x{M})", true),
            ("count_values by (pod) (\"pod\", x{M})", false),
            ("label_replace(sum by (pod) (x{M}), \"a\", \"$1\", \"pod\", \"(.*)\")", true),
            ("label_replace(sum by (pod) (x{M}), \"pod\", \"$1\", \"a\", \"(.*)\")", false),
            ("sum by (pod) (x{pod=\".+\"})", false),
            ("sum by (pod) (x{pod=~\".+\"})", true),
            ("sum by (pod) (x{pod=\"a\"})", false),
            ("sum by (pod) (x{M or b=\"c\"})", false),
        ] {
            let expr = parse(&query.replace('M', "pod!=\"\"")).unwrap_or_else(|e| panic!("{query}: {e}"));
            assert_eq!(answers_each(&expr, &["pod"]), want, "{query}");
        }
    }

    #[test]
    fn all_keys_must_be_kept() {
        for (query, want) in [
            ("sum by (pod, namespace) (x{pod!=\"\",namespace!=\"\"})", true),
            ("sum by (pod) (x{pod!=\"\",namespace!=\"\"})", false),
            ("sum by (pod, namespace) (x{pod!=\"\"})", false),
            ("sum without (a) (x{pod!=\"\",namespace!=\"\"})", true),
        ] {
            let expr = parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
            assert_eq!(answers_each(&expr, &["pod", "namespace"]), want, "{query}");
        }
    }
}
