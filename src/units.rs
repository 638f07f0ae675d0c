//! The numbers of the project as types: counts of replicas, gang sizes and milli-values of metrics.
//!
//! Knows nothing of policies, metrics or Kubernetes objects; everything else may depend on it.

mod duration;
mod quantity;
mod replicas;

pub use duration::{DurationError, GatewayDuration};
pub use quantity::{MilliValue, QuantityError, approximate_float, scaled_quantity};
pub use replicas::{GangSize, Replicas};
