//! Checkpoints on disk: configuration, tensors, and strict access to them.

mod weight_set;
pub use weight_set::{Scope, Storage, Weight, WeightError, WeightSet};
