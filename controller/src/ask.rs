//! Asks the metrics APIs for what autoscaling/v2 metrics name, as the HPA does: through kube-apiserver, one request per
//! metric and sync.
//!
//! Answers have the form of a snapshot document's readings, so that a replay reads what was read here.

mod answer;
mod apis;
mod question;

use std::{collections::HashMap, time::Duration};

use futures::{StreamExt, stream};
use http::Request;
use jiff::Timestamp;
use kube::Client;
use rbg_autoscaler::{api::snapshot::ReadingSnapshot, cause};

pub use self::{
    apis::MetricsApis,
    question::{Place, Question, questions},
};

/// An answer that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Answers are used at once; older ones were left behind by something else that the group waited for.
const FRESH: Duration = Duration::from_secs(15);
/// Requests of one policy at the same time.
const AT_ONCE: usize = 4;

/// What the metrics APIs answered to the questions of one policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// When they were asked.
    pub at: Timestamp,
    readings: HashMap<Place, ReadingSnapshot>,
}

impl Answers {
    /// Returns whether a decision at `now` may use them.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        Duration::try_from(now.duration_since(self.at)).is_ok_and(|age| age < FRESH)
    }

    /// Returns the answer for that place of the policy.
    pub fn of(&self, place: &Place) -> Option<&ReadingSnapshot> {
        self.readings.get(place)
    }
}

/// Asks all questions; what fails is an answer that says why.
pub async fn ask(client: &Client, apis: &MetricsApis, questions: Vec<Question>, at: Timestamp) -> Answers {
    let asked = stream::iter(questions).map(|question| async move {
        let reading = match tokio::time::timeout(TIMEOUT, one(client, apis, &question, at)).await {
            Ok(Ok(reading)) => reading,
            Ok(Err(error)) => failed(&error),
            Err(_) => failed(&format!("no answer within {TIMEOUT:?}")),
        };
        (question.place, reading)
    });
    Answers { at, readings: asked.buffer_unordered(AT_ONCE).collect().await }
}

fn failed(error: &str) -> ReadingSnapshot {
    ReadingSnapshot { error: Some(error.to_owned()), ..ReadingSnapshot::default() }
}

async fn one(
    client: &Client,
    apis: &MetricsApis,
    question: &Question,
    at: Timestamp,
) -> Result<ReadingSnapshot, String> {
    let path = apis.path(client, question, at).await?;
    let body = get(client, &path).await?;
    answer::read(question, &body)
}

/// GETs a path of the API server; an error is the API server's message.
async fn get(client: &Client, path: &str) -> Result<String, String> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map_err(|error| match error {
        kube::Error::Api(status) => {
            cause::missing_right(&status.message).unwrap_or_else(|| status.message.clone())
        }
        other => cause::chain(&other),
    })
}

#[cfg(test)]
mod tests;
