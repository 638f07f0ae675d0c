//! [`Collector`]: one query per signal and interval for the whole cluster, however many ask.
//!
//! Instants are multiples of the interval on the wall clock, so every replica of a program asks for the same ones and holds the
//! same numbers. Only signals that somebody asked for lately, or that a policy holds, are queried. Each signal is on its own: one
//! that hangs or fails delays or spoils no other.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::metrics::{
    Reading, ScrapeError, Signal, Snapshot, SourceError,
    source::{Answer, Source},
};

/// A signal that nobody asks for any more is collected this much longer.
pub const DEMAND_LASTS: Duration = Duration::from_secs(600);
/// Urgent signals are collected at least this often.
pub const URGENT: Duration = Duration::from_secs(2);
/// Signals that requests may make of listed ones.
const MOST_DERIVED: usize = 256;
/// The answers of one instant are published together if they come this close to each other.
const GATHER: Duration = Duration::from_secs(1);

/// Reads the wall clock; given by the program's edge, so that tests can pause time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Is told of every query that was sent.
pub type OnQuery = Box<dyn Fn(&Queried<'_>) + Send + Sync>;

/// How a collector works.
pub struct Options {
    /// The time between two instants.
    pub interval: Duration,
    /// How long an answer is awaited.
    pub timeout: Duration,
    /// How long after an instant it is asked for: scrapes that began before it must have ended.
    pub settle: Duration,
    /// Reads the wall clock.
    pub clock: Clock,
    /// Is told of every query that was sent.
    pub on_query: OnQuery,
}

/// One query that was sent, for a program's own metrics.
pub struct Queried<'a> {
    /// The signal's name.
    pub signal: &'a str,
    /// `ok` or the error's class.
    pub outcome: &'static str,
    /// How long it took.
    pub took: Duration,
    /// How many samples came, or none.
    pub samples: usize,
    /// How many values were left out because they were no numbers or had no fresh sample behind them.
    pub dropped: usize,
}

/// Collects signals and publishes snapshots; cheap to clone, all clones are one collector.
#[derive(Clone)]
pub struct Collector {
    shared: Arc<Shared>,
}

struct Shared {
    source: Arc<dyn Source>,
    options: Options,
    wanted: Mutex<Wanted>,
    changed: Notify,
    published: watch::Sender<Arc<Snapshot>>,
}

/// Which signals there are and who wants them.
struct Wanted {
    catalog: HashMap<String, Arc<Signal>>,
    /// Signals that requests made of those; listed nowhere and forgotten when nobody asks any more.
    derived: HashMap<String, Arc<Signal>>,
    asked: HashMap<String, Timestamp>,
    held: BTreeSet<String>,
    urgent: BTreeSet<String>,
}

impl Options {
    /// Returns the usual options for an interval; `clock` reads the wall clock.
    pub fn every(interval: Duration, clock: Clock) -> Self {
        let timeout = Duration::from_secs(10);
        let settle = Duration::from_millis(250).min(interval / 4);
        Self { interval, timeout, settle, clock, on_query: Box::new(|_| ()) }
    }
}

impl Collector {
    /// Returns a collector that collects nothing until [`Self::run`] is polled and a signal is wanted.
    pub fn new(
        source: Arc<dyn Source>,
        signals: impl IntoIterator<Item = Arc<Signal>>,
        options: Options,
    ) -> Self {
        let catalog = by_name(signals);
        let wanted = Mutex::new(Wanted {
            catalog,
            derived: HashMap::new(),
            asked: HashMap::new(),
            held: BTreeSet::new(),
            urgent: BTreeSet::new(),
        });
        let published = watch::Sender::new(Arc::new(Snapshot::default()));
        Self { shared: Arc::new(Shared { source, options, wanted, changed: Notify::new(), published }) }
    }

    /// Names the source, without credentials.
    pub fn source_name(&self) -> String {
        self.shared.source.name()
    }

    /// Says why the source could not read a pod, if it reads pods itself.
    pub fn failure(&self, namespace: &str, pod: &str) -> Option<ScrapeError> {
        self.shared.source.failure(namespace, pod)
    }

    /// Returns the signal of a name.
    pub fn signal(&self, name: &str) -> Option<Arc<Signal>> {
        self.wanted().catalog.get(name).cloned()
    }

    /// Returns all signals, by name.
    pub fn signals(&self) -> Vec<Arc<Signal>> {
        let mut signals: Vec<_> = self.wanted().catalog.values().cloned().collect();
        signals.sort_by(|a, b| a.name.cmp(&b.name));
        signals
    }

    /// Replaces the signals, after a change of configuration.
    pub fn set_signals(&self, signals: impl IntoIterator<Item = Arc<Signal>>) {
        let mut wanted = self.wanted();
        wanted.catalog = by_name(signals);
        wanted.derived.clear();
        drop(wanted);
        self.shared.changed.notify_one();
    }

    /// Takes in a signal that a request made of a listed one; it is known for as long as somebody asks for it. False when there are too many.
    pub fn derive(&self, signal: Signal) -> bool {
        let mut wanted = self.wanted();
        let is_known = wanted.derived.contains_key(&signal.name);
        if !is_known && wanted.derived.len() < MOST_DERIVED {
            wanted.derived.insert(signal.name.clone(), Arc::new(signal));
            return true;
        }
        is_known
    }

    /// Says that somebody reads a signal now: it is collected for [`DEMAND_LASTS`] from here on. False if there is no such signal.
    pub fn demand(&self, name: &str) -> bool {
        let now = (self.shared.options.clock)();
        let mut wanted = self.wanted();
        if !wanted.catalog.contains_key(name) && !wanted.derived.contains_key(name) {
            return false;
        }
        let first = match wanted.asked.get_mut(name) {
            Some(asked) => {
                *asked = now;
                false
            }
            None => wanted.asked.insert(name.to_owned(), now).is_none(),
        };
        drop(wanted);
        if first {
            self.shared.changed.notify_one();
        }
        true
    }

    /// Says which signals policies use: they are collected until the next call says otherwise. Nothing held and nothing demanded
    /// is what a standby wants.
    pub fn hold(&self, names: impl IntoIterator<Item = String>) {
        self.wanted().held = names.into_iter().collect();
        self.shared.changed.notify_one();
    }

    /// Says which of the signals in use cannot wait for the interval: they are collected every [`URGENT`] as well, until the next
    /// call says otherwise. For what wakes roles that sleep.
    pub fn hurry(&self, names: impl IntoIterator<Item = String>) {
        self.wanted().urgent = names.into_iter().collect();
        self.shared.changed.notify_one();
    }

    /// Returns the latest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.published.borrow().clone()
    }

    /// Returns a channel that always holds the latest snapshot.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.published.subscribe()
    }

    /// Returns what a signal last said; when it is wanted for the first time, waits for its first answer, at most `patience`.
    pub async fn reading(&self, name: &str, patience: Duration) -> Option<Reading> {
        if !self.demand(name) {
            return None;
        }
        if let Some(reading) = self.shared.published.borrow().reading(name) {
            return Some(reading.clone());
        }
        let mut snapshots = self.subscribe();
        let answered = snapshots.wait_for(|snapshot| snapshot.reading(name).is_some());
        let snapshot = tokio::time::timeout(patience, answered).await.ok()?.ok()?.clone();
        snapshot.reading(name).cloned()
    }

    /// Collects until dropped.
    pub async fn run(&self) {
        let shared = &*self.shared;
        let mut readings: HashMap<String, Reading> = HashMap::new();
        let mut in_flight = InFlight::default();
        let mut publish_at: Option<Instant> = None;
        let (mut tick_at, mut instant) = shared.next_instant(shared.options.interval);
        let mut urgent = shared.next_urgent();
        loop {
            let mut begin: Option<(Timestamp, Due)> = None;
            tokio::select! {
                biased;
                Some(done) = in_flight.queries.next(), if !in_flight.queries.is_empty() => {
                    in_flight.names.remove(&done.signal.name);
                    let failed_before = readings.get(&done.signal.name).is_some_and(|reading| reading.error.is_some());
                    shared.tell(&done, failed_before);
                    note(&mut readings, done);
                    if in_flight.queries.is_empty() {
                        publish_at = Some(Instant::now());
                    } else {
                        publish_at = Some(publish_at.unwrap_or_else(|| Instant::now() + GATHER));
                    }
                }
                () = tokio::time::sleep_until(tick_at) => {
                    begin = Some((instant, Due::All));
                    (tick_at, instant) = shared.next_instant(shared.options.interval);
                }
                () = sleep_until_some(urgent.map(|(at, _)| at)) => {
                    begin = urgent.map(|(_, instant)| (instant, Due::Urgent));
                    urgent = shared.next_urgent();
                }
                () = shared.changed.notified() => {
                    begin = Some((shared.last_instant(), Due::New));
                    urgent = shared.next_urgent();
                }
                () = sleep_until_some(publish_at) => {
                    publish_at = None;
                    shared.publish(&readings);
                }
            }
            if let Some((at, due)) = begin {
                let signals = shared.wanted_signals();
                let before = readings.len();
                readings.retain(|name, _| signals.iter().any(|signal| signal.name == *name));
                if readings.len() != before {
                    publish_at = Some(Instant::now());
                }
                for signal in signals {
                    let now = match due {
                        Due::All => true,
                        Due::Urgent => shared.is_urgent(&signal.name),
                        Due::New => false,
                    };
                    if now || !readings.contains_key(&signal.name) {
                        in_flight.start(shared, signal, at);
                    }
                }
            }
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which signals are to be asked for, besides those never asked before.
#[derive(Clone, Copy)]
enum Due {
    All,
    Urgent,
    New,
}

/// Queries under way, at most one per signal.
#[derive(Default)]
struct InFlight<'a> {
    names: BTreeSet<String>,
    queries: FuturesUnordered<BoxFuture<'a, Done>>,
}

/// A query that ended.
struct Done {
    signal: Arc<Signal>,
    at: Timestamp,
    took: Duration,
    result: Result<Answer, SourceError>,
}

impl<'a> InFlight<'a> {
    fn start(&mut self, shared: &'a Shared, signal: Arc<Signal>, at: Timestamp) {
        if !self.names.insert(signal.name.clone()) {
            return;
        }
        self.queries.push(Box::pin(async move {
            let started = Instant::now();
            let after = shared.options.timeout;
            let result = tokio::time::timeout(after, shared.source.collect(&signal, at)).await;
            let result = result
                .unwrap_or_else(|_| Err(SourceError::Timeout { source_name: shared.source.name(), after }));
            Done { signal, at, took: started.elapsed(), result }
        }));
    }
}

impl Shared {
    fn last_instant(&self) -> Timestamp {
        aligned((self.options.clock)(), self.options.interval)
    }

    /// The next instant of urgent signals, unless there are none or the interval is short enough for them.
    fn next_urgent(&self) -> Option<(Instant, Timestamp)> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let needed = !wanted.urgent.is_empty() && self.options.interval > URGENT;
        drop(wanted);
        needed.then(|| self.next_instant(URGENT))
    }

    fn is_urgent(&self, name: &str) -> bool {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).urgent.contains(name)
    }

    /// The next multiple of an interval, and when to ask for it.
    fn next_instant(&self, interval: Duration) -> (Instant, Timestamp) {
        let now = (self.options.clock)();
        // Asking begins `settle` late, so the instant just past may still be the next one to ask for.
        let settled = now.checked_sub(self.options.settle).unwrap_or(now);
        let next = aligned(settled, interval).checked_add(interval).unwrap_or(Timestamp::MAX);
        let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
        (Instant::now() + wait + self.options.settle, next)
    }

    /// The signals to collect, forgetting those that nobody asked for lately.
    fn wanted_signals(&self) -> Vec<Arc<Signal>> {
        let now = (self.options.clock)();
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.asked.retain(|_, asked| {
            Duration::try_from(now.duration_since(*asked)).unwrap_or_default() < DEMAND_LASTS
        });
        let Wanted { derived, asked, .. } = &mut *wanted;
        derived.retain(|name, _| asked.contains_key(name));
        let wants = |name: &String| wanted.held.contains(name) || wanted.asked.contains_key(name);
        let all = wanted.catalog.iter().chain(&wanted.derived);
        all.filter(|(name, _)| wants(name)).map(|(_, signal)| signal.clone()).collect()
    }

    fn publish(&self, readings: &HashMap<String, Reading>) {
        let snapshot = readings.iter().map(|(name, reading)| (name.clone(), reading.clone())).collect();
        self.published.send_replace(Arc::new(snapshot));
    }

    /// Tells the program of a query; logs what changed for better or worse, the rest for those who look closely.
    fn tell(&self, done: &Done, failed_before: bool) {
        let (outcome, samples, dropped) = match &done.result {
            Ok(answer) => ("ok", answer.samples.len(), answer.dropped),
            Err(error) => (error.class(), 0, 0),
        };
        let signal = done.signal.name.as_str();
        (self.options.on_query)(&Queried { signal, outcome, took: done.took, samples, dropped });
        match &done.result {
            Ok(answer) => {
                for warning in &answer.warnings {
                    tracing::debug!(signal, warning, "source warned of its answer");
                }
                if failed_before {
                    tracing::info!(signal, samples, "signal is collected again");
                }
                tracing::debug!(signal, at = %done.at, samples, dropped, took = ?done.took, "signal collected");
            }
            Err(error) if failed_before => {
                tracing::debug!(signal, at = %done.at, %error, "signal not collected");
            }
            Err(error) => {
                tracing::warn!(signal, at = %done.at, %error, "signal not collected");
            }
        }
    }
}

fn by_name(signals: impl IntoIterator<Item = Arc<Signal>>) -> HashMap<String, Arc<Signal>> {
    signals.into_iter().map(|signal| (signal.name.clone(), signal)).collect()
}

/// Takes over an answer, or the failure beside the samples known before.
fn note(readings: &mut HashMap<String, Reading>, done: Done) {
    let reading = readings.entry(done.signal.name.clone()).or_insert_with(|| Reading {
        window: done.signal.window,
        fold: done.signal.fold,
        asked_at: done.at,
        samples: Arc::default(),
        error: None,
    });
    reading.window = done.signal.window;
    reading.fold = done.signal.fold;
    reading.asked_at = done.at;
    match done.result {
        Ok(answer) => {
            reading.samples = Arc::new(answer.samples);
            reading.error = None;
        }
        Err(error) => reading.error = Some(error),
    }
}

/// The last multiple of `interval` since the epoch that is not after `now`.
fn aligned(now: Timestamp, interval: Duration) -> Timestamp {
    let interval = i128::try_from(interval.as_nanos()).unwrap_or(i128::MAX).max(1);
    let nanoseconds = now.as_nanosecond();
    Timestamp::from_nanosecond(nanoseconds - nanoseconds.rem_euclid(interval)).unwrap_or(now)
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
