//! Rules in prometheus-adapter's configuration format: which series become which metrics, and the PromQL that a
//! request becomes.
//!
//! A file becomes a [`config::RuleSet`]; with the kinds of a cluster it is bound, with the series that exist it is a
//! [`rulebook::Rulebook`], which plans requests. Each step keeps what is sound and tells of the rest by rule.
//! Everything here is pure: no I/O and no clock. Source: the behaviour of prometheus-adapter 0.12.

pub mod association;
pub mod batch;
pub mod config;
pub mod decode;
pub mod discovery;
pub mod go_regex;
pub mod id;
pub mod lint;
pub mod naming;
pub mod plain;
pub mod promql;
pub mod query;
pub mod quote;
pub mod registry;
pub mod resources;
pub mod rulebook;
pub mod series;
pub mod template;
pub mod usage;
pub mod yaml;
