//! [`Keeper`]: a serving certificate of our own making, kept in a Secret that all replicas share, and believed by the
//! aggregation layer because its authority is written into our `APIServices`.
//!
//! Replicas need not talk to each other: whoever finds the Secret without a certificate, or with one that ends soon, writes a
//! new one by compare-and-set, and the others take it over at their next look.

mod pair;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    ByteString, api::core::v1::Secret, kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use rbg_autoscaler::{cause::chain, metrics::collector::Clock};
use rustls::sign::CertifiedKey;
use serde_json::json;

pub use self::pair::Pair;
use crate::{
    certificate::note_expiry,
    options::NamespacedName,
    telemetry::Telemetry,
    tls::{CertificateError, ServingCertificate},
};

/// How often the Secret and the `APIServices` are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How soon after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How long the aggregation layer gets to notice a new authority before a certificate of it is served.
const SETTLES: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);
const FIELD_MANAGER: &str = "rbg-metrics-adapter";

/// Why there is no certificate of our own.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The Secret cannot be used.
    #[error("secret {name}: {hint}")]
    Secret {
        /// Namespace and name.
        name: NamespacedName,
        /// What to do.
        hint: &'static str,
        /// What the API server says.
        source: kube::Error,
    },
    /// An `APIService` cannot be told.
    #[error("APIService {name}: its caBundle cannot be written, which takes get and patch on it")]
    Registration {
        /// Its name.
        name: String,
        /// What the API server says.
        source: kube::Error,
    },
    /// The API server does not answer.
    #[error("no answer of the API server within {0:?}")]
    Timeout(Duration),
    /// None could be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// What is kept where, for which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The Secret; it must exist, and may be empty.
    pub secret: NamespacedName,
    /// The Service that clients come through.
    pub service: NamespacedName,
    /// The `APIServices` whose `caBundle` is ours.
    pub registrations: Vec<String>,
}

/// Keeps a certificate of our own making.
pub struct Keeper {
    secrets: Api<Secret>,
    registrations: Api<APIService>,
    places: Places,
    names: Vec<String>,
    clock: Clock,
    /// What is served, or about to be.
    current: Option<Pair>,
}

impl Keeper {
    /// Returns a keeper that has not looked yet.
    pub fn new(client: Client, places: Places, clock: Clock) -> Self {
        let NamespacedName { namespace, name } = &places.service;
        Self {
            secrets: Api::namespaced(client.clone(), &places.secret.namespace),
            registrations: Api::all(client),
            names: vec![
                format!("{name}.{namespace}.svc"),
                format!("{name}.{namespace}"),
                format!("{name}.{namespace}.svc.cluster.local"),
            ],
            places,
            clock,
            current: None,
        }
    }

    /// Returns the certificate to begin with; asks until there is one.
    pub async fn begin(&mut self) -> CertifiedKey {
        loop {
            match self.look().await {
                Ok((certificate, pair)) => {
                    self.current = Some(pair);
                    return certificate;
                }
                Err(error) => tracing::error!(error = chain(&error), "no serving certificate yet"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews the certificate, takes over what other replicas renewed, and keeps the `APIServices` told, until dropped.
    pub async fn run(mut self, serving: Arc<ServingCertificate>, telemetry: Telemetry) {
        let mut failed = None;
        loop {
            match self.round(&serving, &telemetry).await {
                Ok(()) => failed = None,
                Err(error) => {
                    let why = chain(&error);
                    if failed.as_ref() != Some(&why) {
                        tracing::warn!(error = why, "serving certificate not kept as it should be");
                    }
                    failed = Some(why);
                }
            }
            tokio::time::sleep(if failed.is_some() { RETRY } else { LOOK_EVERY }).await;
        }
    }

    async fn round(
        &mut self,
        serving: &ServingCertificate,
        telemetry: &Telemetry,
    ) -> Result<(), AuthorityError> {
        let (certificate, pair) = self.look().await?;
        for name in &self.places.registrations {
            self.tell(name, &pair.bundle).await?;
        }
        if self.current.as_ref() != Some(&pair) {
            self.current = Some(pair);
            tokio::time::sleep(SETTLES).await;
            tracing::info!(secret = %self.places.secret, "serving certificate taken over");
            note_expiry(&certificate, telemetry);
            serving.replace(certificate);
        }
        Ok(())
    }

    /// Reads the Secret, and fills it when that is due.
    async fn look(&self) -> Result<(CertifiedKey, Pair), AuthorityError> {
        loop {
            if let Some(pair) = self.settle((self.clock)()).await? {
                return Ok((pair.usable()?, pair));
            }
        }
    }

    /// One attempt to read or write the Secret; `None` when another replica wrote it meanwhile.
    async fn settle(&self, now: Timestamp) -> Result<Option<Pair>, AuthorityError> {
        let name = &self.places.secret;
        let refuse = |hint| move |source| AuthorityError::Secret { name: name.clone(), hint, source };
        let mut secret = within(self.secrets.get(&name.name))
            .await?
            .map_err(refuse("it must exist, even if empty, and be readable (get)"))?;
        let stored = secret.data.as_ref().and_then(Pair::read);
        if let Some(pair) = &stored
            && !pair.is_due(&self.names, now)
        {
            return Ok(stored);
        }
        let known = [stored.as_ref(), self.current.as_ref()];
        let previous: Vec<&str> = known.into_iter().flatten().map(|pair| pair.bundle.as_str()).collect();
        let pair = Pair::make(&self.names, now, &previous)?;
        secret.data.get_or_insert_default().extend(pair.data());
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match within(self.secrets.replace(&name.name, &params, &secret)).await? {
            Ok(_) => {
                tracing::info!(secret = %name, "serving certificate made");
                Ok(Some(pair))
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(refuse("it must be writable (update)")(error)),
        }
    }

    async fn tell(&self, name: &str, bundle: &str) -> Result<(), AuthorityError> {
        let refuse = |source| AuthorityError::Registration { name: name.to_owned(), source };
        let registration = within(self.registrations.get(name)).await?.map_err(refuse)?;
        let wanted = ByteString(bundle.as_bytes().to_vec());
        if registration.spec.is_some_and(|spec| spec.ca_bundle.as_ref() == Some(&wanted)) {
            return Ok(());
        }
        // Both together are refused by the API server.
        let patch = json!({"spec": {"caBundle": wanted, "insecureSkipTLSVerify": null}});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        within(self.registrations.patch(name, &params, &Patch::Merge(&patch))).await?.map_err(refuse)?;
        tracing::info!(name, "authority told to the aggregation layer");
        Ok(())
    }
}

async fn within<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Result<T, kube::Error>, AuthorityError> {
    tokio::time::timeout(PATIENCE, request).await.map_err(|_| AuthorityError::Timeout(PATIENCE))
}

#[cfg(test)]
mod tests;
