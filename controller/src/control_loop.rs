//! [`ControlLoop`]: what happens when: events of the watches, new metrics, ticks, errands that return, the end.
//!
//! One task owns the caches and all memory, so nothing is locked; errands run beside it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use kube::Client;
use rbg_autoscaler::metrics::{
    Snapshot,
    collector::{Clock, Collector, URGENT},
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tracing::{debug, error, info, warn};

use crate::{
    ask::MetricsApis,
    cache::{WorldEvent, room::Room, store::ObjectKey, watch::Watches},
    events::Recorder,
    health::Health,
    live::{NoDecision, Question},
    observe::Metrics,
    reconcile::{Reconciler, Returned, Turn},
    telemetry::Telemetry,
};

/// Groups decided on before the loop looks up again.
const BATCH: usize = 128;
/// Errands that talk to the API server at the same time.
const ERRANDS: usize = 64;
/// How long errands that are under way may take when the program ends.
const FAREWELL: Duration = Duration::from_secs(15);
/// How long events that wait may take then.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Room seldom comes alone: what waits for it tries once for all that comes within this time.
const GATHER: Duration = Duration::from_millis(200);

/// What the loop needs.
pub struct Parts {
    /// Talks to the API server.
    pub client: Client,
    /// Tells users.
    pub recorder: Recorder,
    /// Collects signals.
    pub collector: Collector,
    /// The watches.
    pub watches: Watches,
    /// Reads the wall clock.
    pub clock: Clock,
    /// At least this often every group is decided on.
    pub sync_period: Duration,
    /// Says whether this process leads.
    pub leading: watch::Receiver<bool>,
    /// What people ask.
    pub questions: mpsc::Receiver<Question>,
    /// Is told how the loop does.
    pub health: Arc<Health>,
    /// Counts what the loop does.
    pub telemetry: Arc<Telemetry>,
}

/// Keeps every group as its policy says.
pub struct ControlLoop {
    parts: Parts,
    reconciler: Reconciler,
    due: VecDeque<ObjectKey>,
    queued: BTreeSet<ObjectKey>,
    /// Groups that became due while an errand of theirs was under way.
    again: BTreeSet<ObjectKey>,
    /// When groups that wait for room try again; `None` while there is no more of it.
    retry_at: Option<Instant>,
    errands: JoinSet<Returned>,
    permits: Arc<Semaphore>,
    held: BTreeSet<String>,
    urgent: BTreeSet<String>,
    apis: Arc<MetricsApis>,
}

impl ControlLoop {
    /// Returns a loop that does nothing until it runs.
    pub fn new(parts: Parts) -> Self {
        let reconciler = Reconciler::new(parts.telemetry.figures());
        Self {
            parts,
            reconciler,
            due: VecDeque::new(),
            queued: BTreeSet::new(),
            again: BTreeSet::new(),
            retry_at: None,
            errands: JoinSet::new(),
            permits: Arc::new(Semaphore::new(ERRANDS)),
            held: BTreeSet::new(),
            urgent: BTreeSet::new(),
            apis: Arc::default(),
        }
    }

    /// Runs until `stop` is done or the watches end; errands under way are finished.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut snapshots = self.parts.collector.subscribe();
        let mut tick = interval(self.parts.sync_period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wake_tick = interval(URGENT);
        wake_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.learn_signals(snapshots.borrow_and_update().clone());
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(done) = self.errands.join_next(), if !self.errands.is_empty() => self.settle(done),
                event = self.parts.watches.events.recv() => {
                    let Some(event) = event else { break };
                    self.take(event);
                }
                Some(question) = self.parts.questions.recv() => self.ask(question),
                Ok(()) = self.parts.leading.changed() => self.lead(),
                Ok(()) = snapshots.changed() => {
                    let snapshot = snapshots.borrow_and_update().clone();
                    if self.is_only_urgent(&snapshot) {
                        self.learn_signals(snapshot);
                        self.sleepers();
                    } else {
                        self.learn_signals(snapshot);
                        self.everything();
                        // What was just done on new metrics need not be done again on the same ones.
                        tick.reset();
                    }
                }
                _ = tick.tick() => self.everything(),
                // Signals of the metrics APIs are asked for by whoever is decided on.
                _ = wake_tick.tick() => self.sleepers(),
                () = std::future::ready(()), if !self.due.is_empty() => self.work(),
                () = sleep_until(self.retry_at.unwrap_or_else(Instant::now)), if self.retry_at.is_some() => self.retry(),
            }
            self.parts.health.beat((self.parts.clock)());
        }
        self.farewell().await;
    }

    fn learn_signals(&mut self, snapshot: Arc<Snapshot>) {
        let names = self.parts.collector.signals().into_iter().map(|signal| signal.name.clone());
        self.reconciler.metrics = Metrics { snapshot, known: Arc::new(names.collect()) };
    }

    fn take(&mut self, event: WorldEvent) {
        if let WorldEvent::WatchBroke { .. } = &event {
            self.parts.telemetry.error("watch");
        }
        let before = self.parts.health.is_ready();
        for touched in self.reconciler.world.take(event) {
            if touched.asks || self.reconciler.is_waiting(&touched.group) {
                self.enqueue(touched.group);
            }
        }
        if self.reconciler.world.room.take_freed() {
            self.retry_at.get_or_insert_with(|| Instant::now() + GATHER);
        }
        let incomplete = self.reconciler.world.incomplete();
        if !before && incomplete.is_empty() {
            info!("caches are filled");
            self.everything();
        }
        self.parts.health.waits_for(&incomplete);
    }

    /// Has the group that somebody asks about decided on next.
    fn ask(&mut self, question: Question) {
        if !*self.parts.leading.borrow() {
            // Who asked may have gone.
            let _ = question.reply.send(Err(NoDecision::StandsBy));
        } else if let Some(group) = self.reconciler.ask(question) {
            self.enqueue(group);
        }
    }

    fn lead(&mut self) {
        let leads = *self.parts.leading.borrow_and_update();
        self.parts.telemetry.leads(leads);
        info!(leads, "leadership changed");
        self.reconciler.forget_decisions();
        self.due.clear();
        self.queued.clear();
        self.hold();
        self.everything();
    }

    /// Every group is due; those that wait for room come first.
    fn everything(&mut self) {
        self.reconciler.forget();
        for group in self.reconciler.waiting_for_room() {
            self.enqueue(group);
        }
        for group in self.reconciler.world.all_groups().iter() {
            self.enqueue(group.clone());
        }
        self.parts.telemetry.undecodable(self.reconciler.world.undecodable());
    }

    /// Every group with a role that sleeps is due.
    fn sleepers(&mut self) {
        for group in self.reconciler.sleepers() {
            self.enqueue(group);
        }
    }

    /// Whether a snapshot tells nothing new but what was asked for between two instants, for roles that sleep.
    fn is_only_urgent(&self, snapshot: &Snapshot) -> bool {
        let known = &self.reconciler.metrics.snapshot;
        !self.urgent.is_empty()
            && self.held.iter().all(|name| {
                let asked = |snapshot: &Snapshot| snapshot.reading(name).map(|reading| reading.asked_at);
                self.urgent.contains(name) || asked(known) == asked(snapshot)
            })
    }

    /// Groups that wait for room try again, before others take it.
    fn retry(&mut self) {
        self.retry_at = None;
        for group in self.reconciler.waiting_for_room().into_iter().rev() {
            if !self.queued.insert(group.clone()) {
                self.due.retain(|queued| *queued != group);
            }
            self.due.push_front(group);
        }
    }

    fn enqueue(&mut self, group: ObjectKey) {
        if self.queued.insert(group.clone()) {
            self.due.push_back(group);
        }
    }

    /// Decides on a batch of due groups.
    fn work(&mut self) {
        if !self.parts.health.is_ready() || !*self.parts.leading.borrow() {
            self.due.clear();
            self.queued.clear();
            self.hold();
            return;
        }
        if self.retry_at.is_some() {
            self.retry();
        }
        let began = Instant::now();
        let now = whole_milliseconds((self.parts.clock)());
        for _ in 0..BATCH {
            let Some(group) = self.due.pop_front() else { break };
            self.queued.remove(&group);
            match self.reconciler.turn(&group, now) {
                Turn::Quiet => {}
                Turn::Waiting => {
                    self.again.insert(group);
                }
                Turn::Errand(task) => {
                    let (client, recorder) = (self.parts.client.clone(), self.parts.recorder.clone());
                    let (permits, apis) = (Arc::clone(&self.permits), Arc::clone(&self.apis));
                    self.errands.spawn(async move {
                        // The semaphore is never closed.
                        let _permit = permits.acquire_owned().await.ok();
                        task.run(client, recorder, apis).await
                    });
                }
            }
        }
        self.parts.telemetry.worked(began.elapsed());
        if self.due.is_empty() {
            self.hold();
        }
    }

    /// Tells the collector which signals policies use, and the watches whether the room is needed; a standby asks for none.
    fn hold(&mut self) {
        let leads = *self.parts.leading.borrow();
        let signals = if leads { self.reconciler.signals() } else { BTreeSet::new() };
        if signals != self.held {
            debug!(?signals, "signals in use changed");
            self.parts.collector.hold(signals.iter().cloned());
            self.held = signals;
        }
        let urgent = if leads { self.reconciler.wake_signals() } else { BTreeSet::new() };
        if urgent != self.urgent {
            debug!(?urgent, "signals that wake sleeping roles changed");
            self.parts.collector.hurry(urgent.iter().cloned());
            self.urgent = urgent;
        }
        let needs_room = leads && self.reconciler.needs_room();
        if self.parts.watches.room.need(needs_room, Instant::now()) {
            self.reconciler.world.room = Room::default();
        }
    }

    fn settle(&mut self, done: Result<Returned, tokio::task::JoinError>) {
        match done {
            Ok(returned) => {
                for class in &returned.errors {
                    self.parts.telemetry.error(class);
                }
                for (role, scaled) in &returned.scaled {
                    self.parts.telemetry.scaled(&returned.group, role, *scaled);
                }
                self.reconciler.settle(&returned, (self.parts.clock)());
                if self.again.remove(&returned.group) || returned.answered.is_some() {
                    self.enqueue(returned.group);
                }
            }
            Err(error) => error!(%error, "an errand ended without a result"),
        }
    }

    async fn farewell(&mut self) {
        let finished =
            tokio::time::timeout(FAREWELL, async { while self.errands.join_next().await.is_some() {} });
        if finished.await.is_err() {
            error!(left = self.errands.len(), "ended before every errand was done");
        }
        if tokio::time::timeout(LAST_WORDS, self.parts.recorder.sent()).await.is_err() {
            warn!("ended before every event was sent");
        }
    }
}

/// Status and history hold times; milliseconds keep them short.
fn whole_milliseconds(now: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
