//! What has to hold between fields, as CEL that the API server checks; each message names the fix.
//!
//! The validated policy says the same again, exactly; where CEL would cost too much (whether whole gangs can satisfy a
//! ratio) the rule here is the part that it can do.

use serde_json::{Map, Value, json};

use super::{
    CrdError,
    bounds::{METRIC_LISTS, SOURCES},
    schema::field,
};

/// One rule at a field.
struct Rule {
    holds: String,
    message: &'static str,
    /// A CEL expression that says it with the values; empty = the message alone.
    expression: String,
}

fn rule(rule: impl Into<String>, message: &'static str) -> Rule {
    Rule { holds: rule.into(), message, expression: String::new() }
}

fn telling(rule: impl Into<String>, message: &'static str, expression: impl Into<String>) -> Rule {
    Rule { holds: rule.into(), message, expression: expression.into() }
}

/// Adds the rules of every field.
pub(super) fn add(schema: &mut Value) -> Result<(), CrdError> {
    put(schema, "spec", &of_spec())?;
    put(schema, "spec.roles[]", &of_role())?;
    put(schema, "spec.roles[].throughput", &of_throughput())?;
    put(schema, "spec.ratios[]", &of_ratio())?;
    put(
        schema,
        "spec.schedules[].roles[]",
        &[rule("has(self.minReplicas) || has(self.maxReplicas)", "write minReplicas, maxReplicas or both")],
    )?;
    for direction in ["scaleUp", "scaleDown"] {
        put(
            schema,
            &format!("spec.roles[].behavior.{direction}"),
            &[rule(
                format!("!has(self.tolerance) || {}", at_least_zero("self.tolerance")),
                "tolerance: write a quantity of zero or more, such as \"0.1\"",
            )],
        )?;
    }
    for path in [
        "spec.roles[].fallback.after",
        "spec.roles[].scaleToZero.idleAfter",
        "spec.roles[].metrics[].lookahead",
        "spec.capacity.pendingTimeout",
        "spec.capacity.backoff.initial",
        "spec.capacity.backoff.max",
    ] {
        put(schema, path, &[rule("self.matches('[1-9]')", "write a duration above zero, such as 1m")])?;
    }
    put(schema, "spec.roles[].metrics[]", &of_metric())?;
    put(schema, "spec.roles[].scaleToZero.wakeOn[]", &of_wake())?;
    for list in METRIC_LISTS {
        for source in SOURCES {
            put(schema, &format!("{list}[].{source}"), &[of_target(source)])?;
            for kind in ["value", "averageValue"] {
                let path = format!("{list}[].{source}.target.{kind}");
                put(
                    schema,
                    &path,
                    &[rule(above_zero("self"), "write a quantity above zero, such as \"10\"")],
                )?;
            }
        }
    }
    Ok(())
}

fn put(schema: &mut Value, path: &str, rules: &[Rule]) -> Result<(), CrdError> {
    let mut all = Vec::with_capacity(rules.len());
    for Rule { holds, message, expression } in rules {
        let mut one =
            Map::from_iter([("rule".to_owned(), json!(holds)), ("message".to_owned(), json!(message))]);
        if !expression.is_empty() {
            one.insert("messageExpression".to_owned(), json!(expression));
        }
        all.push(Value::Object(one));
    }
    field(schema, path)?.insert("x-kubernetes-validations".to_owned(), Value::Array(all));
    Ok(())
}

/// An integer or a quantity above zero. A text that is none is the pattern's business.
fn above_zero(field: &str) -> String {
    format!("type({field}) == int ? {field} > 0 : quantity({field}).isGreaterThan(quantity('0'))")
}

fn at_least_zero(field: &str) -> String {
    format!("(type({field}) == int ? {field} >= 0 : !quantity({field}).isLessThan(quantity('0')))")
}

/// The step of the role `of`.
fn gang(of: &str) -> String {
    format!("(has({of}.gang) ? {of}.gang.replicas : 1)")
}

/// The effective least count of the role `of`.
fn least(of: &str) -> String {
    format!("(has({of}.minReplicas) ? {of}.minReplicas : {})", gang(of))
}

/// `field: 10 is no multiple of the gang of 4; write 8 or 12`.
fn multiple(has: &str, value: &str, gang: &str, field: &str, message: &'static str) -> Rule {
    telling(
        format!("{has}{value} % {gang} == 0"),
        message,
        // Only `format` has a bounded cost: string() of a number has none, so that the API server refuses sums of texts.
        format!(
            "'{field}: %d is no multiple of the gang of %d; write %d or %d'.format([{value}, {gang}, {value} - {value} % {gang}, \
             {value} - {value} % {gang} + {gang}])"
        ),
    )
}

fn of_role() -> Vec<Rule> {
    let step = gang("self");
    let least = least("self");
    vec![
        telling(
            format!("{least} <= self.maxReplicas"),
            "minReplicas (one gang when absent) must not be above maxReplicas",
            format!(
                "(has(self.minReplicas) ? 'minReplicas: %d is above maxReplicas %d; lower it or raise maxReplicas' : \
                 'maxReplicas: one gang, which minReplicas is when absent, is %d, above maxReplicas %d; raise maxReplicas')\
                 .format([{least}, self.maxReplicas])"
            ),
        ),
        multiple(
            "!has(self.minReplicas) || ",
            "self.minReplicas",
            &step,
            "minReplicas",
            "minReplicas must be a multiple of gang.replicas",
        ),
        multiple(
            "",
            "self.maxReplicas",
            &step,
            "maxReplicas",
            "maxReplicas must be a multiple of gang.replicas",
        ),
        multiple(
            "!has(self.fallback) || ",
            "self.fallback.replicas",
            &step,
            "fallback.replicas",
            "fallback.replicas must be a multiple of gang.replicas",
        ),
        multiple(
            "!has(self.scaleToZero) || !has(self.scaleToZero.wakeTo) || ",
            "self.scaleToZero.wakeTo",
            &step,
            "scaleToZero.wakeTo",
            "scaleToZero.wakeTo must be a multiple of gang.replicas",
        ),
        rule(
            "!has(self.fallback) || self.fallback.replicas <= self.maxReplicas",
            "fallback.replicas must not be above maxReplicas",
        ),
        rule(
            format!(
                "!has(self.scaleToZero) || !has(self.scaleToZero.wakeTo) || \
                 (self.scaleToZero.wakeTo <= self.maxReplicas && self.scaleToZero.wakeTo >= {least})"
            ),
            "scaleToZero.wakeTo must lie between minReplicas (one gang when absent) and maxReplicas",
        ),
        rule(
            format!("(has(self.metrics) && self.metrics.size() > 0) || {least} == self.maxReplicas"),
            "metrics: write at least one, or set minReplicas and maxReplicas to the same count",
        ),
        rule(
            format!("!has(self.scaleToZero) || {least} > 0"),
            "minReplicas: with scaleToZero this is the least count while awake; write one gang or more, or leave it out",
        ),
        rule(
            format!(
                "has(self.scaleToZero) || {least} > 0 || (has(self.metrics) && self.metrics.exists(m, \
                 (has(m.type) && (m.type == 'Object' || m.type == 'External')) || (has(m.role) && m.role != self.name)))"
            ),
            "minReplicas: 0 cannot be left again, no metric is measured without replicas; add an Object or External metric \
             or the total of another role, or write 1 or more, or use scaleToZero",
        ),
        rule(
            "has(self.throughput) == (has(self.metrics) && self.metrics.exists(m, has(m.name) && m.name == 'token_utilization'))",
            "throughput: needed by the metric token_utilization and used by nothing else; write both or neither",
        ),
        rule(
            "!has(self.scaleToZero) || (has(self.scaleToZero.wakeOn) && self.scaleToZero.wakeOn.size() > 0)",
            "scaleToZero.wakeOn: name 1 to 10 signals that live outside of the role, such as {name: queue_length, role: router}",
        ),
    ]
}

fn of_throughput() -> Vec<Rule> {
    let positive = |field: &str| format!("!has(self.{field}) || ({})", above_zero(&format!("self.{field}")));
    vec![
        rule(
            "has(self.promptTokensPerSecond) || has(self.generationTokensPerSecond)",
            "write promptTokensPerSecond, generationTokensPerSecond or both",
        ),
        rule(
            positive("promptTokensPerSecond"),
            "promptTokensPerSecond: write what one replica sustains, such as \"6500\", or leave it out",
        ),
        rule(
            positive("generationTokensPerSecond"),
            "generationTokensPerSecond: write what one replica sustains, such as \"3450\", or leave it out",
        ),
    ]
}

fn of_metric() -> Vec<Rule> {
    let mut rules = of_either_form();
    rules.extend([
        rule(
            format!("!has(self.name) || (has(self.target) && ({}))", above_zero("self.target")),
            "target: write the target per replica, above zero, such as \"10\"",
        ),
        rule(
            "!has(self.name) || !self.name.endsWith('_p95')",
            "name: latencies are flat until the engines are full, then a cliff, so a proportional rule on them swings; scale on \
             queue_length, qps or token_utilization, and watch the latency on a dashboard",
        ),
        rule(
            "!has(self.lookahead) || (has(self.name) && self.name == 'token_utilization')",
            "lookahead: only works with token_utilization; remove it",
        ),
        rule(
            "!has(self.role) || !has(self.name) || self.name != 'token_utilization'",
            "role: token_utilization measures the role itself; remove it",
        ),
    ]);
    rules
}

fn of_wake() -> Vec<Rule> {
    let mut rules = of_either_form();
    rules.extend([
        rule(
            "!has(self.type) || self.type == 'Object' || self.type == 'External'",
            "type: measured on the sleeping replicas; use Object, External, or the short form with another role",
        ),
        rule("!has(self.name) || has(self.role)", "role: name a role that stays awake, such as the router"),
        rule(
            "!has(self.name) || self.name != 'token_utilization'",
            "name: token_utilization needs running replicas; use queue_length or qps of another role",
        ),
        rule("!has(self.lookahead)", "lookahead: only works with the metric token_utilization; remove it"),
        rule(
            format!("!has(self.target) || {}", at_least_zero("self.target")),
            "target: write \"0\" or more; above it the role wakes",
        ),
    ]);
    rules
}

/// One form or the other, and each complete.
fn of_either_form() -> Vec<Rule> {
    let mut source_is_there = String::from("!has(self.type)");
    for source in SOURCES {
        let kind = format!("{}{}", source[..1].to_uppercase(), &source[1..]);
        source_is_there = format!("{source_is_there} || (self.type == '{kind}' && has(self.{source}))");
    }
    let sources = SOURCES.map(|source| format!("(has(self.{source}) ? 1 : 0)")).join(" + ");
    vec![
        rule(
            "has(self.name) != has(self.type)",
            "write either the short form {name: queue_length, target: \"10\"} or type and its source as in an autoscaling/v2 \
             MetricSpec",
        ),
        rule(
            source_is_there,
            "the field that type names is missing: type Pods needs pods, ContainerResource needs containerResource",
        ),
        rule(
            format!("{sources} == (has(self.type) ? 1 : 0)"),
            "keep only the source that type names; the short form has none",
        ),
        rule(
            "!has(self.type) || !(has(self.target) || has(self.role) || has(self.lookahead))",
            "target, role and lookahead belong to the short form; a verbatim metric has its target inside its source",
        ),
    ]
}

fn of_target(source: &str) -> Rule {
    let (has, message) = match source {
        "pods" => ("has(self.target.averageValue)", "target: write averageValue"),
        "object" => {
            ("has(self.target.value) || has(self.target.averageValue)", "target: write value or averageValue")
        }
        "external" => (
            "has(self.target.value) != has(self.target.averageValue)",
            "target: write exactly one of value and averageValue",
        ),
        _ => (
            "has(self.target.averageUtilization) != has(self.target.averageValue)",
            "target: write exactly one of averageUtilization and averageValue",
        ),
    };
    rule(has, message)
}

fn of_ratio() -> Vec<Rule> {
    let part = |bound: &str, place: usize| format!("int(self.{bound}.split(':')[{place}])");
    vec![
        rule("self.roles[0] != self.roles[1]", "roles: name two different roles"),
        rule("has(self.min) || has(self.max)", "write min, max or both, such as \"1:4\""),
        rule(
            format!(
                "!has(self.min) || !has(self.max) || {} * {} <= {} * {}",
                part("min", 0),
                part("max", 1),
                part("max", 0),
                part("min", 1)
            ),
            "min is above max; swap them, or write a min that is not larger",
        ),
    ]
}

fn of_spec() -> Vec<Rule> {
    let part = |bound: &str, place: usize| format!("int(r.{bound}.split(':')[{place}])");
    let pair = |condition: String| {
        format!(
            "!has(self.ratios) || self.ratios.all(r, self.roles.filter(a, a.name == r.roles[0]).all(a, \
             self.roles.filter(b, b.name == r.roles[1]).all(b, {condition})))"
        )
    };
    let scheduled = |condition: String| {
        format!(
            "!has(self.schedules) || self.schedules.all(s, s.roles.all(b, self.roles.filter(x, x.name == b.name).all(x, \
             {condition})))"
        )
    };
    let step = gang("x");
    vec![
        telling(
            "!has(self.ratios) || self.ratios.all(r, r.roles.all(n, self.roles.exists(x, x.name == n)))",
            "ratios: every name must be one of spec.roles",
            "'ratios: %s: a name is no role of this policy; its roles are %s'.format([self.ratios.map(r, r.roles).filter(l, \
             l.exists(n, !self.roles.exists(x, x.name == n))), self.roles.map(x, x.name)])",
        ),
        rule(
            pair("has(a.scaleToZero) == has(b.scaleToZero)".to_owned()),
            "ratios: one role sleeps at zero and the other does not, which breaks the ratio; give scaleToZero to both or to none",
        ),
        rule(
            pair(format!(
                "(!has(r.min) || a.maxReplicas * {} >= {} * {b}) && (!has(r.max) || {a} * {} <= {} * b.maxReplicas)",
                part("min", 1),
                part("min", 0),
                part("max", 1),
                part("max", 0),
                a = least("a"),
                b = least("b"),
            )),
            "ratios: no counts inside minReplicas and maxReplicas satisfy a ratio; widen the bounds or relax min or max",
        ),
        telling(
            "!has(self.schedules) || self.schedules.all(s, s.roles.all(b, self.roles.exists(x, x.name == b.name)))",
            "schedules: every name must be one of spec.roles",
            "'schedules: %s: a name is no role of this policy; its roles are %s'.format([self.schedules.map(s, s.roles.map(b, \
             b.name)).filter(l, l.exists(n, !self.roles.exists(x, x.name == n))), self.roles.map(x, x.name)])",
        ),
        rule(
            scheduled(format!(
                "(!has(b.minReplicas) || b.minReplicas % {step} == 0) && (!has(b.maxReplicas) || b.maxReplicas % {step} == 0)"
            )),
            "schedules: minReplicas and maxReplicas must be multiples of the role's gang.replicas",
        ),
        rule(
            scheduled(format!(
                "(has(b.minReplicas) ? b.minReplicas : {}) <= (has(b.maxReplicas) ? b.maxReplicas : x.maxReplicas)",
                least("x")
            )),
            "schedules: leaves no count, minReplicas is then above maxReplicas; set both in the schedule",
        ),
        rule(
            "self.roles.all(x, !has(x.scaleToZero) || !has(x.scaleToZero.wakeOn) || x.scaleToZero.wakeOn.all(w, !has(w.role) || \
             !self.roles.exists(y, y.name == w.role && has(y.scaleToZero))))",
            "scaleToZero.wakeOn: a role that sleeps as well cannot tell; name a role without scaleToZero, such as the router",
        ),
    ]
}
