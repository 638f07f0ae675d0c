//! The model-server fleet: simulated LLM engines behind real pod addresses, a load generator and what both recorded.
//!
//! Pure parts first: [`engine`] models one replica, and time is always passed in.

mod backends;
pub mod endpoint;
pub mod engine;
pub mod exposition;
pub mod histogram;
pub mod load;
mod member;
pub mod model;
pub mod pin;
pub mod pool;
pub mod random;
pub mod record;
pub mod request;
pub mod statistics;
pub mod time;
pub mod trace;
