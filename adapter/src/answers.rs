//! [`Answers`]: answers as they were written, given again while nothing that they rest on has changed.
//!
//! HPAs ask the same questions several times per collection, and writing an answer costs more than all else about a request. An
//! answer is out of date when its pods, its samples or the rules are others than those it was made from, or when its time is up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use axum::body::Bytes;
use jiff::Timestamp;
use rbg_autoscaler::metrics::{PodSamples, collector::Collector};

use crate::{engine::standing::Answered, pods::PodCache, rules::rulebook::Rulebook};

/// All answers together are never larger, in bytes.
const LARGEST: usize = 16 << 20;

/// An answer that was just made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The JSON.
    pub body: Bytes,
    /// What it rests on; `None` when it must not be given again.
    pub basis: Option<Basis>,
}

/// What an answer rests on besides the rules.
#[derive(Clone, Debug)]
pub struct Basis {
    /// When it is out of date at the latest.
    pub until: Timestamp,
    /// The namespace whose pods it is about, and its generation.
    pub pods: Option<(String, u64)>,
    /// The signal, and its samples.
    pub samples: Option<(String, Weak<PodSamples>)>,
    /// The answer of Prometheus to a rule's query.
    pub answered: Option<Weak<Answered>>,
}

/// Answers by path and query.
#[derive(Default)]
pub struct Answers {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    answers: HashMap<String, Answer>,
    bytes: usize,
}

struct Answer {
    body: Bytes,
    basis: Basis,
    book: Weak<Rulebook>,
}

/// The state of things that answers are judged by.
pub struct Judge<'a> {
    /// The time.
    pub now: Timestamp,
    /// The rules, if there are any.
    pub book: Option<&'a Arc<Rulebook>>,
    /// The pods.
    pub pods: &'a PodCache,
    /// The samples.
    pub collector: &'a Collector,
}

impl Judge<'_> {
    fn book(&self) -> Weak<Rulebook> {
        self.book.map(Arc::downgrade).unwrap_or_default()
    }

    fn is_current(&self, answer: &Answer) -> bool {
        let basis = &answer.basis;
        let pods_are =
            |(namespace, generation): &(String, u64)| self.pods.generation(namespace) == Some(*generation);
        let samples_are = |(signal, samples): &(String, Weak<PodSamples>)| {
            let snapshot = self.collector.snapshot();
            snapshot
                .reading(signal)
                .is_some_and(|reading| Weak::as_ptr(samples) == Arc::as_ptr(&reading.samples))
        };
        let is_answered =
            |answered: &Weak<Answered>| answered.upgrade().is_some_and(|answered| !answered.is_replaced());
        self.now < basis.until
            && basis.answered.as_ref().is_none_or(is_answered)
            && Weak::ptr_eq(&answer.book, &self.book())
            && basis.pods.as_ref().is_none_or(pods_are)
            && basis.samples.as_ref().is_none_or(samples_are)
    }
}

impl Answers {
    /// Returns the answer to a question, if it is still right.
    pub fn get(&self, question: &str, judge: &Judge<'_>) -> Option<Bytes> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .answers
            .get(question)
            .filter(|answer| judge.is_current(answer))
            .map(|answer| answer.body.clone())
    }

    /// Keeps an answer; `judge` must be what it was made by.
    pub fn put(&self, question: &str, made: &Made, judge: &Judge<'_>) {
        let Some(basis) = made.basis.clone() else { return };
        let answer = Answer { body: made.body.clone(), basis, book: judge.book() };
        let size = |question: &str, answer: &Answer| question.len() + answer.body.len();
        let more = size(question, &answer);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { answers, bytes } = &mut *known;
        if *bytes + more > LARGEST {
            answers.retain(|_, answer| judge.is_current(answer));
            *bytes = answers.iter().map(|(question, answer)| size(question, answer)).sum();
        }
        if *bytes + more > LARGEST {
            answers.clear();
            *bytes = 0;
        }
        let before = answers.insert(question.to_owned(), answer);
        *bytes += more;
        *bytes -= before.map_or(0, |before| size(question, &before));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use futures::{FutureExt, future::BoxFuture};
    use rbg_autoscaler::metrics::{
        Signal, SourceError, collector,
        source::{Answer as Collected, Source},
    };

    use super::*;
    use crate::{
        engine::{standing::Standing, vector::Vector},
        pods::{Pod, Pods},
    };

    struct Nothing;

    impl Source for Nothing {
        fn collect<'a>(
            &'a self,
            _: &'a Signal,
            _: Timestamp,
        ) -> BoxFuture<'a, Result<Collected, SourceError>> {
            futures::future::ready(Ok(Collected::default())).boxed()
        }

        fn name(&self) -> String {
            "nothing".to_owned()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    #[test]
    fn an_answer_is_given_again_until_something_changes() {
        let pods = PodCache::default();
        let list = |name: &str| -> HashMap<String, Pods> {
            let pod = Arc::new(Pod::new(BTreeMap::new(), None));
            HashMap::from([("a".to_owned(), BTreeMap::from([(name.to_owned(), pod)]))])
        };
        pods.replace(list("p1"));
        let options = collector::Options::every(Duration::from_secs(15), Arc::new(|| at(0)));
        let collector = Collector::new(Arc::new(Nothing), [], options);
        let answers = Answers::default();
        let judge = |second| Judge { now: at(second), book: None, pods: &pods, collector: &collector };
        let basis = |samples| {
            let pods = pods.generation("a").map(|generation| ("a".to_owned(), generation));
            Some(Basis { until: at(10), pods, samples, answered: None })
        };

        let made = |body: &'static str, basis| Made { body: Bytes::from_static(body.as_bytes()), basis };
        answers.put("once", &made("x", None), &judge(0));
        assert_eq!(answers.get("once", &judge(0)), None);

        answers.put("q", &made("x", basis(None)), &judge(0));
        assert_eq!(answers.get("q", &judge(9)).as_deref(), Some(&b"x"[..]));
        assert_eq!(answers.get("q", &judge(10)), None, "its time is up");
        assert_eq!(answers.get("other", &judge(0)), None);
        pods.replace(list("p2"));
        assert_eq!(answers.get("q", &judge(0)), None, "other pods");

        let samples = Some(("queue_length".to_owned(), Weak::new()));
        answers.put("s", &made("x", basis(samples)), &judge(0));
        assert_eq!(answers.get("s", &judge(0)), None, "no such samples");

        let answered = Arc::new(Answered::new(Vector::default(), at(0)));
        let of_rule =
            Basis { until: at(10), pods: None, samples: None, answered: Some(Arc::downgrade(&answered)) };
        answers.put("r", &made("x", Some(of_rule)), &judge(0));
        assert_eq!(answers.get("r", &judge(0)).as_deref(), Some(&b"x"[..]));
        let standing = Standing::default();
        standing.put("up", &answered);
        assert!(answers.get("r", &judge(0)).is_some());
        standing.put("up", &Arc::new(Answered::new(Vector::default(), at(5))));
        assert_eq!(answers.get("r", &judge(0)), None, "a newer answer is there");
    }

    #[test]
    fn memory_is_bounded() {
        let (pods, answers) = (PodCache::default(), Answers::default());
        let options = collector::Options::every(Duration::from_secs(15), Arc::new(|| at(0)));
        let collector = Collector::new(Arc::new(Nothing), [], options);
        let judge = Judge { now: at(0), book: None, pods: &pods, collector: &collector };
        let basis = Some(Basis { until: at(10), pods: None, samples: None, answered: None });
        let made = Made { body: vec![0; LARGEST / 4].into(), basis };
        for question in 0..100 {
            answers.put(&question.to_string(), &made, &judge);
            answers.put(&question.to_string(), &made, &judge);
            let known = answers.known.lock().expect("not poisoned");
            let really: usize = known.answers.iter().map(|(q, answer)| q.len() + answer.body.len()).sum();
            assert_eq!(known.bytes, really);
            assert!(known.bytes <= LARGEST);
        }
    }
}
