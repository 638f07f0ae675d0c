//! The metrics adapter: answers custom, external and resource metrics of Kubernetes from Prometheus.

pub mod accept;
pub mod answers;
pub mod app;
pub mod authentication;
pub mod authorization;
pub mod certificate;
pub mod check;
pub mod cluster;
pub mod custom;
pub mod der;
pub mod discovery;
pub mod document;
pub mod engine;
pub mod openapi;
pub mod options;
pub mod peer;
pub mod pods;
pub mod remembered;
pub mod reply;
pub mod request;
pub mod rules;
pub mod selector;
pub mod server;
pub mod telemetry;
pub mod tls;
pub mod upstream;
