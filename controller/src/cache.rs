//! What the API server last told, kept in memory: one watch per kind.

pub mod store;
