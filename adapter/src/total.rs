//! [`Gatherer`]: what a signal says of several pods together, and whether all of them said it.
//!
//! Whoever reads a total cannot see that a part of it is missing, and would take away replicas for it. So a total is given whole or
//! not at all:
//!
//! - A pod ought to answer when it has been Ready for [`SETTLED`], is not being deleted, is no worker (of a replica of several pods
//!   the leader speaks) and is not annotated `prometheus.io/scrape: "false"`. A younger pod counts as soon as it answers.
//! - While a pod that ought to answer is silent there is no total: 503, and the message names the pod.
//! - What a role cannot say it need not say: a router has no KV cache. If none of a role's pods has the signal, but each is known to
//!   be read because it answers another one, the role is left out. The same goes for single pods where the signal is one that idle
//!   engines leave out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rbg_autoscaler::{
    api::rbg::{self, GROUP_NAME, ROLE_NAME},
    metrics::{Definition, Reading, STALE_AFTER, Sample, Signal, Unit, collector::Collector},
};

use crate::{
    answers::Basis,
    custom::{PATIENCE, live_sample, narrowed, unavailable},
    pods::{Pod, PodCache},
    request::RequestError,
    selector::Selector,
    telemetry::{Missing, Telemetry},
};

/// A pod that is Ready for a shorter time need not answer yet: scrapes and rates take their time. It is the HPA's own delay.
pub const SETTLED: Duration = Duration::from_secs(30);
/// What nearly every engine answers; a pod that does is read.
const COMMON: [&str; 2] = ["running_requests", "qps"];
/// A message names this many pods.
const NAMED_AT_MOST: usize = 3;

/// What totals are made from.
pub struct Gatherer<'a> {
    /// The signals.
    pub collector: &'a Collector,
    /// The pods.
    pub pods: &'a PodCache,
    /// Counts the pods without a value.
    pub telemetry: &'a Telemetry,
    /// The time.
    pub now: Timestamp,
}

/// Pods by name.
pub type Selected = Vec<(String, Arc<Pod>)>;

/// The samples of all pods that ought to answer.
#[derive(Debug)]
pub struct Gathered {
    /// The samples with the place of their pod among those selected; at least one.
    pub samples: Vec<(usize, Sample)>,
    /// What the values are taken over.
    pub window: Duration,
    /// What this rests on, if it may be given again.
    pub basis: Option<Basis>,
}

/// The group and the role of a pod, as its labels say.
type RoleKey<'a> = (Option<&'a str>, Option<&'a str>);

/// A pod that ought to answer and does not.
type Silent<'a> = (&'a str, &'a Pod, Missing);

/// The pods of one role.
#[derive(Default)]
struct OfRole<'a> {
    has_signal: bool,
    silent: Vec<Silent<'a>>,
}

impl Gatherer<'_> {
    /// Returns the samples of the selected pods of a namespace, narrowed to some series.
    ///
    /// Errors: 404 when no pod has the signal, 503 when one that ought to answer is silent, 400 for a quantile or a selector that
    /// cannot be used.
    pub async fn gather(
        &self,
        signal: &Signal,
        only: &Selector,
        namespace: &str,
        selected: &[(String, Arc<Pod>)],
        generation: Option<u64>,
    ) -> Result<Gathered, RequestError> {
        let metric = signal.name.as_str();
        if !has_total(signal) {
            let message = format!(
                "{metric} is a quantile: those of several pods do not make one of all. Ask for pods, or write a rule over summed buckets"
            );
            return Err(RequestError::bad_request(message));
        }
        let narrowed = match narrowed(self.collector, metric, only)? {
            Some(name) => Some((self.reading(&name).await?, name)),
            None => None,
        };
        let whole = self.reading(metric).await?;
        let mut roles: BTreeMap<RoleKey<'_>, OfRole<'_>> = BTreeMap::new();
        let (mut answering, mut until) = (Vec::new(), Timestamp::MAX);
        for (place, (name, pod)) in selected.iter().enumerate() {
            if rbg::component_index(pod.labels()).is_some_and(|index| index > 0) {
                continue;
            }
            let role = roles.entry((pod.label(GROUP_NAME), pod.label(ROLE_NAME))).or_default();
            match live_sample(&whole, namespace, name, pod, self.now) {
                Ok(sample) => {
                    role.has_signal = true;
                    answering.push((place, sample));
                }
                Err(why) => {
                    let settles = pod
                        .ready_since
                        .filter(|_| !pod.is_unscraped)
                        .map(|since| since.checked_add(SETTLED).unwrap_or(Timestamp::MAX));
                    match settles {
                        Some(at) if at <= self.now => role.silent.push((name, pod, why)),
                        Some(at) => until = until.min(at),
                        None => {}
                    }
                }
            }
        }
        let is_left_out_when_idle =
            signal.idle.is_none() && !matches!(signal.definition, Definition::Query(_));
        let mut is_excused = false;
        let mut missing = Vec::new();
        for OfRole { has_signal, silent } in roles.into_values() {
            if silent.is_empty() {
                continue;
            }
            let may_lack_it = !has_signal || is_left_out_when_idle;
            let read =
                if may_lack_it { self.read(metric, namespace, &silent).await } else { BTreeSet::new() };
            is_excused |= !read.is_empty();
            missing.extend(silent.into_iter().filter(|(name, ..)| !read.contains(name)));
        }
        if !missing.is_empty() {
            return Err(self.partial(metric, namespace, &missing, selected.len()));
        }
        if answering.is_empty() {
            return Err(RequestError::not_found(format!("none of {} pods has {metric}", selected.len())));
        }
        let is_narrowed = narrowed.is_some();
        let (samples, reading) = match narrowed {
            None => (answering, whole),
            Some((reading, narrowed)) => {
                let of = |place: usize| {
                    let (name, pod) = &selected[place];
                    live_sample(&reading, namespace, name, pod, self.now).ok()
                };
                let samples: Vec<_> =
                    answering.iter().filter_map(|(place, _)| Some((*place, of(*place)?))).collect();
                if samples.is_empty() {
                    let message = format!("none of {} pods has {narrowed}", selected.len());
                    return Err(RequestError::not_found(message));
                }
                (samples, reading)
            }
        };
        let oldest = samples.iter().map(|(_, sample)| sample.time).min();
        let basis = oldest.zip(generation).filter(|_| !is_excused && !is_narrowed);
        let basis = basis.map(|(oldest, generation)| Basis {
            until: oldest.checked_add(STALE_AFTER).unwrap_or(self.now).min(until),
            pods: Some((namespace.to_owned(), generation)),
            samples: Some((metric.to_owned(), Arc::downgrade(&reading.samples))),
            answered: None,
        });
        Ok(Gathered { samples, window: reading.window, basis })
    }

    async fn reading(&self, name: &str) -> Result<Reading, RequestError> {
        let Some(reading) = self.collector.reading(name, PATIENCE).await else {
            return Err(unavailable(format!("{name}: no answer yet")));
        };
        match reading.failure(self.now) {
            Some(failure) => Err(unavailable(format!("{name}: {failure}"))),
            None => Ok(reading),
        }
    }

    /// Those of some silent pods that are known to be read, since they answer another signal.
    async fn read<'p>(&self, metric: &str, namespace: &str, silent: &[Silent<'p>]) -> BTreeSet<&'p str> {
        for name in COMMON.into_iter().filter(|name| *name != metric) {
            self.collector.reading(name, PATIENCE).await;
        }
        let snapshot = self.collector.snapshot();
        let is_read = |name: &str, pod: &Pod| {
            self.collector.failure(namespace, name).is_none()
                && snapshot
                    .readings()
                    .any(|(_, reading)| live_sample(reading, namespace, name, pod, self.now).is_ok())
        };
        silent.iter().filter(|(name, pod, _)| is_read(name, pod)).map(|(name, ..)| *name).collect()
    }

    fn partial(&self, metric: &str, namespace: &str, missing: &[Silent<'_>], of: usize) -> RequestError {
        let mut cause = String::new();
        for (name, _, why) in missing {
            let failure = self.collector.failure(namespace, name);
            let why = failure.as_ref().map_or(*why, |failure| Missing::Unscraped(failure.class()));
            self.telemetry.missing(metric, why);
            if let (true, Some(failure)) = (cause.is_empty(), failure) {
                cause = format!("; {name}: {failure}");
            }
        }
        let mut names: Vec<&str> = missing.iter().take(NAMED_AT_MOST).map(|(name, ..)| *name).collect();
        if missing.len() > NAMED_AT_MOST {
            names.push("…");
        }
        unavailable(format!(
            "{metric}: {} of {of} pods, though ready, do not answer ({}), and a total without them would be too low{cause}",
            missing.len(),
            names.join(", ")
        ))
    }
}

/// Says whether the values of several pods make one of all: quantiles do not.
pub fn has_total(signal: &Signal) -> bool {
    signal.unit != Unit::Seconds
}
