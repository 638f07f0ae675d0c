//! The controller: observes groups, decides with the library, writes replicas and says what it did.
//!
//! A reconcile is observe (I/O), decide (pure), apply (I/O), report (I/O), one function each.

pub mod apply;
pub mod cache;
pub mod events;
pub mod inline;
pub mod memory;
pub mod observe;
pub mod report;
pub mod retry;
