//! [`Election`]: which of several processes leads, by a Lease.
//!
//! One that leads renews the lease and gives it back when it ends; one that cannot renew it in time must end, because
//! another may lead by then. Clocks of different machines are never compared: a lease is over when its record has not
//! changed for its duration as seen from here.

mod record;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, api::PostParams};
use rbg_autoscaler::{cause, metrics::collector::Clock};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};

use self::record::{Observed, acquired, is_held_by, new_lease, released};

/// How long a lease lasts without being renewed.
const DURATION: Duration = Duration::from_secs(15);
/// How long the leader may try to renew before it gives up; shorter than the lease.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often the leader renews the lease.
const RETRY: Duration = Duration::from_secs(2);
/// How often a standby looks whether the leader still does; the sooner it sees the last renewal, the sooner it takes over.
const LOOK: Duration = Duration::from_secs(1);
/// How soon it is tried again after a request that failed: the time until the deadline is for tries, not for pauses.
const AGAIN: Duration = Duration::from_millis(500);
/// One request may take this long.
const REQUEST: Duration = Duration::from_secs(4);

/// The election of one process.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    clock: Clock,
}

/// Why an election ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElectionError {
    /// Somebody else leads now.
    #[error("another process holds the lease now")]
    Taken,
    /// The lease could not be renewed in time, so somebody else may lead soon.
    #[error("the lease could not be renewed for {0:?}: the API server did not answer in time")]
    NotRenewed(Duration),
}

impl Election {
    /// Returns an election by the lease of that name; `identity` must be different in every process.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, clock: Clock) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            clock,
        }
    }

    /// Takes part until `stop` says so; then a lease that is held is given back.
    ///
    /// Errors: leadership was lost, so the process must end at once.
    pub async fn run(
        &self,
        leads: &watch::Sender<bool>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ElectionError> {
        let mut observed = Observed::default();
        let mut renewed: Option<Instant> = None;
        loop {
            let asked_at = Instant::now();
            let answer = timeout(REQUEST, self.attempt(&mut observed)).await;
            let mut pause = if renewed.is_some() { RETRY } else { LOOK };
            match answer {
                Ok(Ok(Attempt::Ours)) => {
                    if renewed.is_none() {
                        info!(identity = self.identity, "became the leader");
                        leads.send_replace(true);
                    }
                    // Counted from before the request: the server may have begun the lease then.
                    renewed = Some(asked_at);
                }
                Ok(Ok(Attempt::Theirs(_))) if renewed.is_some() => {
                    leads.send_replace(false);
                    return Err(ElectionError::Taken);
                }
                // Not a look later than the end of the lease.
                Ok(Ok(Attempt::Theirs(rest))) => pause = pause.min(rest),
                Ok(Ok(Attempt::Moved)) => {}
                Ok(Err(error)) => {
                    warn!(error = cause::chain(&error), "could not ask for the lease");
                    pause = AGAIN;
                }
                Err(_) => {
                    warn!(waited = ?REQUEST, "could not ask for the lease in time");
                    pause = AGAIN;
                }
            }
            if let Some(since) = renewed.map(|at| at.elapsed()).filter(|since| *since >= DEADLINE) {
                leads.send_replace(false);
                return Err(ElectionError::NotRenewed(since));
            }
            tokio::select! {
                () = sleep(pause) => {}
                _ = stop.wait_for(|stopped| *stopped) => {
                    if renewed.is_some() {
                        self.release().await;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Acquires or renews the lease.
    async fn attempt(&self, observed: &mut Observed) -> Result<Attempt, kube::Error> {
        let now = (self.clock)();
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let lease = new_lease(&self.name, &self.identity, DURATION, now);
            return unless_moved(self.leases.create(&PostParams::default(), &lease).await);
        };
        let looked_at = Instant::now();
        observed.look(&lease, looked_at);
        if !is_held_by(&lease, &self.identity) && !observed.is_over(&lease, looked_at) {
            return Ok(Attempt::Theirs(observed.rest(&lease, looked_at)));
        }
        self.replace(&acquired(lease, &self.identity, DURATION, now)).await
    }

    /// The version that was read makes this a compare-and-set.
    async fn replace(&self, lease: &Lease) -> Result<Attempt, kube::Error> {
        unless_moved(self.leases.replace(&self.name, &PostParams::default(), lease).await)
    }

    /// Gives the lease back, so that a standby need not wait for its end.
    async fn release(&self) {
        let now: Timestamp = (self.clock)();
        let given_back = async {
            let lease = self.leases.get(&self.name).await?;
            if is_held_by(&lease, &self.identity) {
                self.replace(&released(lease, now)).await
            } else {
                Ok(Attempt::Moved)
            }
        };
        match timeout(REQUEST, given_back).await {
            Ok(Ok(Attempt::Ours)) => info!("gave the lease back"),
            Ok(Ok(Attempt::Theirs(_) | Attempt::Moved)) => {}
            Ok(Err(error)) => warn!(error = cause::chain(&error), "could not give the lease back"),
            Err(_) => warn!("could not give the lease back in time"),
        }
    }
}

/// What became of a look at the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// We hold it.
    Ours,
    /// Another process holds it, for so much longer if it does not renew it.
    Theirs(Duration),
    /// It changed while we looked.
    Moved,
}

fn unless_moved(answer: Result<Lease, kube::Error>) -> Result<Attempt, kube::Error> {
    match answer {
        Ok(_) => Ok(Attempt::Ours),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Attempt::Moved),
        Err(error) => Err(error),
    }
}
