//! The chart of the contended scenario: load and training job, then each side's replicas and what it attained.

use crate::{
    chart::{Chart, Panel, Series, Side as Axis, Style},
    fleet::record::Sample,
};

use super::{
    NODES, TRAINS,
    pool::{GANG, GPUS_OF_A_POD, Pool, TRAINING},
    tally::Tally,
};

const LOAD: &str = "#3b6fb6";
const SERVES: &str = "#2f9e5b";
const ASKED: &str = "#1f2933";
const USELESS: &str = "#d9480f";
const SIDES: [&str; 2] = ["#d9480f", "#2f9e5b"];
/// Seconds over which attainment is drawn.
const SMOOTH: usize = 5;

/// Returns the chart of a run with so many seconds of load; `samples` are in the order of `tallies`.
pub fn picture(tallies: &[Tally], samples: &[Vec<Sample>], seconds: f64, speed: f64) -> Chart {
    let load = samples
        .first()
        .map(|samples| samples.iter().map(|sample| (wall(sample, samples, speed), sample.rate())).collect());
    let mut panels = vec![Panel {
        label: "Load on each, requests/s".to_owned(),
        series: vec![series("requests/s", LOAD, Style::Line, load.unwrap_or_default())],
        ..Panel::default()
    }];
    panels.extend(tallies.iter().map(replicas));
    let attained = tallies.iter().zip(samples).zip(SIDES).map(|((tally, samples), color)| {
        series(tally.side.scaler, color, Style::Line, attained(samples, speed))
    });
    panels.push(Panel {
        label: "Within the objective, %".to_owned(),
        series: attained.collect(),
        ..Panel::default()
    });
    Chart {
        title: "Gangs of four in a contended pool: a plain HPA and rbg-autoscaler".to_owned(),
        subtitle: format!(
            "the same trace on both, {speed} times as fast; a training job takes {} of {} GPUs of each pool from {:.0} s to {:.0} s",
            TRAINING * GPUS_OF_A_POD,
            NODES * 8,
            TRAINS.0 * seconds,
            TRAINS.1 * seconds
        ),
        time_label: format!("wall time in seconds ({speed} s of simulated time pass in each)"),
        panels,
    }
}

fn series(name: &str, color: &'static str, style: Style, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), color, style, side: Axis::Left, points }
}

fn replicas(tally: &Tally) -> Panel {
    let points = |count: &dyn Fn(&Pool) -> u32| -> Vec<(f64, f64)> {
        tally.points.iter().map(|(at, pool)| (*at, f64::from(count(pool)))).collect()
    };
    Panel {
        label: format!("Replicas: {}", tally.side.scaler),
        multiple: Some(GANG),
        series: vec![
            series(
                &format!("hold {GPUS_OF_A_POD} GPUs each for nothing"),
                USELESS,
                Style::StepArea,
                points(&|pool| pool.serving + pool.useless),
            ),
            series("serve", SERVES, Style::StepCover, points(&|pool| pool.serving)),
            series("asked for", ASKED, Style::Step, points(&|pool| pool.asked)),
        ],
        ..Panel::default()
    }
}

/// Seconds of wall time since the load began.
fn wall(sample: &Sample, samples: &[Sample], speed: f64) -> f64 {
    let first = samples.first().map_or(0.0, |first| first.at.seconds());
    (sample.at.seconds() - first) / speed
}

/// The share of requests finished in the last seconds that met the objective, in percent.
fn attained(samples: &[Sample], speed: f64) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for recent in samples.windows(SMOOTH) {
        let completed: u32 = recent.iter().map(|sample| sample.completed).sum();
        let met: u32 = recent.iter().map(|sample| sample.met).sum();
        if let Some(last) = recent.last().filter(|_| completed > 0) {
            points.push((wall(last, samples, speed), 100.0 * f64::from(met) / f64::from(completed)));
        }
    }
    points
}
