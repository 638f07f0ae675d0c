//! [`Axis`]: from values to places on the picture, and which values get a tick.

/// A linear axis that starts at 0.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    end: f64,
    step: f64,
    label_every: u32,
    from: f64,
    to: f64,
}

impl Axis {
    /// Returns an axis that ends at a round value, at or above `highest`.
    pub(super) fn rounded(highest: f64, from: f64, to: f64) -> Self {
        let step = round_step(highest / 4.0);
        let steps = (highest / step).ceil().max(1.0);
        Self { end: step * steps, step, label_every: 1, from, to }
    }

    /// Returns an axis that ends exactly at `highest`.
    pub(super) fn exact(highest: f64, from: f64, to: f64) -> Self {
        Self {
            end: highest.max(f64::MIN_POSITIVE),
            step: round_step(highest / 8.0),
            label_every: 1,
            from,
            to,
        }
    }

    /// Returns an axis of whole multiples; when there are many, not all are labelled.
    pub(super) fn multiples(highest: f64, multiple: u32, from: f64, to: f64) -> Self {
        let step = f64::from(multiple.max(1));
        let mut steps = 1_u32;
        while f64::from(steps) * step < highest {
            steps += 1;
        }
        Self { end: step * f64::from(steps), step, label_every: steps.div_ceil(6), from, to }
    }

    /// Returns where a value lies.
    pub(super) fn place(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * value / self.end
    }

    /// Returns the values that get a line.
    pub(super) fn lines(&self) -> impl Iterator<Item = f64> {
        let end = self.end * (1.0 + 1e-9);
        (0_u32..1000).map(|index| f64::from(index) * self.step).take_while(move |value| *value <= end)
    }

    /// Returns the values that get a label.
    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        let every = usize::try_from(self.label_every).unwrap_or(1);
        self.lines().step_by(every)
    }
}

/// Returns 1, 2 or 5 times a power of ten, at or above `least`.
fn round_step(least: f64) -> f64 {
    if least <= 0.0 || !least.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_a_round_value() {
        for (highest, end) in [(0.0, 1.0), (1.0, 1.0), (7.3, 8.0), (10.0, 10.0), (93.0, 100.0), (0.031, 0.04)]
        {
            let axis = Axis::rounded(highest, 0.0, 1.0);
            let labels: Vec<f64> = axis.ticks().collect();
            assert!((2..=6).contains(&labels.len()), "{highest}: {labels:?}");
            assert!((labels.last().expect("a tick") - end).abs() < 1e-9, "{highest}: {labels:?}");
        }
    }

    #[test]
    fn counts_in_multiples() {
        let axis = Axis::multiples(17.0, 4, 100.0, 0.0);
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [0.0, 4.0, 8.0, 12.0, 16.0, 20.0]);
        assert!((axis.place(20.0) - 0.0).abs() < 1e-9);
        assert!((axis.place(5.0) - 75.0).abs() < 1e-9);
        let many = Axis::multiples(100.0, 4, 0.0, 1.0);
        assert_eq!((many.lines().count(), many.ticks().count()), (26, 6));
    }
}
