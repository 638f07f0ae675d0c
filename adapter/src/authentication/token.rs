//! Bearer tokens: the API server says whose they are, and the answer is remembered for a short time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::{Api, Client, api::PostParams};

use crate::{authentication::User, remembered::Remembered};

/// How long the API server's answer is awaited.
const PATIENCE: Duration = Duration::from_secs(10);

/// Knows whose a token is; the API server, or a fake.
pub trait TokenReviewer: Send + Sync {
    /// Returns whose it is, or the reason why it is nobody's. Errors: why nobody could say.
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Owner, String>>;
}

/// Whose a token is, or why it is nobody's.
pub type Owner = Result<User, String>;

/// Asks, and remembers. Tokens stay in memory only while their answers do.
pub struct Tokens {
    reviewer: Arc<dyn TokenReviewer>,
    lasts: Duration,
    owners: Remembered<String, Owner>,
}

impl Tokens {
    /// Returns a cache of a reviewer's answers.
    pub fn new(reviewer: Arc<dyn TokenReviewer>, lasts: Duration) -> Self {
        Self { reviewer, lasts, owners: Remembered::default() }
    }

    /// Returns whose a token is. Errors: why nobody could say.
    pub async fn owner(&self, token: &str) -> Result<Owner, String> {
        self.owners.get(token.to_owned(), |_| self.lasts, async || self.reviewer.review(token).await).await
    }
}

/// The API server's own answer, by `TokenReview`.
pub struct ApiTokenReview {
    reviews: Api<TokenReview>,
}

impl ApiTokenReview {
    /// Returns a reviewer that asks through a client.
    pub fn new(client: Client) -> Self {
        Self { reviews: Api::all(client) }
    }
}

impl TokenReviewer for ApiTokenReview {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Owner, String>> {
        async move {
            let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: None };
            let review = TokenReview { spec, ..TokenReview::default() };
            let params = PostParams::default();
            let answer = tokio::time::timeout(PATIENCE, self.reviews.create(&params, &review))
                .await
                .map_err(|_| format!("TokenReview: no answer within {} s", PATIENCE.as_secs()))?
                .map_err(|error| format!("TokenReview: {error}"))?;
            let status = answer.status.unwrap_or_default();
            let user = status.user.filter(|_| status.authenticated.unwrap_or_default()).unwrap_or_default();
            let Some(name) = user.username.filter(|name| !name.is_empty()) else {
                return Ok(Err(status.error.unwrap_or_else(|| "the token is nobody's".to_owned())));
            };
            let extra: BTreeMap<_, _> = user.extra.unwrap_or_default();
            Ok(Ok(User { name, uid: user.uid, groups: user.groups.unwrap_or_default(), extra }.known()))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Knows the token of jane, cannot tell about `broken`.
    #[derive(Default)]
    struct Fake {
        asked: AtomicUsize,
    }

    impl TokenReviewer for Fake {
        fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Owner, String>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                match token {
                    "jane's" => Ok(Ok(User { name: "jane".to_owned(), ..User::default() })),
                    "broken" => Err("connection refused".to_owned()),
                    _ => Ok(Err("unknown".to_owned())),
                }
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_looked_up_once_in_a_while() {
        let fake = Arc::new(Fake::default());
        let tokens = Tokens::new(fake.clone(), Duration::from_secs(10));
        let asked = || fake.asked.load(Ordering::Relaxed);
        let (one, other) = tokio::join!(tokens.owner("jane's"), tokens.owner("jane's"));
        assert_eq!((&one, asked()), (&other, 1), "asked together, asked once");
        assert_eq!(one.expect("an answer").expect("jane").name, "jane");
        assert_eq!(tokens.owner("other").await, Ok(Err("unknown".to_owned())));
        tokio::time::advance(Duration::from_secs(9)).await;
        let _ = (tokens.owner("jane's").await, tokens.owner("other").await);
        assert_eq!(asked(), 2, "still remembered");
        tokio::time::advance(Duration::from_secs(2)).await;
        let _ = tokens.owner("jane's").await;
        assert_eq!(asked(), 3, "no longer");
        for want in [4, 5] {
            assert_eq!(tokens.owner("broken").await, Err("connection refused".to_owned()));
            assert_eq!(asked(), want, "a failure is not remembered");
        }
    }
}
