//! What stands in a Lease, and when it is over. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use tokio::time::Instant;

/// A lease as it was last seen to change.
#[derive(Debug, Default)]
pub(super) struct Observed {
    seen: Option<(Record, Instant)>,
}

/// What changes in a lease while it is held.
type Record = (Option<String>, Option<Timestamp>);

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.clone()).filter(|holder| !holder.is_empty());
    (holder, spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0))
}

fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(15))
}

impl Observed {
    /// Notes the lease, and when it was last seen to change.
    pub(super) fn look(&mut self, lease: &Lease, now: Instant) {
        let record = record(lease);
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.seen = Some((record, now));
        }
    }

    /// Whether nobody holds the lease, or its holder has not renewed it for as long as it lasts.
    pub(super) fn is_over(&self, lease: &Lease, now: Instant) -> bool {
        let Some(((holder, _), since)) = &self.seen else { return false };
        holder.is_none() || now.duration_since(*since) >= duration(lease)
    }

    /// How long the lease will last yet, should its holder not renew it.
    pub(super) fn rest(&self, lease: &Lease, now: Instant) -> Duration {
        let since = self.seen.as_ref().map_or(now, |(_, since)| *since);
        duration(lease).saturating_sub(now.duration_since(since))
    }
}

/// Whether that process holds the lease.
pub(super) fn is_held_by(lease: &Lease, identity: &str) -> bool {
    record(lease).0.as_deref() == Some(identity)
}

/// A lease that did not exist before.
pub(super) fn new_lease(name: &str, identity: &str, duration: Duration, now: Timestamp) -> Lease {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let spec = LeaseSpec { lease_transitions: Some(0), ..LeaseSpec::default() };
    held(Lease { metadata, spec: Some(spec) }, identity, duration, now, true)
}

/// The lease as that process holds it from now on.
pub(super) fn acquired(lease: Lease, identity: &str, duration: Duration, now: Timestamp) -> Lease {
    let is_new_holder = !is_held_by(&lease, identity);
    let mut lease = held(lease, identity, duration, now, is_new_holder);
    if is_new_holder && let Some(spec) = &mut lease.spec {
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
    }
    lease
}

fn held(mut lease: Lease, identity: &str, duration: Duration, now: Timestamp, begins: bool) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_duration_seconds = i32::try_from(duration.as_secs()).ok();
    spec.renew_time = Some(MicroTime(now));
    if begins {
        spec.acquire_time = Some(MicroTime(now));
    }
    lease
}

/// The lease as nobody holds it.
pub(super) fn released(mut lease: Lease, now: Timestamp) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = None;
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(MicroTime(now));
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    const LASTS: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_over_when_it_has_not_changed_for_its_duration() {
        let mut observed = Observed::default();
        // The other machine's clock is a day ahead, which must not matter.
        let lease = new_lease("l", "other", LASTS, at(86_400));
        let start = Instant::now();
        observed.look(&lease, start);
        assert!(!observed.is_over(&lease, start + Duration::from_secs(14)));
        assert_eq!(observed.rest(&lease, start + Duration::from_secs(14)), Duration::from_secs(1));
        assert!(observed.is_over(&lease, start + LASTS));
        let renewed = acquired(lease, "other", LASTS, at(86_410));
        observed.look(&renewed, start + Duration::from_secs(10));
        assert!(!observed.is_over(&renewed, start + LASTS), "renewed meanwhile");
        let free = released(renewed, at(86_411));
        observed.look(&free, start + Duration::from_secs(11));
        assert!(observed.is_over(&free, start + Duration::from_secs(11)), "given back");
    }

    #[test]
    fn a_new_holder_counts_and_a_renewal_does_not() {
        let lease = acquired(new_lease("l", "one", LASTS, at(0)), "one", LASTS, at(5));
        let spec = lease.spec.clone().expect("a spec");
        assert_eq!(
            (spec.lease_transitions, spec.acquire_time, spec.renew_time),
            (Some(0), Some(MicroTime(at(0))), Some(MicroTime(at(5))))
        );
        let spec = acquired(lease, "two", LASTS, at(9)).spec.expect("a spec");
        assert_eq!((spec.lease_transitions, spec.acquire_time), (Some(1), Some(MicroTime(at(9)))));
        assert_eq!(spec.holder_identity.as_deref(), Some("two"));
    }
}
