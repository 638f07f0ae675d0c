//! Waiting for something to become true, or to stay true, with a reason when it does not.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::{sleep, timeout};

const STEP: Duration = Duration::from_millis(100);

/// Polls `attempt` until it yields something, at most for `patience`.
///
/// `Ok(None)` and errors both mean "not yet"; an error describes the state seen, for example
/// `bail!("3 replicas instead of 4")`. Errors: `patience` has passed; the error names `what` and the last state seen.
pub async fn eventually<T>(
    what: &str,
    patience: Duration,
    mut attempt: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let mut last = "nothing yet".to_owned();
    let polling = async {
        loop {
            match attempt().await {
                Ok(Some(value)) => return value,
                Ok(None) => {}
                Err(error) => last = format!("{error:#}"),
            }
            sleep(STEP).await;
        }
    };
    match timeout(patience, polling).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("waited {patience:?} in vain for: {what}; last seen: {last}"),
    }
}

/// Polls `check` for the whole of `span`; errors as soon as it errs once.
///
/// For what must not happen, such as lowering a role while its metrics are silent.
pub async fn throughout(
    what: &str,
    span: Duration,
    mut check: impl AsyncFnMut() -> Result<()>,
) -> Result<()> {
    let mut rest = span;
    loop {
        check().await.with_context(|| format!("did not hold for {span:?}: {what}"))?;
        if rest.is_zero() {
            return Ok(());
        }
        sleep(STEP).await;
        rest = rest.saturating_sub(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn yields_what_the_attempt_yields() {
        let mut tries = 0;
        let value = eventually("three tries", Duration::from_secs(1), async || {
            tries += 1;
            Ok((tries == 3).then_some(tries))
        });
        assert_eq!(value.await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn tells_what_was_awaited_and_seen() {
        let vain = eventually("the moon", Duration::from_secs(1), async || -> Result<Option<()>> {
            bail!("clouds")
        });
        assert_eq!(vain.await.unwrap_err().to_string(), "waited 1s in vain for: the moon; last seen: clouds");
        let hanging = eventually("an answer", Duration::from_secs(1), async || {
            sleep(Duration::from_secs(3600)).await;
            Ok(Some(()))
        });
        assert!(hanging.await.unwrap_err().to_string().contains("nothing yet"));
    }

    #[tokio::test(start_paused = true)]
    async fn throughout_ends_at_the_first_error() {
        let mut tries = 0;
        let broken = throughout("fewer than three", Duration::from_secs(10), async || {
            tries += 1;
            if tries < 3 { Ok(()) } else { bail!("three") }
        });
        assert!(format!("{:#}", broken.await.unwrap_err()).contains("fewer than three: three"));
        throughout("always", Duration::from_secs(10), async || Ok(())).await.unwrap();
    }
}
