//! Rules in prometheus-adapter's configuration format: which series become which metrics, and the PromQL that a
//! request becomes.
//!
//! Everything here is pure: no I/O and no clock. Source: the behaviour of prometheus-adapter 0.12.

pub mod go_regex;
pub mod quote;
pub mod template;
