//! What would change a decision next: more or less load, or time. Found by deciding again, so it cannot disagree with the decision.

use jiff::Timestamp;
use rbg_autoscaler::{
    api::snapshot::DecisionInput,
    policy::{MetricSource, ScaleToZero, Target},
    scaling::{RatePair, Reading, Sample, Step},
    units::{MilliValue, Replicas},
};
use serde::Serialize;

/// How far up a value is tried, as a multiple of the larger of value and target.
const REACH: i64 = 256;
/// The most moments that are tried.
const MOMENTS: usize = 64;

/// Something that would change the count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outlook {
    /// The metric that would have to move; absent when time alone is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The value that it would have to pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<String>,
    /// When, if nothing else changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The count that would follow.
    pub to: Replicas,
    /// The same in words.
    pub text: String,
}

/// A decision with one role in view.
pub(super) struct View<'a> {
    pub input: &'a DecisionInput,
    pub role: usize,
    /// The count that the group asks for.
    pub current: Replicas,
    /// The count decided on.
    pub desired: Replicas,
}

impl View<'_> {
    /// Returns what would change the count next.
    pub(super) fn outlook(&self, stages: &[Step]) -> Vec<Outlook> {
        let mut found: Vec<_> = self.with_room(stages).into_iter().collect();
        if self.desired == self.current {
            found.extend(self.in_time());
        }
        let policy = self.input.policy.roles.get(self.role);
        if let Some(rule) = policy.and_then(|policy| policy.scale_to_zero.as_ref())
            && self.desired == Replicas::ZERO
        {
            let min = policy.map_or(Replicas::ZERO, |policy| policy.bounds.min);
            found.push(waking(rule, min));
            return found;
        }
        let metrics = policy.map_or(0, |role| role.metrics.len());
        let mut up: Option<(Outlook, i64)> = None;
        for metric in 0..metrics {
            // The metric that has the shortest way to go comes first.
            if let Some((outlook, share)) = self.raising(metric)
                && up.as_ref().is_none_or(|(_, least)| share < *least)
            {
                up = Some((outlook, share));
            }
        }
        found.extend(up.map(|(outlook, _)| outlook));
        if self.desired != self.current {
            return found;
        }
        if metrics == 1 {
            found.extend(self.lowering(0));
        } else {
            found.extend(self.lowering_all(metrics));
        }
        found
    }

    /// The count that the role gets once the nodes have room for it.
    fn with_room(&self, stages: &[Step]) -> Option<Outlook> {
        let refused = stages.iter().rev().find(|step| step.reason == "NoFit")?;
        let to = refused.from;
        let text = format!("raises to {to} at once when the nodes have room for it");
        (to > self.desired).then_some(Outlook { metric: None, passes: None, at: None, to, text })
    }

    /// When time alone changes the count, all metrics staying as they are.
    fn in_time(&self) -> Option<Outlook> {
        let mut input = self.input.clone();
        for _ in 0..MOMENTS {
            let decision = input.decide();
            let desired = desired(&decision, self.role)?;
            if desired != self.desired {
                let verb = if desired > self.desired { "raises" } else { "lowers" };
                let wait = input.now.duration_since(self.input.now).as_secs().max(1).unsigned_abs();
                return Some(Outlook {
                    metric: None,
                    passes: None,
                    at: Some(input.now),
                    to: desired,
                    text: format!("{verb} to {desired} in {} if the load stays as it is", span(wait)),
                });
            }
            let next = decision.recheck_at.filter(|at| *at > input.now)?;
            let histories = decision.roles.iter().zip(&input.history);
            input.history = histories
                .map(|(role, before)| {
                    role.as_ref().map_or_else(|| before.clone(), |role| role.history.clone())
                })
                .collect();
            input.now = next;
        }
        None
    }

    /// The value of a metric above which the count is raised, and how far that is in thousandths of the present value.
    fn raising(&self, metric: usize) -> Option<(Outlook, i64)> {
        let (value, target) = self.value_and_target(metric)?;
        let most = value.max(target).max(1).saturating_mul(REACH);
        let up_at = |value: i64| self.with(&[(metric, value)], false).filter(|count| *count > self.desired);
        up_at(most)?;
        let (mut low, mut high) = (value, most);
        if up_at(low).is_some() {
            return None;
        }
        while high - low > 1 {
            let middle = low.midpoint(high);
            if up_at(middle).is_some() {
                high = middle;
            } else {
                low = middle;
            }
        }
        let to = up_at(high)?;
        let name = self.name(metric);
        let (passes, unit) = self.shown(metric, low);
        let text = format!("raises to {to} when {name} passes {passes}{unit}");
        let share = low.saturating_mul(1000) / value.max(1);
        Some((Outlook { metric: Some(name), passes: Some(passes), at: None, to, text }, share))
    }

    /// The value of the only metric below which the count is lowered, once no window holds it.
    fn lowering(&self, metric: usize) -> Option<Outlook> {
        let (value, _) = self.value_and_target(metric)?;
        let lowered = |value: i64| self.with(&[(metric, value)], true).filter(|count| *count < self.desired);
        if value == 0 || lowered(value).is_some() {
            return None;
        }
        lowered(0)?;
        let (mut lowers, mut stays) = (0, value);
        while stays - lowers > 1 {
            let middle = lowers.midpoint(stays);
            if lowered(middle).is_some() {
                lowers = middle;
            } else {
                stays = middle;
            }
        }
        let to = lowered(lowers)?;
        let name = self.name(metric);
        let (passes, unit) = self.shown(metric, stays);
        let text = format!("lowers to {to} when {name} stays below {passes}{unit}{}", self.window());
        Some(Outlook { metric: Some(name), passes: Some(passes), at: None, to, text })
    }

    /// By how much all metrics have to fall together for the count to be lowered, once no window holds it.
    fn lowering_all(&self, metrics: usize) -> Option<Outlook> {
        let mut values = Vec::with_capacity(metrics);
        for metric in 0..metrics {
            values.push((metric, self.value_and_target(metric)?.0));
        }
        let lowered = |percent: i64| {
            let scaled: Vec<_> =
                values.iter().map(|(metric, value)| (*metric, value.saturating_mul(percent) / 100)).collect();
            self.with(&scaled, true).filter(|count| *count < self.desired)
        };
        if lowered(100).is_some() {
            return None;
        }
        let percent = (0..100).rev().find(|percent| lowered(*percent).is_some())?;
        let to = lowered(percent)?;
        let fall = 100 - percent;
        let text = format!("lowers to {to} when all metrics fall by {fall} %{}", self.window());
        Some(Outlook { metric: None, passes: None, at: None, to, text })
    }

    /// How long a fall has to last.
    fn window(&self) -> String {
        let settings = &self.input.observation.settings;
        let behavior = self.input.policy.roles.get(self.role).and_then(|role| role.behavior.as_ref());
        let window = behavior
            .and_then(|behavior| behavior.down.stabilization_window)
            .unwrap_or(settings.downscale_stabilization);
        if window.is_zero() { String::new() } else { format!(" for {}", span(window.as_secs())) }
    }

    /// The count decided on with other values; `patient` forgets what windows and limits hold.
    fn with(&self, values: &[(usize, i64)], patient: bool) -> Option<Replicas> {
        let mut input = self.input.clone();
        for (metric, value) in values {
            let present = self.value_and_target(*metric)?.0;
            let reading = input.observation.roles.get_mut(self.role)?.as_mut()?.readings.get_mut(*metric)?;
            set(reading, present, *value);
        }
        if patient {
            for history in &mut input.history {
                if history.recommendations.is_some() {
                    history.recommendations = Some(Vec::new());
                }
                history.scale_events.clear();
            }
        }
        desired(&input.decide(), self.role)
    }

    fn name(&self, metric: usize) -> String {
        let role = self.input.policy.roles.get(self.role);
        role.and_then(|role| role.metrics.get(metric)).map(|metric| metric.name.clone()).unwrap_or_default()
    }

    /// What a metric measures and what it should be, in thousandths of what [`set`] changes.
    fn value_and_target(&self, metric: usize) -> Option<(i64, i64)> {
        let policy = self.input.policy.roles.get(self.role)?.metrics.get(metric)?;
        let seen = self.input.observation.roles.get(self.role)?.as_ref()?;
        let target = match policy.target {
            Target::AverageValue(target) | Target::Value(target) => target.milli(),
            Target::Utilization(_) => 1000,
            Target::Unusable(_) => return None,
        };
        match seen.readings.get(metric)? {
            Reading::Failed(_) => None,
            Reading::Replicas(samples) => {
                let values: Vec<i64> =
                    samples.samples.iter().flatten().map(|sample| sample.value.milli()).collect();
                let count = i64::try_from(values.len()).ok().filter(|count| *count > 0)?;
                Some((values.iter().sum::<i64>() / count, target))
            }
            Reading::Total(total) => {
                (!total.values.is_empty()).then_some(())?;
                let replicas = i64::from(seen.spec_replicas.get()).max(1);
                Some((total.values.iter().map(|value| value.milli()).sum(), target.saturating_mul(replicas)))
            }
            // The work is scaled as a whole, in thousandths of what it is.
            Reading::Tokens(_) => Some((1000, 1000)),
        }
    }

    /// A value as people read it, and what it is of.
    fn shown(&self, metric: usize, milli: i64) -> (String, String) {
        let policy = self.input.policy.roles.get(self.role).and_then(|role| role.metrics.get(metric));
        let plain = super::account::plain(MilliValue::from_milli(milli));
        match policy.map(|metric| &metric.source) {
            Some(MetricSource::TokenUtilization { .. }) => (plain, " times the present work".to_owned()),
            Some(MetricSource::RoleTotal { role }) => (plain, format!(" in all of {role}")),
            Some(MetricSource::Object(_) | MetricSource::External { .. }) => (plain, " in all".to_owned()),
            _ => (plain, " per replica".to_owned()),
        }
    }
}

/// What wakes a role that sleeps.
fn waking(rule: &ScaleToZero, min: Replicas) -> Outlook {
    let to = rule.wake_to.unwrap_or(min);
    let signals: Vec<_> = rule
        .wake_on
        .iter()
        .map(|signal| {
            let of = signal.role.as_ref().map(|role| format!(" of {role}")).unwrap_or_default();
            format!("{}{of} passes {}", signal.name, super::account::plain(signal.target))
        })
        .collect();
    Outlook {
        metric: None,
        passes: None,
        at: None,
        to,
        text: format!("wakes to {to} when {}", signals.join(" or ")),
    }
}

fn desired(decision: &rbg_autoscaler::scaling::Decision, role: usize) -> Option<Replicas> {
    decision.roles.get(role)?.as_ref().map(|role| role.desired_replicas)
}

/// Makes a reading that is `present` become `wanted`, its parts in proportion.
fn set(reading: &mut Reading, present: i64, wanted: i64) {
    let scaled = |value: MilliValue| {
        if present == 0 {
            return MilliValue::from_milli(wanted);
        }
        let exact = i128::from(value.milli()) * i128::from(wanted);
        let up = i128::from(wanted > present) * (i128::from(present) - 1);
        MilliValue::from_milli(i64::try_from((exact + up) / i128::from(present)).unwrap_or(i64::MAX))
    };
    let pair = |pair: RatePair| RatePair { short: pair.short.map(scaled), long: pair.long.map(scaled) };
    match reading {
        Reading::Failed(_) => {}
        Reading::Replicas(samples) => {
            for sample in samples.samples.iter_mut().flatten() {
                *sample = Sample { value: scaled(sample.value), ..*sample };
            }
        }
        Reading::Total(total) => {
            total.values = vec![MilliValue::from_milli(wanted)];
        }
        Reading::Tokens(tokens) => {
            tokens.prompt = pair(tokens.prompt);
            tokens.generation = pair(tokens.generation);
            tokens.pending_tokens = tokens.pending_tokens.map(scaled);
        }
    }
}

/// A time as people say it: `40 s`, `4 min 10 s`, `2 h 5 min`.
pub(super) fn span(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, rest) => format!("{rest} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, rest) => format!("{minutes} min {rest} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
