//! What end-to-end tests share: namespaces, objects from YAML, waiting with a reason, our programs with captured logs, fake nodes,
//! aggregated APIs. All of it works on a [`ControlPlane`](crate::control_plane::ControlPlane).

mod api_service;
mod apply;
mod eventually;
mod gate;
mod helm;
mod kubectl;
mod metrics_adapter;
mod namespace;
mod nodes;
mod ports;
mod program;
mod schemas;
mod service_account;
mod victoria_metrics;

pub use api_service::ApiService;
pub use apply::{apply, apply_yaml};
pub use eventually::{eventually, throughout};
pub use gate::{Gate, Hold};
pub use helm::{Rendered, deploy_folder, run_tool};
pub use kubectl::kubectl;
pub use metrics_adapter::MetricsAdapter;
pub use namespace::Namespace;
pub use nodes::{NodePool, POOL_LABEL};
pub use ports::free_port;
pub use program::{Program, program_file};
pub use schemas::write_schemas;
pub use service_account::service_account_kubeconfig;
pub use victoria_metrics::VictoriaMetrics;
