//! Metrics: one pass over a pair of states, summaries that merge exactly.

mod measurement;
pub mod number;
pub use measurement::{Location, Measurement, Mode};
