//! [`Engine`]: rules at work. Which metrics they make is listed now and then; values are asked for when somebody wants them.
//!
//! All that ask within one collection interval share one query, evaluated at the interval's instant. Where a rule's expression
//! allows it, that query is over all objects of the cluster, so any number of requests costs one. What is wanted is asked anew at
//! each instant before anybody asks for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use rbg_autoscaler::metrics::{
    SourceError,
    collector::{Clock, DEMAND_LASTS},
    prometheus::PrometheusClient,
};

use crate::{
    answers::Basis,
    engine::{
        objects::ObjectLister,
        standing::{Answered, Standing},
        vector::Vector,
    },
    pods::PodCache,
    remembered::Remembered,
    request::{GroupResource, RequestError},
    rules::rulebook::Rulebook,
};

pub mod configuration;
pub mod custom;
pub mod external;
pub mod kinds;
pub mod objects;
pub mod standing;
#[cfg(test)]
mod tests;
pub mod usage;
pub mod vector;

/// A query that names objects changes with them, so it is not kept up for longer than a few looks of the HPA controller.
const NAMED_LASTS: Duration = Duration::from_secs(60);
/// How long after an instant it is asked for: scrapes that began before it must have ended.
const SETTLE: Duration = Duration::from_millis(250);
/// Queries that are kept up; more are asked when somebody wants them.
const MOST_WARM: usize = 1024;
/// Of those, how many are under way at once.
const AT_ONCE: usize = 8;

/// What Prometheus can be asked; the real one, or a fake.
pub trait Upstream: Send + Sync {
    /// Answers a query at an instant, as a JSON document.
    fn query<'a>(&'a self, promql: &'a str, at: Timestamp) -> BoxFuture<'a, Result<Vec<u8>, SourceError>>;
    /// Answers which series a selector finds since `start`, as a JSON document.
    fn series<'a>(
        &'a self,
        selector: &'a str,
        start: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<u8>, SourceError>>;
    /// Names the server, without credentials.
    fn name(&self) -> String;
}

impl Upstream for PrometheusClient {
    fn query<'a>(&'a self, promql: &'a str, at: Timestamp) -> BoxFuture<'a, Result<Vec<u8>, SourceError>> {
        Box::pin(Self::query(self, promql, at))
    }

    fn series<'a>(
        &'a self,
        selector: &'a str,
        start: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<u8>, SourceError>> {
        Box::pin(Self::series(self, selector, start))
    }

    fn name(&self) -> String {
        Self::name(self)
    }
}

/// Rules at work.
pub struct Engine {
    upstream: Arc<dyn Upstream>,
    lister: Arc<dyn ObjectLister>,
    pods: Arc<PodCache>,
    interval: Duration,
    clock: Clock,
    book: RwLock<Option<Arc<Rulebook>>>,
    vectors: Remembered<(String, Timestamp), Arc<Answered>>,
    standing: Standing,
    lists: Remembered<(GroupResource, Option<String>, String), Arc<Vec<String>>>,
    /// Until when each query is kept up.
    wanted: Mutex<HashMap<String, Timestamp>>,
}

/// For how long a query is asked again after somebody wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// It is over all objects, or none.
    Long,
    /// It names objects.
    Short,
}

impl Engine {
    /// Returns an engine without rules, which answers nothing.
    pub fn new(
        upstream: Arc<dyn Upstream>,
        lister: Arc<dyn ObjectLister>,
        pods: Arc<PodCache>,
        interval: Duration,
        clock: Clock,
    ) -> Self {
        let (vectors, lists) = (Remembered::default(), Remembered::default());
        let (book, wanted) = (RwLock::new(None), Mutex::default());
        let standing = Standing::default();
        Self { upstream, lister, pods, interval, clock, book, vectors, standing, lists, wanted }
    }

    /// Returns the rules and the metrics they make; `None` without a configuration.
    pub fn book(&self) -> Option<Arc<Rulebook>> {
        self.book.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over other rules or metrics.
    pub fn replace(&self, book: Rulebook) {
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(book));
    }

    /// Asks at each instant again what was wanted lately, so that nobody has to wait for it; until dropped.
    pub async fn keep_warm(&self) {
        loop {
            let now = (self.clock)();
            let wait = Duration::try_from(self.next_instant().duration_since(now)).unwrap_or_default();
            tokio::time::sleep(wait + SETTLE.min(self.interval / 4)).await;
            self.warm().await;
        }
    }

    async fn warm(&self) {
        let now = (self.clock)();
        let queries: Vec<String> = {
            let mut wanted = self.wanted();
            wanted.retain(|_, until| now < *until);
            self.standing.retain(|query| wanted.contains_key(query));
            wanted.keys().cloned().collect()
        };
        let asking = stream::iter(queries).for_each_concurrent(AT_ONCE, |query| async move {
            if let Err(error) = self.ask(&query).await {
                tracing::debug!(query, error = error.message, "query of a rule failed");
            }
        });
        asking.await;
        // Here rather than where somebody waits: answers over a large cluster are large.
        self.vectors.sweep();
    }

    fn wanted(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what a query answers at the interval's instant, or at the one before while the new answer is under way; asked once per
    /// interval, and again for some time after.
    ///
    /// Errors: 503 with the cause when Prometheus does not answer, 500 when it answers something else than values.
    async fn answered(&self, promql: &str, kept: Kept) -> Result<Arc<Answered>, RequestError> {
        self.want(promql, kept);
        match self.standing.get(promql, (self.clock)(), self.interval) {
            Some(answered) => Ok(answered),
            None => self.ask(promql).await,
        }
    }

    /// What an answer made of values rests on.
    fn basis(&self, answered: &Arc<Answered>, pods: Option<(String, u64)>) -> Basis {
        let until = answered.until(self.interval);
        Basis { until, pods, samples: None, answered: Some(Arc::downgrade(answered)) }
    }

    /// Has a query asked again for some time.
    fn want(&self, promql: &str, kept: Kept) {
        let lasts = match kept {
            Kept::Long => DEMAND_LASTS,
            Kept::Short => NAMED_LASTS,
        };
        let until = (self.clock)().checked_add(lasts).unwrap_or(Timestamp::MAX);
        let mut wanted = self.wanted();
        if let Some(known) = wanted.get_mut(promql) {
            *known = until;
        } else if wanted.len() < MOST_WARM {
            wanted.insert(promql.to_owned(), until);
        }
    }

    async fn ask(&self, promql: &str) -> Result<Arc<Answered>, RequestError> {
        let at = self.instant();
        let ask = async || {
            let body = self.upstream.query(promql, at).await.map_err(|error| refused(&error))?;
            let vector = Vector::parse(&body).map_err(|why| {
                let source = self.upstream.name();
                RequestError::internal(format_args!("{source}: {why}"))
            })?;
            let answered = Arc::new(Answered::new(vector, at));
            if self.wanted().contains_key(promql) {
                self.standing.put(promql, &answered);
            }
            Ok(answered)
        };
        // No longer than the interval, so that the answer before is let go with the next.
        let lasts =
            || Duration::try_from(self.next_instant().duration_since((self.clock)())).unwrap_or_default();
        self.vectors.get((promql.to_owned(), at), |_| lasts(), ask).await
    }

    /// The last multiple of the interval, at which all replicas of the adapter ask.
    fn instant(&self) -> Timestamp {
        let now = (self.clock)();
        let interval = i128::try_from(self.interval.as_nanos()).unwrap_or(i128::MAX).max(1);
        let nanoseconds = now.as_nanosecond();
        Timestamp::from_nanosecond(nanoseconds - nanoseconds.rem_euclid(interval)).unwrap_or(now)
    }

    /// When the next instant is, at which everything is asked anew.
    fn next_instant(&self) -> Timestamp {
        self.instant().checked_add(self.interval).unwrap_or(Timestamp::MAX)
    }
}

/// The cause is the message: the HPA shows it.
fn refused(error: &SourceError) -> RequestError {
    let (code, reason) = match error {
        SourceError::Timeout { .. } => (504, "Timeout"),
        _ => (503, "ServiceUnavailable"),
    };
    RequestError { code, reason, message: format!("unable to fetch metrics: {error}") }
}
