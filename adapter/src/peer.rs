//! [`Peer`]: the other end of a connection, and what its certificate is worth.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::authentication::{Identity, trust::Trust};

/// A certificate is judged again after this long, should it have expired on an open connection.
const JUDGED_FOR: i64 = 60;

/// The other end of a connection.
#[derive(Default)]
pub struct Peer {
    chain: Vec<CertificateDer<'static>>,
    judged: Mutex<Option<Judged>>,
}

struct Judged {
    by: Arc<Trust>,
    at: Timestamp,
    identity: Arc<Identity>,
}

impl Peer {
    /// Returns the peer that presented these certificates, none included.
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Self {
        Self { chain, judged: Mutex::new(None) }
    }

    /// Returns what its certificate is worth; signatures are checked once per connection, minute and trust.
    pub fn identity(&self, trust: &Arc<Trust>, clock: &dyn Fn() -> Timestamp) -> Arc<Identity> {
        let now = clock();
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(judged) = judged.as_ref()
            && Arc::ptr_eq(&judged.by, trust)
            && (0..JUDGED_FOR).contains(&(now.as_second() - judged.at.as_second()))
        {
            return judged.identity.clone();
        }
        let since_epoch = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
        let identity = Arc::new(Identity::of(&self.chain, trust, UnixTime::since_unix_epoch(since_epoch)));
        *judged = Some(Judged { by: trust.clone(), at: now, identity: identity.clone() });
        identity
    }
}
