//! An [`Account`] as a person reads it.

use std::fmt::Write as _;

use super::{
    account::{Account, MetricAccount, RoleAccount, Told},
    outlook::span,
    spark,
};

/// Replicas behind a value that are listed; the rest is counted.
const LISTED: usize = 12;

/// How text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ink {
    /// Whether at all.
    pub colours: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Bold,
    Faint,
    Green,
    Yellow,
    Red,
}

impl Ink {
    fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Bold => "1",
            Colour::Faint => "2",
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Red => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Writes an account. Writing to a String cannot fail.
pub(super) fn text(account: &Account, ink: Ink) -> String {
    let mut text = String::new();
    let name = format!("{}/{}", account.namespace, account.group);
    let _ = writeln!(
        text,
        "{}  policy {}  {}  {}",
        ink.paint(Colour::Bold, &name),
        account.policy,
        account.mode,
        ink.paint(Colour::Faint, &account.now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
    );
    for condition in account.conditions.iter().filter(|told| told.meaning.is_some()) {
        told(&mut text, "", condition, ink);
    }
    if let Some(warning) = &account.warning {
        let _ = writeln!(text, "{} {warning}", ink.paint(Colour::Red, "warning:"));
    }
    for one in &account.roles {
        text.push('\n');
        role(&mut text, one, ink);
    }
    text
}

fn role(text: &mut String, role: &RoleAccount, ink: Ink) {
    let colour = match role.desired_replicas.cmp(&role.current_replicas) {
        std::cmp::Ordering::Greater => Colour::Green,
        std::cmp::Ordering::Less => Colour::Yellow,
        std::cmp::Ordering::Equal => Colour::Bold,
    };
    let _ = writeln!(text, "{}  {}", ink.paint(Colour::Bold, &role.name), ink.paint(colour, &role.verdict));
    let mut others = String::new();
    for (count, what) in [(role.starting_replicas, "starting"), (role.pending_replicas, "pending")] {
        if count > 0 {
            let _ = write!(others, ", {count} {what}");
        }
    }
    let schedule =
        role.active_schedule.as_ref().map(|name| format!(" by schedule {name}")).unwrap_or_default();
    let _ = writeln!(
        text,
        "  {} of {} ready{others}; from {} to {}{schedule}, in steps of {}",
        role.ready_replicas, role.current_replicas, role.min_replicas, role.max_replicas, role.step
    );
    trail(text, role, ink);
    for metric in &role.metrics {
        self::metric(text, metric, ink);
    }
    for step in &role.stages {
        let stage = format!("{:?}", step.stage).to_lowercase();
        let _ = writeln!(text, "  {stage:<9} {:>3} → {:<3} {}", step.from, step.to, step.message);
    }
    if role.stages.is_empty() {
        let silent = role.metrics.iter().any(|metric| metric.proposed_replicas.is_none());
        let why = if silent && role.recommended_replicas < role.current_replicas {
            "nothing is lowered while a metric is silent"
        } else {
            "nothing changes the count"
        };
        let _ = writeln!(text, "  {:<9} {why}", "stages");
    }
    for condition in role.conditions.iter().filter(|told| told.meaning.is_some()) {
        told(text, "  ", condition, ink);
    }
    for outlook in &role.next {
        let _ = writeln!(text, "  {} {}", ink.paint(Colour::Bold, "next:"), outlook.text);
    }
}

fn trail(text: &mut String, role: &RoleAccount, ink: Ink) {
    let (Some(first), Some(last)) = (role.trail.first(), role.trail.last()) else { return };
    if role.trail.len() < 2 {
        return;
    }
    let loads: Vec<_> = role.trail.iter().map(|point| point.load.map(f64::from)).collect();
    let counts: Vec<_> = role.trail.iter().map(|point| Some(f64::from(point.replicas))).collect();
    let top = |values: &[Option<f64>]| values.iter().flatten().copied().fold(0.0, f64::max);
    let past = span(last.time.duration_since(first.time).as_secs().unsigned_abs());
    let most = format!("at most {:.0} % in {past}", top(&loads) * 100.0);
    let load = match last.load {
        Some(load) => format!("{:.0} % of the target, {most}", load * 100.0),
        None if loads.iter().all(Option::is_none) => format!("no value in {past}"),
        None => format!("no value, {most}"),
    };
    let _ = writeln!(text, "  {:<9} {} {load}", "load", ink.paint(Colour::Green, &spark::line(&loads, 1.0)));
    let _ = writeln!(
        text,
        "  {:<9} {} {}, at most {}",
        "replicas",
        ink.paint(Colour::Green, &spark::line(&counts, 1.0)),
        last.replicas,
        top(&counts)
    );
}

fn metric(text: &mut String, metric: &MetricAccount, ink: Ink) {
    let mark = match (metric.decides, metric.agrees) {
        (true, _) => ink.paint(Colour::Bold, "  ← decides"),
        (_, true) => "  ← asks for the same".to_owned(),
        _ => String::new(),
    };
    let _ = writeln!(text, "  {:<9} {}: {}{mark}", "metric", metric.name, metric.formula);
    if let Some(error) = &metric.error {
        let _ = writeln!(text, "  {:<9}   {}", "", ink.paint(Colour::Red, error));
    }
    let widest = metric.sources.iter().map(|source| source.name.chars().count()).max().unwrap_or(0);
    for source in metric.sources.iter().take(LISTED) {
        let value = source.value.as_deref().unwrap_or("-");
        let age = source.age_seconds.map(|age| format!("{age} s old")).unwrap_or_default();
        let is_good = source.value.is_some();
        let line = format!("{:<widest$}  {value:>8}  {age:<9} {}", source.name, source.state);
        let line = line.trim_end();
        let line = if is_good { ink.paint(Colour::Faint, line) } else { ink.paint(Colour::Yellow, line) };
        let _ = writeln!(text, "  {:<9}   {line}", "");
    }
    if metric.sources.len() > LISTED {
        let _ = writeln!(text, "  {:<9}   and {} more; -o json lists all", "", metric.sources.len() - LISTED);
    }
}

fn told(text: &mut String, indent: &str, told: &Told, ink: Ink) {
    let Told { condition, meaning, advice } = told;
    let colour = if advice.is_some() { Colour::Red } else { Colour::Yellow };
    let _ = writeln!(
        text,
        "{indent}{} {}",
        ink.paint(colour, &format!("{} {}:", condition.type_, condition.reason)),
        condition.message
    );
    if let Some(meaning) = meaning {
        let _ = writeln!(text, "{indent}  meaning: {meaning}");
    }
    if let Some(advice) = advice {
        let _ = writeln!(text, "{indent}  to do:   {advice}");
    }
}
