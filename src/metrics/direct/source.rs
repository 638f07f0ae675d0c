//! [`DirectSource`]: signals from the pods themselves.
//!
//! The first signal that is asked for at an instant has every pod scraped; the others of that instant wait for the same round.
//! So nothing is scraped while nobody wants a signal, and a page is read once however many signals it feeds. A pod that is slow
//! does not hold up the others: it soon gives its place to the next one, the round ends without it, and its page counts when it
//! comes. Pods that failed the last time have places of their own.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::sync::{Semaphore, watch};

use crate::{
    api::rbg::GROUP_NAME,
    metrics::{
        Definition, ScrapeError, Signal, SourceError,
        collector::Clock,
        direct::{
            History, Scope, Target, TargetError, Wanted,
            history::Page,
            scrape::{Rest, Scraper},
        },
        source::{Answer, Source},
    },
};

/// Pages that are awaited at the same time, of pods that answered last time and, apart from them, of those that did not.
const AT_ONCE: usize = 128;
/// A pod that takes longer goes on without a place, so that the next one begins.
const PLACE_LASTS: Duration = Duration::from_secs(1);
/// How long the pods' first list is awaited.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
/// How long a round waits for slow pods.
const ROUND_PATIENCE: Duration = Duration::from_secs(2);
/// How long a page may take.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(10);
const NAME: &str = "direct scrape";

/// Is told of every scrape: `ok` or the failure's class, and how long it took.
pub type OnScrape = Box<dyn Fn(&Scraped) + Send + Sync>;

/// One scrape of one pod, for a program's own metrics.
#[derive(Clone, Copy, Debug)]
pub struct Scraped {
    /// `ok` or the class of the failure.
    pub outcome: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// What is scraped and how.
pub struct Options {
    /// Which pods.
    pub scope: Scope,
    /// Pods of this namespace only; of all when absent.
    pub namespace: Option<String>,
    /// The time between two rounds.
    pub interval: Duration,
    /// Reads the wall clock.
    pub clock: Clock,
    /// Is told of every scrape.
    pub on_scrape: OnScrape,
}

/// Signals from the pods themselves; cheap to clone, all clones are one source.
#[derive(Clone)]
pub struct DirectSource {
    shared: Arc<Shared>,
}

type PodKey = (String, String);
type Pods = HashMap<PodKey, Result<Target, TargetError>>;

struct Shared {
    scraper: Scraper,
    options: Options,
    pods: Mutex<Pods>,
    synced: watch::Sender<bool>,
    history: Mutex<History>,
    failures: Mutex<HashMap<PodKey, ScrapeError>>,
    in_flight: Mutex<HashSet<PodKey>>,
    places: Semaphore,
    places_of_failing: Semaphore,
    /// The instant of the last round; held while a round goes on.
    round: tokio::sync::Mutex<Option<Timestamp>>,
}

impl DirectSource {
    /// Returns a source that answers these signals once [`Self::run`] is polled; needs a default TLS provider in the process.
    pub fn new<'a>(
        signals: impl IntoIterator<Item = &'a Signal>,
        options: Options,
    ) -> Result<Self, SourceError> {
        open_files::allow_all();
        let wanted = Arc::new(Wanted::new(signals));
        let patience = SCRAPE_PATIENCE.min(options.interval);
        let scraper = Scraper::new(wanted.clone(), patience).map_err(|error| SourceError::Unreachable {
            source_name: NAME.to_owned(),
            cause: error.to_string(),
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                scraper,
                options,
                pods: Mutex::default(),
                synced: watch::Sender::new(false),
                history: Mutex::new(History::new(wanted)),
                failures: Mutex::default(),
                in_flight: Mutex::default(),
                places: Semaphore::new(AT_ONCE),
                places_of_failing: Semaphore::new(AT_ONCE),
                round: tokio::sync::Mutex::new(None),
            }),
        })
    }

    /// Watches the pods until dropped; failures are logged and tried again, what is known stays meanwhile.
    pub async fn run(&self, client: Client) {
        let api: Api<Pod> = match &self.shared.options.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let config = match self.shared.options.scope {
            Scope::Roles => watcher::Config::default().labels(GROUP_NAME),
            Scope::RolesAndAnnotated => watcher::Config::default(),
        };
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        let mut listed = Pods::new();
        let mut is_failing = false;
        while let Some(event) = events.next().await {
            // A watch that keeps failing is told once.
            let failed_before = std::mem::replace(&mut is_failing, event.is_err());
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(pod)) => self.put(&mut listed, &pod),
                Ok(Event::InitDone) => {
                    tracing::info!(targets = listed.len(), "pods to scrape listed");
                    *lock(&self.shared.pods) = std::mem::take(&mut listed);
                    self.shared.synced.send_replace(true);
                }
                Ok(Event::Apply(pod)) => self.put(&mut lock(&self.shared.pods), &pod),
                Ok(Event::Delete(pod)) => drop(lock(&self.shared.pods).remove(&key(&pod))),
                Err(error) if failed_before => tracing::debug!(%error, "pods to scrape cannot be watched"),
                Err(error) => {
                    tracing::warn!(%error, "pods to scrape cannot be watched: may the service account list and watch pods?");
                }
            }
        }
    }

    fn put(&self, pods: &mut Pods, pod: &Pod) {
        match Target::of(pod, self.shared.options.scope) {
            Some(target) => pods.insert(key(pod), target),
            None => pods.remove(&key(pod)),
        };
    }

    async fn is_listed(&self) -> bool {
        let mut synced = self.shared.synced.subscribe();
        let listed = synced.wait_for(|synced| *synced);
        tokio::time::timeout(LIST_PATIENCE, listed).await.is_ok()
    }

    /// Scrapes every pod, unless that was done for this instant or a later one.
    async fn round(&self, at: Timestamp) {
        let mut done = self.shared.round.lock().await;
        if done.is_some_and(|done| done >= at) {
            return;
        }
        let targets = self.begin_round();
        let shared = self.shared.clone();
        let scraping = tokio::spawn(async move {
            let scrape = |(target, was_failing)| shared.scrape(target, was_failing);
            // The places are the limit.
            stream::iter(targets).for_each_concurrent(None, scrape).await;
        });
        let patience = ROUND_PATIENCE.min(self.shared.options.interval / 2);
        // What is not there in time goes on and counts later.
        let _ = tokio::time::timeout(patience, scraping).await;
        *done = Some(at);
    }

    /// Forgets the pods that are gone and returns those to scrape now, each with whether it failed the last time.
    fn begin_round(&self) -> Vec<(Target, bool)> {
        let pods = lock(&self.shared.pods).clone();
        lock(&self.shared.history).retain(|namespace, pod| {
            // A pod that is known by what an exporter says of it is told again at each round.
            pods.contains_key(&(namespace.to_owned(), pod.to_owned()))
        });
        let mut failures = lock(&self.shared.failures);
        failures.retain(|key, _| pods.contains_key(key));
        let mut in_flight = lock(&self.shared.in_flight);
        let mut targets = Vec::with_capacity(pods.len());
        for (key, target) in pods {
            match target {
                Ok(target) => {
                    let was_failing = failures.contains_key(&key);
                    if in_flight.insert(key) {
                        targets.push((target, was_failing));
                    }
                }
                Err(error) => drop(failures.insert(key, ScrapeError::Target(error))),
            }
        }
        targets
    }

    fn answer(&self, signal: &Signal) -> Result<Answer, SourceError> {
        let samples = lock(&self.shared.history).samples(signal, (self.shared.options.clock)());
        if samples.is_empty() {
            let failures = lock(&self.shared.failures);
            let pods = lock(&self.shared.pods).len();
            // One of them tells enough; always the same one, so that the words do not change each time.
            let first = failures.iter().min_by_key(|(key, _)| *key);
            if let Some(((_, pod), why)) = first.filter(|_| failures.len() >= pods) {
                return Err(SourceError::Unreachable {
                    source_name: NAME.to_owned(),
                    cause: format!("none of {pods} pods could be scraped; {pod}: {why}"),
                });
            }
        }
        Ok(Answer { samples, ..Answer::default() })
    }
}

impl Source for DirectSource {
    fn collect<'a>(
        &'a self,
        signal: &'a Signal,
        at: Timestamp,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        let refused = |message: String| SourceError::Refused { source_name: NAME.to_owned(), message };
        async move {
            if let Definition::Query(_) = signal.definition {
                let message = format!(
                    "{} is a PromQL query, which needs Prometheus: start with --metrics-from=prometheus",
                    signal.name
                );
                return Err(refused(message));
            }
            if !self.is_listed().await {
                return Err(refused("the pods of the cluster are not listed yet".to_owned()));
            }
            self.round(at).await;
            self.answer(signal)
        }
        .boxed()
    }

    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn failure(&self, namespace: &str, pod: &str) -> Option<ScrapeError> {
        lock(&self.shared.failures).get(&(namespace.to_owned(), pod.to_owned())).cloned()
    }
}

impl Shared {
    async fn scrape(&self, target: Target, was_failing: bool) {
        let places = if was_failing { &self.places_of_failing } else { &self.places };
        // They are never closed.
        let place = places.acquire().await.ok();
        let at = (self.options.clock)();
        let mut scraping = std::pin::pin!(self.scraper.scrape(&target.url));
        // Those that fail wait for one another, so that not all of them are open at once.
        let lasts = if was_failing { Duration::MAX } else { PLACE_LASTS };
        let in_place = tokio::time::timeout(lasts, &mut scraping).await;
        let scraped = if let Ok(scraped) = in_place {
            scraped
        } else {
            drop(place);
            scraping.await
        };
        let took = Duration::try_from((self.options.clock)().duration_since(at)).unwrap_or_default();
        let outcome = scraped.as_ref().map_or_else(ScrapeError::class, |_| "ok");
        (self.options.on_scrape)(&Scraped { outcome, took });
        let key = (target.namespace.clone(), target.pod.clone());
        match scraped {
            Ok(rest) => {
                self.keep(&target, at, &rest);
                if lock(&self.failures).remove(&key).is_some() {
                    tracing::info!(namespace = target.namespace, pod = target.pod, "pod is scraped again");
                }
            }
            Err(error) => {
                lock(&self.history).fail(&target.namespace, &target.pod);
                let is_new = lock(&self.failures).insert(key.clone(), error.clone()).is_none();
                let Target { namespace, pod, url, .. } = &target;
                if is_new {
                    tracing::warn!(namespace, pod, url, %error, "pod not scraped");
                } else {
                    tracing::debug!(namespace, pod, url, %error, "pod not scraped");
                }
            }
        }
        lock(&self.in_flight).remove(&key);
    }

    fn keep(&self, target: &Target, at: Timestamp, rest: &Rest) {
        let page = Page {
            namespace: &target.namespace,
            pod: &target.pod,
            uid: &target.uid,
            at,
            text: &rest.text,
            is_open_metrics: rest.is_open_metrics,
        };
        let malformed = lock(&self.history).take(page);
        if malformed > 0 {
            tracing::debug!(
                namespace = target.namespace,
                pod = target.pod,
                malformed,
                "lines of a page left out"
            );
        }
    }
}

fn key(pod: &Pod) -> PodKey {
    (pod.metadata.namespace.clone().unwrap_or_default(), pod.metadata.name.clone().unwrap_or_default())
}

/// What a panic elsewhere left behind is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

mod open_files;
#[cfg(test)]
mod tests;
