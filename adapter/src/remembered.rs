//! [`Remembered`]: answers that cost a call elsewhere, kept for a short time; equal questions asked at once are asked once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::OnceCell, time::Instant};

/// More answers than this are swept.
const MOST: usize = 4096;

/// Answers by question.
pub struct Remembered<Q, A> {
    answers: Mutex<HashMap<Q, Arc<Entry<A>>>>,
}

struct Entry<A> {
    answer: OnceCell<(A, Instant)>,
}

impl<A> Entry<A> {
    fn is_over(&self, now: Instant) -> bool {
        self.answer.get().is_some_and(|(_, until)| *until <= now)
    }
}

impl<Q, A> Default for Remembered<Q, A> {
    fn default() -> Self {
        Self { answers: Mutex::default() }
    }
}

impl<Q: Eq + Hash, A: Clone> Remembered<Q, A> {
    /// Returns the answer that is known or under way, else asks; `lasts` says how long a new answer is kept.
    ///
    /// Errors: what `ask` says; never remembered.
    pub async fn get<E>(
        &self,
        question: Q,
        lasts: impl FnOnce(&A) -> Duration,
        ask: impl AsyncFnOnce() -> Result<A, E>,
    ) -> Result<A, E> {
        let entry = self.entry(question);
        let (answer, _) = entry
            .answer
            .get_or_try_init(|| async {
                let answer = ask().await?;
                let until = Instant::now() + lasts(&answer);
                Ok((answer, until))
            })
            .await?;
        Ok(answer.clone())
    }

    fn entry(&self, question: Q) -> Arc<Entry<A>> {
        let now = Instant::now();
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = answers.get(&question)
            && !entry.is_over(now)
        {
            return entry.clone();
        }
        if answers.len() >= MOST {
            answers.retain(|_, entry| entry.answer.initialized() && !entry.is_over(now));
        }
        if answers.len() >= MOST {
            answers.clear();
        }
        let entry = Arc::new(Entry { answer: OnceCell::new() });
        answers.insert(question, entry.clone());
        entry
    }
}
