//! The model-server fleet: simulated LLM engines behind real pod addresses, a load generator and what both recorded.
//!
//! Pure parts first: [`engine`] models one replica, and time is always passed in.

pub mod endpoint;
pub mod engine;
pub mod exposition;
pub mod histogram;
pub mod model;
pub mod random;
pub mod request;
pub mod statistics;
pub mod time;
pub mod trace;
