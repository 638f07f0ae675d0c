//! [`Run`]: the chart of a load and the replicas that followed it.

use super::{Chart, Guide, Panel, Series, Side, Style};
use crate::fleet::record::Sample;

const LOAD: &str = "#3b6fb6";
const QUEUE: &str = "#8a94a0";
const PER_REPLICA: &str = "#d9480f";
const READY: &str = "#2f9e5b";
const DESIRED: &str = "#1f2933";

/// Replicas of a role at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replicas {
    /// When, simulated seconds since the fleet began.
    pub at: f64,
    /// Replicas that are ready.
    pub ready: u32,
    /// Replicas the autoscaler wants.
    pub desired: u32,
}

/// A load on one role and what the autoscaler made of it.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// First line of the chart.
    pub title: String,
    /// Second line: which trace, which speed, which policy.
    pub subtitle: String,
    /// Simulated seconds per wall second.
    pub speed: f64,
    /// What the load went through.
    pub samples: &'a [Sample],
    /// The role's replicas, times ascending.
    pub replicas: &'a [Replicas],
    /// Replicas per gang.
    pub gang_size: u32,
    /// The policy's target for the queue length of one replica.
    pub queue_target: f64,
}

impl Run<'_> {
    /// Returns the chart: load, queue and replicas over wall time.
    pub fn chart(&self) -> Chart {
        let first = self.samples.first().map_or(0.0, |sample| sample.at.seconds());
        let wall = |simulated: f64| (simulated - first).max(0.0) / self.speed;
        let series = |value: &dyn Fn(&Sample) -> f64| {
            self.samples.iter().map(|sample| (wall(sample.at.seconds()), value(sample))).collect::<Vec<_>>()
        };
        let replicas = |value: &dyn Fn(&Replicas) -> u32| {
            self.replicas.iter().map(|point| (wall(point.at), f64::from(value(point)))).collect::<Vec<_>>()
        };
        let time_label =
            format!("wall time in seconds ({} s of simulated time pass in each)", super::number(self.speed));
        let load = Panel {
            label: "Load, requests/s".to_owned(),
            series: vec![Series {
                name: "arrivals per simulated second".to_owned(),
                color: LOAD,
                style: Style::Area,
                side: Side::Left,
                points: series(&Sample::rate),
            }],
            ..Panel::default()
        };
        let queue = Panel {
            label: "Queue, requests".to_owned(),
            right_label: Some("per replica".to_owned()),
            series: vec![
                Series {
                    name: "all waiting (left)".to_owned(),
                    color: QUEUE,
                    style: Style::Area,
                    side: Side::Left,
                    points: series(&|sample| f64::from(sample.queue_length())),
                },
                Series {
                    name: "per ready replica (right)".to_owned(),
                    color: PER_REPLICA,
                    style: Style::Line,
                    side: Side::Right,
                    points: series(&|sample| {
                        f64::from(sample.queue_length()) / f64::from(sample.ready_replicas.max(1))
                    }),
                },
            ],
            guides: vec![Guide {
                name: format!("target {} (right)", super::number(self.queue_target)),
                color: PER_REPLICA,
                side: Side::Right,
                value: self.queue_target,
            }],
            ..Panel::default()
        };
        let replicas = Panel {
            label: "Replicas".to_owned(),
            multiple: Some(self.gang_size.max(1)),
            series: vec![
                Series {
                    name: "ready".to_owned(),
                    color: READY,
                    style: Style::StepArea,
                    side: Side::Left,
                    points: replicas(&|point| point.ready),
                },
                Series {
                    name: format!("desired (gangs of {})", self.gang_size),
                    color: DESIRED,
                    style: Style::Step,
                    side: Side::Left,
                    points: replicas(&|point| point.desired),
                },
            ],
            ..Panel::default()
        };
        Chart {
            title: self.title.clone(),
            subtitle: self.subtitle.clone(),
            time_label,
            panels: vec![load, queue, replicas],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;
    use crate::fleet::{
        endpoint::{Endpoint, Target},
        exposition::Dialect,
        load::Load,
        model::Model,
        pool::Pool,
        time::SimTime,
        trace::Trace,
    };

    fn pod(index: u32, ready: bool) -> Endpoint {
        Endpoint {
            namespace: "n".to_owned(),
            name: format!("p-{index}"),
            uid: format!("u-{index}"),
            labels: std::collections::BTreeMap::new(),
            address: Some(Ipv4Addr::from_bits(0x7f01_0000 + index)),
            bound: true,
            ready,
            terminating: false,
            replica_size: 1,
            gang: 1,
            dialect: Dialect::Vllm,
            model: Model::LLAMA_70B_TP4,
        }
    }

    /// A crude autoscaler over simulated time: whole gangs of four by queue length, slow to shrink, two minutes to start.
    fn crude_run(speed: u64) -> (Vec<Sample>, Vec<Replicas>) {
        let at = |minutes: u64| Duration::from_secs(minutes * 60);
        let curve =
            [(at(0), 6.0), (at(15), 10.0), (at(30), 45.0), (at(45), 45.0), (at(60), 8.0), (at(80), 6.0)];
        let trace = Trace::azure_conversation().expect("a trace").shaped(&curve, 1);
        let mut pool = Pool::new(20.0, 0.0);
        let load = pool.add_load(Load::once(Target::labels("n", &[]), trace), SimTime::ZERO);
        let (mut samples, mut replicas) = (Vec::new(), Vec::new());
        let mut born: Vec<u64> = vec![0; 4];
        let mut calm_since = 0;
        for now in (0..80 * 60).step_by(usize::try_from(speed).expect("small")) {
            let pods =
                born.iter().zip(1_u32..).map(|(born, index)| pod(index, now >= born + 120 || *born == 0));
            let sim = SimTime::ZERO.plus(Duration::from_secs(now));
            pool.replace(pods.collect(), sim);
            let sample = pool.sample(load, sim).expect("a load");
            let queue = sample.queue_length() / sample.ready_replicas.max(1);
            if queue > 2 || now == 0 {
                calm_since = now;
            }
            let starting = born.iter().any(|born| *born > 0 && now < born + 120);
            if queue > 10 && born.len() < 24 && !starting {
                born.extend([now; 4]);
            } else if now > calm_since + 400 && born.len() > 4 {
                born.truncate(born.len() - 4);
                calm_since = now;
            }
            let desired = u32::try_from(born.len()).expect("small");
            replicas.push(Replicas { at: sim.seconds(), ready: sample.ready_replicas, desired });
            samples.push(sample);
        }
        (samples, replicas)
    }

    #[test]
    fn draws_load_queue_and_replicas() {
        let (samples, replicas) = crude_run(20);
        let run = Run {
            title: "One role in gangs of four follows a chat service through a morning".to_owned(),
            subtitle: "Azure 2023 conversation trace bent to a day's curve, 70B on four GPUs, 20 × wall time"
                .to_owned(),
            speed: 20.0,
            samples: &samples,
            replicas: &replicas,
            gang_size: 4,
            queue_target: 10.0,
        };
        let chart = run.chart();
        assert_eq!(chart.panels.len(), 3);
        assert_eq!(chart.panels[2].multiple, Some(4));
        let end = chart.panels[0].series[0].points.last().expect("samples").0;
        assert!((end - 239.0).abs() < 1.0, "80 minutes at 20 × are 240 s of wall time, not {end}");
        let svg = chart.to_svg();
        for text in ["requests/s", "target 10", "gangs of 4", "20 s of simulated time"] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
