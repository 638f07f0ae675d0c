//! [`Outbox`]: events that wait to be sent. Pure.
//!
//! What waits is bounded by the objects there are, not by how much happens to them: the same again becomes a count,
//! and of too much about one object the newest of each reason stays.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;

use super::Happening;

/// Events about one object that may wait at the same time.
const PER_OBJECT: usize = 16;

/// An event on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Letter {
    pub(super) happening: Happening,
    /// Tells it from others about the same object at the same instant.
    pub(super) number: u32,
    /// How often it happened, and when last.
    pub(super) times: i32,
    pub(super) last: Timestamp,
    /// How often it was sent in vain.
    pub(super) tries: u32,
}

/// Events that wait; objects take turns.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: HashMap<Object, VecDeque<Letter>>,
    turns: VecDeque<Object>,
    next: u32,
    /// Letters that were taken and neither sent nor put back.
    under_way: usize,
}

/// Kind, namespace and name.
type Object = [String; 3];

fn object(reference: &ObjectReference) -> Object {
    [&reference.kind, &reference.namespace, &reference.name].map(|part| part.clone().unwrap_or_default())
}

impl Outbox {
    /// Takes an event in. Returns one that will not be told for it, when too many different ones wait.
    #[must_use]
    pub(super) fn put(&mut self, happening: Happening) -> Option<Happening> {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let last = happening.time;
        let mut letter = Letter { happening, number, times: 1, last, tries: 0 };
        let of_object = self.of(object(&letter.happening.regarding));
        let is_same = |known: &&mut Letter| {
            known.happening.reason == letter.happening.reason && known.happening.note == letter.happening.note
        };
        if let Some(known) = of_object.iter_mut().find(is_same) {
            known.times = known.times.saturating_add(1);
            known.last = last;
            return None;
        }
        let mut untold = None;
        if of_object.len() >= PER_OBJECT {
            let same_reason =
                of_object.iter().position(|known| known.happening.reason == letter.happening.reason);
            let replaced = of_object.remove(same_reason.unwrap_or(0));
            match replaced {
                Some(older) if same_reason.is_some() => {
                    letter.times = letter.times.saturating_add(older.times);
                    letter.happening.time = older.happening.time;
                }
                older => untold = older.map(|older| older.happening),
            }
        }
        of_object.push_back(letter);
        untold
    }

    /// Takes the next event out: it is to be [sent](Self::sent) or [put back](Self::put_back).
    pub(super) fn take(&mut self) -> Option<Letter> {
        let object = self.turns.pop_front()?;
        let of_object = self.waiting.get_mut(&object)?;
        let letter = of_object.pop_front();
        if of_object.is_empty() {
            self.waiting.remove(&object);
        } else {
            self.turns.push_back(object);
        }
        self.under_way += usize::from(letter.is_some());
        letter
    }

    /// One that was taken needs no more care.
    pub(super) fn sent(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// One that was taken could not be sent yet.
    pub(super) fn put_back(&mut self, mut letter: Letter) {
        self.sent();
        letter.tries += 1;
        self.of(object(&letter.happening.regarding)).push_front(letter);
    }

    /// Whether nothing waits and nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }

    fn of(&mut self, object: Object) -> &mut VecDeque<Letter> {
        if !self.waiting.contains_key(&object) {
            self.turns.push_back(object.clone());
        }
        self.waiting.entry(object).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Severity;

    fn happening(name: &str, reason: &str, note: &str, second: i64) -> Happening {
        Happening {
            regarding: ObjectReference { name: Some(name.to_owned()), ..ObjectReference::default() },
            severity: Severity::Normal,
            reason: reason.to_owned(),
            action: "Judge",
            note: note.to_owned(),
            time: Timestamp::from_second(second).expect("in range"),
        }
    }

    fn told(outbox: &mut Outbox) -> Vec<(String, String, i32)> {
        let mut told = Vec::new();
        while let Some(letter) = outbox.take() {
            let name = letter.happening.regarding.name.unwrap_or_default();
            told.push((name, letter.happening.note, letter.times));
            outbox.sent();
        }
        told
    }

    #[test]
    fn the_same_again_is_counted_and_objects_take_turns() {
        let mut outbox = Outbox::default();
        for (second, (name, note)) in
            [("a", "up"), ("a", "down"), ("b", "up"), ("a", "up")].into_iter().enumerate()
        {
            let second = i64::try_from(second).expect("few");
            assert_eq!(outbox.put(happening(name, "Rescaled", note, second)), None);
        }
        let want = [("a", "up", 2), ("b", "up", 1), ("a", "down", 1)];
        assert_eq!(told(&mut outbox), want.map(|(name, note, times)| (name.into(), note.into(), times)));
        assert!(outbox.is_empty());
    }

    #[test]
    fn ten_thousand_objects_lose_nothing() {
        let mut outbox = Outbox::default();
        for object in 0..10_000 {
            for reason in ["MetricsHealthy", "SuccessfulRescale", "NoFit"] {
                assert_eq!(outbox.put(happening(&object.to_string(), reason, "", 0)), None);
            }
        }
        assert_eq!(told(&mut outbox).len(), 30_000);
    }

    #[test]
    fn too_much_about_one_object_keeps_the_newest_of_each_reason() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.put(happening("a", "NoFit", "none", 0)), None);
        for step in 1..=100 {
            assert_eq!(outbox.put(happening("a", "Rescaled", &step.to_string(), step)), None, "{step}");
        }
        let told = told(&mut outbox);
        assert_eq!(told.len(), PER_OBJECT);
        assert_eq!(told.first().map(|(_, note, _)| note.as_str()), Some("none"));
        assert_eq!(told.last().map(|(_, note, _)| note.as_str()), Some("100"));
        assert_eq!(told.iter().map(|(.., times)| times).sum::<i32>(), 101, "all are counted");
    }

    #[test]
    fn more_reasons_than_may_wait_tell_which_one_is_lost() {
        let mut outbox = Outbox::default();
        for reason in 0..PER_OBJECT {
            assert_eq!(outbox.put(happening("a", &reason.to_string(), "", 0)), None);
        }
        let lost = outbox.put(happening("a", "another", "", 0)).map(|lost| lost.reason);
        assert_eq!(lost.as_deref(), Some("0"));
    }

    #[test]
    fn what_could_not_be_sent_comes_again() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.put(happening("a", "NoFit", "x", 0)), None);
        let letter = outbox.take().expect("one");
        assert!(!outbox.is_empty() && outbox.take().is_none());
        outbox.put_back(letter);
        assert_eq!(outbox.take().map(|letter| letter.tries), Some(1));
    }
}
