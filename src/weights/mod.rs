//! Weight-level error: each float32 tensor against its twin in the candidate. No inference.

mod row;
pub use row::{TensorRow, WeightTotals, WeightsReport};
