//! A real control plane on loopback, a model-server fleet, end-to-end tests and the demo.

pub mod bench;
pub mod chart;
pub mod control_plane;
pub mod dashboards;
pub mod demo;
pub mod docs;
pub mod fleet;
pub mod harness;
pub mod rbg;
pub mod scene;
