//! [`Tally`]: what one side came to, and the table of both.

use std::fmt::Write as _;

use crate::fleet::record::Summary;

use super::{
    Side,
    pool::{GANG, GPUS_OF_A_POD, Pool},
};

/// One side through the whole run.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Which.
    pub side: Side,
    /// Its pool over time: wall seconds since the load began.
    pub points: Vec<(f64, Pool)>,
}

impl Tally {
    /// Returns an empty tally.
    pub const fn new(side: Side) -> Self {
        Self { side, points: Vec::new() }
    }

    /// Notes a pool; returns whether it changed.
    pub fn note(&mut self, at: f64, pool: Pool) -> bool {
        let changed = self.points.last().is_none_or(|(_, last)| *last != pool);
        self.points.push((at, pool));
        changed
    }

    /// Returns the integral of a count over wall time, in units × seconds. What is there at one look only does not count: pods
    /// are bound, and go, one after another.
    fn integral(&self, count: impl Fn(&Pool) -> u32) -> f64 {
        let steps = self.points.windows(2);
        steps
            .map(|step| match step {
                [(from, pool), (to, next)] => (to - from) * f64::from(count(pool).min(count(next))),
                _ => 0.0,
            })
            .sum()
    }

    /// Returns how often the number of replicas changed.
    fn changes(&self) -> usize {
        let mut counts: Vec<u32> = self.points.iter().map(|(_, pool)| pool.asked).collect();
        counts.dedup();
        counts.len().saturating_sub(1)
    }
}

/// Returns the closing table; times are of the trace, `speed` of its seconds in each of the clock's.
pub fn table(columns: &[(&Tally, Summary)], speed: f64) -> String {
    let gpu_minutes = |tally: &Tally, count: &dyn Fn(&Pool) -> u32| {
        tally.integral(count) * f64::from(GPUS_OF_A_POD) * speed / 60.0
    };
    let partial = |pool: &Pool| u32::from(pool.useless > 0);
    let row = |name: &str, cell: &dyn Fn(&Tally, &Summary) -> String| {
        let mut line = format!("  {name:52}");
        for (tally, summary) in columns {
            let _ = write!(line, "{:>16}", cell(tally, summary));
        }
        line.push('\n');
        line
    };
    [
        row("", &|tally, _| tally.side.scaler.to_owned()),
        row("requests", &|_, summary| summary.sent.to_string()),
        row("within the objective", &|_, summary| format!("{:.1} %", summary.attainment() * 100.0)),
        row("time to first token, p95", &|_, summary| format!("{:.1} s", summary.ttft_p95.as_secs_f64())),
        row("GPU-hours held", &|tally, _| format!("{:.1}", gpu_minutes(tally, &|pool| pool.bound) / 60.0)),
        row("GPU-minutes held by partial gangs, which serve nobody", &|tally, _| {
            format!("{:.0}", gpu_minutes(tally, &|pool| pool.useless))
        }),
        row("minutes with a partial gang", &|tally, _| {
            format!("{:.1}", tally.integral(partial) * speed / 60.0)
        }),
        row("changes of replicas", &|tally, _| tally.changes().to_string()),
        row(&format!("counts that were no multiple of {GANG}"), &|tally, _| {
            let mut counts: Vec<u32> = tally.points.iter().map(|(_, pool)| pool.asked).collect();
            counts.dedup();
            counts.iter().filter(|count| **count % GANG != 0).count().to_string()
        }),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_with_useless_pods_is_counted() {
        let mut tally = Tally::new(super::super::SIDES[0]);
        let pool = |pods, useless| Pool { asked: pods, bound: pods, serving: pods - useless, useless };
        assert!(tally.note(0.0, pool(4, 0)));
        assert!(tally.note(1.0, pool(6, 2)));
        assert!(!tally.note(2.0, pool(6, 2)));
        assert!(tally.note(3.0, pool(8, 0)));
        assert_eq!(tally.changes(), 2);
        let text = table(&[(&tally, Summary::default())], 60.0);
        let cell = |name: &str| {
            let line = text.lines().find(|line| line.contains(name)).expect("a row");
            line.rsplit(' ').next().map(ToOwned::to_owned)
        };
        assert_eq!(cell("by partial gangs").as_deref(), Some("8"), "1 s × 2 pods × 4 GPUs, a minute each");
        assert_eq!(cell("minutes with").as_deref(), Some("1.0"));
        assert_eq!(cell("no multiple of 4").as_deref(), Some("1"));
    }
}
