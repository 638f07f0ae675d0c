//! [`NamespaceSamples`]: the samples of one signal and namespace, laid out for whoever asks pod after pod.

use std::{
    cmp::Ordering,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::Sample;

/// The samples of one namespace in the order of the pods' names.
///
/// There may be a hundred thousand, and who decides asks for all of them, role after role. So the names lie one after
/// another in one text and the samples in one list: the next pod's is where the last one's ended, and nearly
/// always already in the processor's cache.
#[derive(Debug, Default)]
pub struct NamespaceSamples {
    names: String,
    /// Where each name ends.
    ends: Vec<usize>,
    /// In the order of the names.
    pub(super) samples: Vec<Sample>,
    /// Where the next question is likely about; a wrong guess costs time and nothing else.
    next: AtomicUsize,
}

impl NamespaceSamples {
    /// Collects samples by pod, in the order of the names; of those of one pod the last counts.
    pub(super) fn of<'s>(pods: impl Iterator<Item = &'s [(&'s str, &'s str, Sample)]>) -> Self {
        let mut all = Self::default();
        for samples in pods {
            let Some((_, pod, sample)) = samples.last() else { continue };
            all.names.push_str(pod);
            all.ends.push(all.names.len());
            all.samples.push(*sample);
        }
        all.names.shrink_to_fit();
        all.ends.shrink_to_fit();
        all.samples.shrink_to_fit();
        all
    }

    /// Returns a pod's sample, whatever its age.
    pub fn get(&self, pod: &str) -> Option<Sample> {
        let place = self.find(pod, self.next.load(Relaxed));
        self.next.store(place.map_or_else(|place| place, |place| place + 1), Relaxed);
        self.samples.get(place.ok()?).copied()
    }

    /// Iterates over the pods and their samples.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Sample)> {
        let names = (0..self.samples.len()).map(|place| self.name(place).unwrap_or_default());
        names.zip(self.samples.iter().copied())
    }

    fn name(&self, place: usize) -> Option<&str> {
        let start = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.names.get(start..*self.ends.get(place)?)
    }

    /// Returns the place of a pod, or where it would be; looks near `guess` first.
    fn find(&self, pod: &str, guess: usize) -> Result<usize, usize> {
        // Beyond the end everything is greater.
        let compare = |place: usize| self.name(place).map_or(Ordering::Greater, |name| name.cmp(pod));
        let guess = guess.min(self.samples.len());
        let mut step = 1;
        let (mut low, mut high) = match compare(guess) {
            Ordering::Equal => return Ok(guess),
            Ordering::Less => {
                let mut low = guess + 1;
                while low + step < self.samples.len() && compare(low + step).is_lt() {
                    low += step + 1;
                    step *= 2;
                }
                (low, self.samples.len().min(low + step + 1))
            }
            Ordering::Greater => {
                let mut high = guess;
                while high > step && compare(high - step).is_gt() {
                    high -= step;
                    step *= 2;
                }
                (high.saturating_sub(step), high)
            }
        };
        while low < high {
            let middle = low.midpoint(high);
            match compare(middle) {
                Ordering::Equal => return Ok(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

impl Clone for NamespaceSamples {
    fn clone(&self) -> Self {
        Self {
            names: self.names.clone(),
            ends: self.ends.clone(),
            samples: self.samples.clone(),
            next: AtomicUsize::new(0),
        }
    }
}

impl PartialEq for NamespaceSamples {
    fn eq(&self, other: &Self) -> bool {
        (&self.names, &self.ends, &self.samples) == (&other.names, &other.ends, &other.samples)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{metrics::PodSamples, units::MilliValue};

    #[test]
    fn every_pod_is_found_from_every_guess() {
        for count in [0_usize, 1, 2, 3, 7, 40] {
            // Odd numbers have a sample, even ones fall between.
            let names: Vec<_> = (0..count).map(|number| format!("p-{:03}", 2 * number + 1)).collect();
            let sample =
                |value: i64| Sample { value: MilliValue::from_milli(value), time: Timestamp::UNIX_EPOCH };
            let mut values = 0..;
            let samples: PodSamples = names
                .iter()
                .map(|name| ("a", name.as_str(), sample(values.next().expect("endless"))))
                .collect();
            let Some(samples) = samples.of_namespace("a") else { continue };
            for guess in 0..=count + 1 {
                for number in 0..=2 * count {
                    let name = format!("p-{number:03}");
                    let want = if number % 2 == 1 { Ok(number / 2) } else { Err(number / 2) };
                    assert_eq!(samples.find(&name, guess), want, "{name} of {count} from {guess}");
                }
            }
            assert_eq!(samples.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
            assert!(names.iter().rev().all(|name| samples.get(name).is_some()));
        }
    }
}
