//! The demo's chart: load, queue per replica, and the replicas of each workload.

use crate::{
    chart::{Chart, Guide, Panel, Series, Side, Style},
    fleet::record::Sample,
};

use super::record::{Point, Track};

const COLORS: [&str; 3] = ["#3b6fb6", "#d9480f", "#7048a8"];
const READY: &str = "#2f9e5b";
const ASKED: &str = "#1f2933";

/// Returns the chart of a run; `samples` are in the order of `tracks`.
pub fn picture(tracks: &[Track], samples: &[Vec<Sample>], speed: f64) -> Chart {
    let lines = |value: &dyn Fn(&Sample) -> f64| -> Vec<Series> {
        tracks
            .iter()
            .zip(samples)
            .zip(COLORS)
            .map(|((track, samples), color)| Series {
                name: track.stream.name.to_owned(),
                color,
                style: Style::Line,
                side: Side::Left,
                points: samples.iter().map(|s| (wall(s, samples, speed), value(s))).collect(),
            })
            .collect()
    };
    let mut panels = vec![
        Panel { label: "Load, requests/s".to_owned(), series: lines(&Sample::rate), ..Panel::default() },
        Panel {
            label: "Queue per replica".to_owned(),
            series: lines(&|s| f64::from(s.queue_length()) / f64::from(s.ready_replicas.max(1))),
            guides: guides(tracks),
            ..Panel::default()
        },
    ];
    panels.extend(tracks.iter().map(replicas));
    Chart {
        title: "One trace, three workloads, scaled by what waits for them".to_owned(),
        subtitle: format!(
            "Azure conversation trace bent to three short days and replayed {speed} times as fast; windows of policies are not compressed"
        ),
        time_label: format!("wall time in seconds ({speed} s of simulated time pass in each)"),
        panels,
    }
}

/// Seconds of wall time since the load began.
fn wall(sample: &Sample, samples: &[Sample], speed: f64) -> f64 {
    let first = samples.first().map_or(0.0, |first| first.at.seconds());
    (sample.at.seconds() - first) / speed
}

/// One line per target, in the colour of the first workload that has it.
fn guides(tracks: &[Track]) -> Vec<Guide> {
    let mut guides: Vec<Guide> = Vec::new();
    for (track, color) in tracks.iter().zip(COLORS) {
        let target = track.stream.queue_target;
        if guides.iter().all(|guide| (guide.value - target).abs() > 1e-9) {
            guides.push(Guide { name: format!("target {target}"), color, side: Side::Left, value: target });
        }
    }
    guides
}

fn replicas(track: &Track) -> Panel {
    let stream = &track.stream;
    let points =
        |value: &dyn Fn(&Point) -> u32| track.points.iter().map(|p| (p.at, f64::from(value(p)))).collect();
    let step = match (stream.gang, stream.pods_per_replica) {
        (1, 1) => "Deployment with an HPA".to_owned(),
        (1, pods) => format!("{pods} pods each"),
        (gang, _) => format!("gangs of {gang}"),
    };
    Panel {
        label: format!("Replicas: {}", stream.name),
        multiple: (stream.gang > 1).then_some(stream.gang),
        series: vec![
            Series {
                name: "ready".to_owned(),
                color: READY,
                style: Style::StepArea,
                side: Side::Left,
                points: points(&|point| point.ready),
            },
            Series {
                name: format!("asked for ({step})"),
                color: ASKED,
                style: Style::Step,
                side: Side::Left,
                points: points(&|point| point.replicas),
            },
        ],
        ..Panel::default()
    }
}
