//! How many files this process may have open: each scraped pod keeps a connection.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the process may by itself. Many systems set it to 1,024 and allow far more, as a courtesy to programs
/// that use `select`, which nothing here does.
pub(super) fn allow_all() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!(before = current, now = maximum, "limit of open files raised"),
        Err(error) => {
            tracing::warn!(limit = current, %error, "limit of open files cannot be raised: pods beyond it are not scraped");
        }
    }
}
