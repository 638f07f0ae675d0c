//! [`PrometheusSource`]: signals from anything that speaks Prometheus' HTTP API.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;

use crate::metrics::{
    Signal, SourceError,
    source::{Answer, Source},
};

mod answer;
mod client;
mod settings;

pub use client::PrometheusClient;
pub use settings::{Settings, SettingsError, Token};

/// Signals from Prometheus, VictoriaMetrics, Thanos or Mimir.
#[derive(Clone)]
pub struct PrometheusSource {
    client: Arc<PrometheusClient>,
}

impl PrometheusSource {
    /// Returns a source for a base URL, whose path prefix is kept; user and password in it are used.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, SettingsError> {
        Ok(Self::of(Arc::new(PrometheusClient::new(Settings::new(url, timeout))?)))
    }

    /// Returns a source that asks through a client.
    pub fn of(client: Arc<PrometheusClient>) -> Self {
        Self { client }
    }
}

impl Source for PrometheusSource {
    fn collect<'a>(
        &'a self,
        signal: &'a Signal,
        at: Timestamp,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        async move {
            let body = self.client.query(&signal.query(), at).await?;
            answer::read(signal, at, &body).map_err(|refused| refused.of(&self.client.name()))
        }
        .boxed()
    }

    fn name(&self) -> String {
        self.client.name()
    }
}

#[cfg(test)]
mod tests;
