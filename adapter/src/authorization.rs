//! Who may ask what: always-allowed paths, `system:masters`, and else the API server's answer, remembered for a short time.
//!
//! A permission in use is asked for again before its time is up, so that the HPA controller need not wait for it.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::{authentication::User, remembered::Remembered, request::target::Target};

pub mod review;

/// The group that may do everything.
const MASTERS: &str = "system:masters";
/// Permissions that are renewed at once.
const AT_ONCE: usize = 8;
/// When a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is asked, as RBAC sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// A path that is no resource: discovery, health, own metrics.
    Path(String),
    /// A metric, as a resource.
    Resource {
        /// `get` when there is a name, else `list`.
        verb: &'static str,
        /// The API group.
        group: String,
        /// Its version.
        version: String,
        /// Empty for root-scoped resources.
        namespace: String,
        /// Such as `pods`; the metric's name for external metrics.
        resource: String,
        /// The metric's name for custom metrics of objects.
        subresource: String,
        /// The object's name, `*` included.
        name: String,
    },
}

/// Asks somebody who knows; the API server, or a fake.
pub trait Reviewer: Send + Sync {
    /// Says whether a user may do it. Errors: why nobody could say.
    fn review<'a>(
        &'a self,
        user: &'a User,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Verdict, String>>;
}

/// What the API server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allowed,
    /// Not so; the reason if one was given.
    Denied(String),
}

/// How long answers are remembered.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Permissions.
    pub allowed: Duration,
    /// Refusals.
    pub denied: Duration,
}

/// Decides, and remembers; equal questions asked at once are asked once.
pub struct Authorizer {
    shared: Arc<Shared>,
    always_allowed: Vec<String>,
}

/// Who, and what.
type Question = (User, Attributes);

struct Shared {
    reviewer: Arc<dyn Reviewer>,
    memory: Memory,
    verdicts: Remembered<Question, Verdict>,
    renewed: Mutex<HashSet<Question>>,
    renewals: Semaphore,
}

impl Attributes {
    /// Returns the attributes of a GET, as kube-apiserver derives them from a path.
    pub fn of(path: &str, target: &Target) -> Self {
        let segments: Vec<&str> = target.segments().iter().map(String::as_str).collect();
        let ["apis", group, version, rest @ ..] = segments.as_slice() else {
            return Self::Path(path.to_owned());
        };
        let (namespace, parts) = match rest {
            [] => return Self::Path(path.to_owned()),
            ["namespaces", namespace, parts @ ..] if !parts.is_empty() => (*namespace, parts),
            // A namespace itself: its name is both.
            ["namespaces", name] => (*name, rest),
            _ => ("", rest),
        };
        let part = |index: usize| parts.get(index).copied().unwrap_or_default().to_owned();
        Self::Resource {
            verb: if parts.len() > 1 { "get" } else { "list" },
            group: (*group).to_owned(),
            version: (*version).to_owned(),
            namespace: namespace.to_owned(),
            resource: part(0),
            name: part(1),
            subresource: part(2),
        }
    }
}

impl fmt::Display for Attributes {
    /// Writes what follows `User "x" cannot` in a refusal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "get path {path:?}"),
            Self::Resource { verb, group, namespace, resource, subresource, .. } => {
                let slash = if subresource.is_empty() { "" } else { "/" };
                write!(f, "{verb} resource \"{resource}{slash}{subresource}\" in API group {group:?}")?;
                if namespace.is_empty() {
                    f.write_str(" at the cluster scope")
                } else {
                    write!(f, " in the namespace {namespace:?}")
                }
            }
        }
    }
}

impl Authorizer {
    /// Returns an authorizer that lets everybody read `always_allowed`, where a trailing `*` stands for anything.
    pub fn new(reviewer: Arc<dyn Reviewer>, memory: Memory, always_allowed: Vec<String>) -> Self {
        let (verdicts, renewed) = (Remembered::default(), Mutex::default());
        let shared = Shared { reviewer, memory, verdicts, renewed, renewals: Semaphore::new(AT_ONCE) };
        Self { shared: Arc::new(shared), always_allowed }
    }

    /// Says whether a path is open to everybody.
    pub fn is_always_allowed(&self, path: &str) -> bool {
        self.always_allowed.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == allowed,
        })
    }

    /// Says whether a user may do it. Errors: why nobody could say; never remembered.
    pub async fn authorize(&self, question: &(User, Attributes)) -> Result<Verdict, String> {
        let (user, attributes) = question;
        if user.groups.iter().any(|group| group == MASTERS) {
            return Ok(Verdict::Allowed);
        }
        let shared = &self.shared;
        // Nearly always: the HPA controller asks every 15 s.
        if let Some((verdict, left)) = shared.verdicts.known(question) {
            if verdict == Verdict::Allowed && left < shared.memory.allowed / 2 {
                shared.clone().renew(question);
            }
            return Ok(verdict);
        }
        let lasts = |verdict: &Verdict| shared.lasts(verdict);
        let ask = async || shared.reviewer.review(user, attributes).await;
        shared.verdicts.get(question.clone(), lasts, ask).await
    }
}

impl Shared {
    fn lasts(&self, verdict: &Verdict) -> Duration {
        match verdict {
            Verdict::Allowed => self.memory.allowed,
            Verdict::Denied(_) => self.memory.denied,
        }
    }

    /// Asks again while what is known still counts. When nobody can say, it counts until its time is up.
    fn renew(self: Arc<Self>, question: &Question) {
        if !self.renewed().insert(question.clone()) {
            return;
        }
        let question = question.clone();
        tokio::spawn(async move {
            let turn = self.renewals.acquire().await;
            let answer = self.reviewer.review(&question.0, &question.1).await;
            drop(turn);
            match answer {
                Ok(verdict) => {
                    let lasts = self.lasts(&verdict);
                    self.verdicts.put(question.clone(), verdict, lasts);
                }
                Err(error) => {
                    tracing::debug!(error, "permission not renewed");
                    tokio::time::sleep(RETRY).await;
                }
            }
            self.renewed().remove(&question);
        });
    }

    fn renewed(&self) -> MutexGuard<'_, HashSet<Question>> {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
