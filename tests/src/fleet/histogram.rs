//! [`Histogram`]: cumulative counts by bucket, as Prometheus client libraries keep them.

/// A histogram with fixed upper bounds.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    /// Returns an empty histogram; `bounds` ascend and leave out the infinite one.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len()], count: 0, sum: 0.0 }
    }

    /// Adds `times` observations of `value`.
    pub fn observe(&mut self, value: f64, times: u32) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += u64::from(times);
        }
        self.count += u64::from(times);
        self.sum += value * f64::from(times);
    }

    /// Adds the observations of another histogram with the same bounds.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum += other.sum;
    }

    /// Returns each bound with the number of observations at or below it; the infinite one is [`Self::count`].
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        });
        self.bounds.iter().copied().zip(counts)
    }

    /// Returns the number of observations.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the sum of all observed values.
    pub const fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::new(&[0.1, 1.0]);
        histogram.observe(0.1, 2);
        histogram.observe(0.5, 1);
        histogram.observe(7.0, 3);
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [(0.1, 2), (1.0, 3)]);
        assert_eq!(histogram.count(), 6);
        assert!((histogram.sum() - 21.7).abs() < 1e-9);
    }
}
