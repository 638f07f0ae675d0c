//! What the demo asks of the fleet: one [`Stream`] per workload, each a recorded trace bent to its own day.

use std::time::Duration;

use crate::fleet::{
    endpoint::Target,
    load::Load,
    trace::{Trace, TraceError},
};

/// The namespace of everything in the demo.
pub const NAMESPACE: &str = "demo";
/// The group of `tests/demo/chat.yaml`.
pub const GROUP: &str = "chat";

/// Who scales a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaler {
    /// A role of the group, scaled by rbg-autoscaler.
    Role,
    /// A Deployment, scaled by the ordinary HPA on metrics of rbg-metrics-adapter.
    Hpa,
}

/// One workload of the demo and the requests sent to it.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// The role's or Deployment's name.
    pub name: &'static str,
    /// Who scales it.
    pub scaler: Scaler,
    /// Pods of one replica.
    pub pods_per_replica: u32,
    /// Replicas that move together.
    pub gang: u32,
    /// Its target of queue length per replica, as in its manifest.
    pub queue_target: f64,
    /// (share of the run 0..1, requests per simulated second): joined by straight lines.
    curve: &'static [(f64, f64)],
}

/// The workloads, in the order they are shown.
pub const STREAMS: [Stream; 3] = [
    Stream {
        name: "engine",
        scaler: Scaler::Role,
        pods_per_replica: 4,
        gang: 1,
        queue_target: 5.0,
        curve: &[(0.0, 5.0), (0.15, 6.0), (0.42, 32.0), (0.55, 32.0), (0.72, 6.0), (1.0, 4.0)],
    },
    Stream {
        name: "batch",
        scaler: Scaler::Role,
        pods_per_replica: 1,
        gang: 4,
        queue_target: 5.0,
        curve: &[(0.0, 10.0), (0.2, 12.0), (0.45, 44.0), (0.55, 44.0), (0.7, 10.0), (1.0, 8.0)],
    },
    Stream {
        name: "plain",
        scaler: Scaler::Hpa,
        pods_per_replica: 1,
        gang: 1,
        queue_target: 10.0,
        curve: &[(0.0, 2.0), (0.15, 3.0), (0.42, 20.0), (0.55, 20.0), (0.7, 3.0), (1.0, 2.0)],
    },
];

impl Stream {
    /// Returns the pods that its requests are spread over.
    pub fn target(&self) -> Target {
        match self.scaler {
            Scaler::Role => Target::role(NAMESPACE, GROUP, self.name),
            Scaler::Hpa => Target::labels(NAMESPACE, &[("app", self.name)]),
        }
    }

    /// Returns its requests over `span` of simulated time: the Azure conversation trace bent to the stream's curve.
    ///
    /// Errors: the trace that comes with the project cannot be read.
    pub fn load(&self, span: Duration) -> Result<Load, TraceError> {
        let curve: Vec<_> = self.curve.iter().map(|(share, rate)| (span.mul_f64(*share), *rate)).collect();
        Ok(Load::once(self.target(), Trace::azure_conversation()?.shaped(&curve, 7)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_rises_and_falls_back() {
        let span = Duration::from_secs(2700);
        for stream in STREAMS {
            let load = stream.load(span).expect("the trace is there");
            let within = |from: f64, to: f64| {
                let seconds = span.as_secs_f64();
                load.trace
                    .arrivals()
                    .iter()
                    .filter(|arrival| (from * seconds..to * seconds).contains(&arrival.at.seconds()))
                    .count()
            };
            let (start, peak, end) = (within(0.0, 0.1), within(0.45, 0.55), within(0.9, 1.0));
            assert!(peak > 3 * start && peak > 3 * end, "{}: {start}, {peak}, {end}", stream.name);
        }
    }
}
