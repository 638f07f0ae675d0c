//! [`Questions`]: people who ask what the next decision on a group sees and why it comes out as it does.
//!
//! They are answered by the next decision itself, so what they read is what was done. Nothing is kept for them meanwhile.

use std::collections::HashMap;

use rbg_autoscaler::api::snapshot::LiveDecision;
use tokio::sync::oneshot;

use crate::cache::store::ObjectKey;

/// Why there is no decision to tell of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDecision {
    /// Neither a policy nor a group of that name is known.
    #[error(
        "there is no policy {0}, and no RoleBasedGroup of that name with a policy; kubectl get rbga -A lists all policies, and kubectl describe rbg tells whether one inside the group was refused"
    )]
    Unknown(ObjectKey),
    /// This process decides nothing.
    #[error("this process stands by and decides nothing; ask the one that leads")]
    StandsBy,
    /// The policy cannot be decided on; in the words of its condition `Ready`.
    #[error("no decision on {0}: {1}: {2}")]
    Undecided(ObjectKey, String, String),
}

/// An answer to a question.
pub type Answer = Result<Box<LiveDecision>, NoDecision>;

/// A question about a policy, or about the group that a policy scales.
#[derive(Debug)]
pub struct Question {
    /// The policy, or else the group.
    pub about: ObjectKey,
    /// Who asks.
    pub reply: oneshot::Sender<Answer>,
}

/// Questions that wait for the next decision, by policy.
#[derive(Debug, Default)]
pub struct Questions {
    waiting: HashMap<ObjectKey, Vec<oneshot::Sender<Answer>>>,
}

impl Questions {
    /// Keeps a question until its policy is decided on.
    pub fn keep(&mut self, policy: ObjectKey, reply: oneshot::Sender<Answer>) {
        let waiting = self.waiting.entry(policy).or_default();
        waiting.retain(|reply| !reply.is_closed());
        waiting.push(reply);
    }

    /// Returns whether somebody asks about a policy.
    pub fn is_asked(&self, policy: &ObjectKey) -> bool {
        self.waiting.contains_key(policy)
    }

    /// Answers everybody who asked about a policy; `answer` is made only when somebody did.
    pub fn answer(&mut self, policy: &ObjectKey, answer: impl FnOnce() -> Answer) {
        let Some(waiting) = self.waiting.remove(policy) else { return };
        let answer = answer();
        for reply in waiting {
            // Who asked may have gone.
            let _ = reply.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_who_asked_about_a_policy_is_answered_once() {
        let mut questions = Questions::default();
        let key = ObjectKey::new("a", "demo");
        let mut answers = Vec::new();
        for _ in 0..2 {
            let (reply, answer) = oneshot::channel();
            questions.keep(key.clone(), reply);
            answers.push(answer);
        }
        questions.answer(&ObjectKey::new("a", "other"), || panic!("nobody asked"));
        questions.answer(&key, || Err(NoDecision::StandsBy));
        questions.answer(&key, || panic!("answered already"));
        for answer in answers {
            assert_eq!(answer.await.expect("an answer"), Err(NoDecision::StandsBy));
        }
    }
}
