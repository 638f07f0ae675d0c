//! The metrics adapter: answers custom, external and resource metrics of Kubernetes from Prometheus.

pub mod authentication;
pub mod authorization;
pub mod request;
pub mod selector;
