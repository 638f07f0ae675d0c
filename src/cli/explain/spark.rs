//! A row of numbers as a row of bars.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Returns one bar per number, from zero to the largest or to `least_top`; what is missing is a dot.
pub(super) fn line(values: &[Option<f64>], least_top: f64) -> String {
    let top = values.iter().flatten().copied().fold(least_top, f64::max);
    values.iter().map(|value| value.map_or('·', |value| bar(value, top))).collect()
}

fn bar(value: f64, top: f64) -> char {
    let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
    let mut place = 0;
    // Zero has the lowest bar for itself as long as anything is above it.
    for step in [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0] {
        if share > step / 7.0 {
            place += 1;
        }
    }
    BARS.get(place).copied().unwrap_or('█')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_reach_from_zero_to_the_top() {
        let values = [0.0, 0.1, 1.0, 3.5, 6.9, 7.0].map(Some);
        assert_eq!(line(&values, 0.0), "▁▂▂▅██");
        assert_eq!(line(&[Some(1.0), None, Some(2.0)], 8.0), "▂·▃");
        assert_eq!(line(&[Some(0.0)], 0.0), "▁");
    }
}
