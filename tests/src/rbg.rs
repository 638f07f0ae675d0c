//! RoleBasedGroups without their operator: minimal CRDs and a stand-in controller for tests and demo.
//!
//! Real RBG cannot be had as a Go module, so the tests carry what an autoscaler can notice of it: the objects (`crds`), the
//! pods with their names and labels, the status, and the habits of the scaling adapter. Everything here is written from facts
//! about upstream and shares no constant with the programs under test, so that a wrong label there cannot hide here.

mod blueprint;
pub mod crds;
pub mod labels;
pub mod manifest;
mod members;
mod observed;
mod plan;
mod pod_group;
mod reconcile;
mod scaling_adapter;
mod stand_in;
mod status;
mod template;
pub mod types;
mod workload;

pub use crds::{install_coscheduling_crds, install_crds};
pub use manifest::{groups, manifest};
pub use stand_in::StandIn;
pub use types::{RoleBasedGroup, RoleBasedGroupScalingAdapter};
