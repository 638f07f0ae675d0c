//! The controller: observes groups, decides with the library, writes replicas and says what it did.
//!
//! A reconcile is observe (I/O), decide (pure), apply (I/O), report (I/O), one function each.

pub mod apply;
pub mod ask;
pub mod cache;
pub mod control_loop;
pub mod election;
pub mod events;
pub mod health;
pub mod inline;
pub mod ledger;
pub mod live;
pub mod memory;
pub mod observe;
pub mod options;
pub mod reconcile;
pub mod report;
pub mod retry;
pub mod rules;
pub mod server;
pub mod telemetry;
pub mod trail;
pub mod trend;
