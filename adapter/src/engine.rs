//! [`Engine`]: rules at work. Which metrics they make is listed now and then; values are asked for when somebody wants them.
//!
//! All that ask within one collection interval share one query, evaluated at the interval's instant. Where a rule's expression
//! allows it, that query is over all objects of the cluster, so any number of requests costs one.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use rbg_autoscaler::metrics::{SourceError, collector::Clock, prometheus::PrometheusClient};

use crate::{
    engine::{objects::ObjectLister, vector::Vector},
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
#[cfg(test)]
mod tests;
pub mod vector;

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
    vectors: Remembered<(String, Timestamp), Arc<Vector>>,
    lists: Remembered<(GroupResource, Option<String>, String), Arc<Vec<String>>>,
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
        Self { upstream, lister, pods, interval, clock, book: RwLock::new(None), vectors, lists }
    }

    /// Returns the rules and the metrics they make; `None` without a configuration.
    pub fn book(&self) -> Option<Arc<Rulebook>> {
        self.book.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over other rules or metrics.
    pub fn replace(&self, book: Rulebook) {
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(book));
    }

    /// Returns what a query answers at the interval's instant; asked once per interval.
    ///
    /// Errors: 503 with the cause when Prometheus does not answer, 500 when it answers something else than values.
    async fn vector(&self, promql: &str) -> Result<Arc<Vector>, RequestError> {
        let at = self.instant();
        let ask = async || {
            let body = self.upstream.query(promql, at).await.map_err(|error| refused(&error))?;
            Vector::parse(&body).map(Arc::new).map_err(|why| {
                let source = self.upstream.name();
                RequestError::internal(format_args!("{source}: {why}"))
            })
        };
        self.vectors.get((promql.to_owned(), at), |_| self.interval, ask).await
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
