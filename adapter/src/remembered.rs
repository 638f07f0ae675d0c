//! [`Remembered`]: answers that cost a call elsewhere, kept for a short time; equal questions asked at once are asked once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::OnceCell, time::Instant};

/// There are never more answers than this.
const MOST: usize = 4096;
/// How often answers whose time is over are let go: they may be large.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Answers by question.
pub struct Remembered<Q, A> {
    known: Mutex<Known<Q, A>>,
}

struct Known<Q, A> {
    answers: HashMap<Q, Arc<Entry<A>>>,
    swept: Option<Instant>,
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
        Self { known: Mutex::new(Known { answers: HashMap::new(), swept: None }) }
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

    /// Returns the answer that is known, and for how much longer, without taking the question.
    pub fn known(&self, question: &Q) -> Option<(A, Duration)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, until) = known.answers.get(question)?.answer.get()?;
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some((answer.clone(), left))
    }

    /// Takes in a newer answer.
    pub fn put(&self, question: Q, answer: A, lasts: Duration) {
        let answer = OnceCell::new_with(Some((answer, Instant::now() + lasts)));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.answers.insert(question, Arc::new(Entry { answer }));
    }

    /// Lets go of answers whose time is over.
    pub fn sweep(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let over = known.sweep(Instant::now());
        drop(known);
        drop(over);
    }

    fn entry(&self, question: Q) -> Arc<Entry<A>> {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.answers.get(&question)
            && !entry.is_over(now)
        {
            return entry.clone();
        }
        if known.swept.is_none_or(|swept| swept + SWEEP_EVERY <= now) {
            drop(known.sweep(now));
        }
        if known.answers.len() >= MOST {
            known.answers.clear();
        }
        let entry = Arc::new(Entry { answer: OnceCell::new() });
        known.answers.insert(question, entry.clone());
        entry
    }
}

impl<Q: Eq + Hash, A> Known<Q, A> {
    /// Takes out answers whose time is over, and unanswered questions that nobody is waiting for: those have failed.
    fn sweep(&mut self, now: Instant) -> Vec<(Q, Arc<Entry<A>>)> {
        self.swept = Some(now);
        let is_over = |_: &Q, entry: &mut Arc<Entry<A>>| {
            if entry.answer.initialized() { entry.is_over(now) } else { Arc::strong_count(entry) == 1 }
        };
        self.answers.extract_if(is_over).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_over_is_let_go() {
        let remembered: Remembered<u32, Arc<()>> = Remembered::default();
        let lasts = |_: &Arc<()>| Duration::from_secs(10);
        let first = remembered.get(1, lasts, async || Ok::<_, ()>(Arc::new(()))).await.expect("answered");
        assert_eq!(remembered.get(2, lasts, async || Err(())).await, Err(()));
        assert_eq!(Arc::strong_count(&first), 2);
        tokio::time::advance(Duration::from_secs(11)).await;
        remembered.get(3, lasts, async || Ok::<_, ()>(Arc::new(()))).await.expect("answered");
        assert_eq!(Arc::strong_count(&first), 1, "nobody else holds it");
        assert_eq!(remembered.known.lock().expect("not poisoned").answers.len(), 1);
    }
}
