//! Who asks: the user that a front proxy names, or that a client certificate is made out to, or nobody.
//!
//! Decides from what the connection and the headers say; knows nothing of sockets and of what the user may do.

use std::collections::BTreeMap;

use http::HeaderMap;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{
    authentication::{
        subject::Subject,
        trust::{FrontProxy, Trust},
    },
    request::target,
};

pub mod subject;
#[cfg(test)]
mod tests;
pub mod token;
pub mod trust;

/// The user of whom nothing is known.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of those of whom nothing is known.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group of those who are known.
pub const AUTHENTICATED: &str = "system:authenticated";

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// The name, such as `system:serviceaccount:kube-system:horizontal-pod-autoscaler`.
    pub name: String,
    /// The unique id, if told.
    pub uid: Option<String>,
    /// The groups.
    pub groups: Vec<String>,
    /// Other attributes.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Why somebody who presented credentials is not believed; answered by 401.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct AuthenticationError {
    why: String,
}

impl User {
    /// Returns nobody.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// Adds the group of known users unless the front proxy said that it does not know the user either.
    fn known(mut self) -> Self {
        let has = |group: &str| self.groups.iter().any(|known| known == group);
        if self.name != ANONYMOUS && !has(AUTHENTICATED) && !has(UNAUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

/// Whom a connection's client certificate may speak for; true as long as the trust it was judged by.
#[derive(Clone, Debug)]
pub struct Identity {
    is_present: bool,
    front_proxy: Option<Result<(), String>>,
    client: Option<Result<Subject, String>>,
}

impl Identity {
    /// Judges a chain; an empty one stands for a connection without a certificate.
    pub fn of(chain: &[CertificateDer<'_>], trust: &Trust, now: UnixTime) -> Self {
        if chain.is_empty() {
            return Self { is_present: false, front_proxy: None, client: None };
        }
        Self {
            is_present: true,
            front_proxy: trust.front_proxy.as_ref().map(|proxy| proxy.verify(chain, now)),
            client: trust.client_ca.as_ref().map(|bundle| bundle.verify(chain, now)),
        }
    }

    /// Returns who a request's headers and the certificate stand for; `None` when no certificate was presented.
    ///
    /// Headers count only from a certificate of the front proxy; without a user name in them the certificate stands for itself.
    /// Errors: a certificate that neither the front proxy's nor the clients' authority signed is never anonymous.
    /// Source: Kubernetes, "Configure the aggregation layer"; kube-apiserver's order of authenticators.
    pub fn user(&self, trust: &Trust, headers: &HeaderMap) -> Result<Option<User>, AuthenticationError> {
        if !self.is_present {
            return Ok(None);
        }
        let mut why = Vec::new();
        match (&self.front_proxy, &trust.front_proxy) {
            (Some(Ok(())), Some(proxy)) => {
                if let Some(user) = proxy.user(headers) {
                    return Ok(Some(user.known()));
                }
                why.push("front proxy: no user name in the headers".to_owned());
            }
            (Some(Err(refused)), _) => why.push(format!("front proxy: {refused}")),
            _ => {}
        }
        match &self.client {
            Some(Ok(subject)) if subject.common_name.is_empty() => {
                why.push("client certificate: no common name in it".to_owned());
            }
            Some(Ok(subject)) => {
                let (name, groups) = (subject.common_name.clone(), subject.organizations.clone());
                return Ok(Some(User { name, groups, ..User::default() }.known()));
            }
            Some(Err(refused)) => why.push(format!("client certificate: {refused}")),
            None => {}
        }
        if why.is_empty() {
            why.push("no authority for client certificates is known".to_owned());
        }
        Err(AuthenticationError { why: why.join("; ") })
    }
}

impl FrontProxy {
    fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), String> {
        let subject = self.ca.verify(chain, now)?;
        if self.allowed_names.is_empty() || self.allowed_names.contains(&subject.common_name) {
            return Ok(());
        }
        Err(format!("common name {:?} is not among the allowed names", subject.common_name))
    }

    fn user(&self, headers: &HeaderMap) -> Option<User> {
        let first = |names: &[String]| {
            names
                .iter()
                .find_map(|name| values(headers, name).find(|value| !value.is_empty()).map(str::to_owned))
        };
        let name = first(&self.username_headers)?;
        let uid = first(&self.uid_headers);
        let groups =
            self.group_headers.iter().flat_map(|name| values(headers, name)).map(str::to_owned).collect();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (header, value) in headers {
            let Some(key) = self.extra_key(header.as_str()) else { continue };
            let Ok(value) = str::from_utf8(value.as_bytes()) else { continue };
            extra.entry(key).or_default().push(value.to_owned());
        }
        Some(User { name, uid, groups, extra })
    }

    /// What stands behind the prefix in a header's name (which `http` has lower-cased), percent-decoded.
    fn extra_key(&self, header: &str) -> Option<String> {
        let rest = self.extra_prefixes.iter().find_map(|prefix| {
            let (start, rest) = header.split_at_checked(prefix.len())?;
            start.eq_ignore_ascii_case(prefix).then_some(rest)
        })?;
        Some(target::decode(rest, false).unwrap_or_else(|_| rest.to_owned()))
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| str::from_utf8(value.as_bytes()).ok())
}
