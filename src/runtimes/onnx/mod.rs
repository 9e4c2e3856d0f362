//! The reference: an ONNX export of a text encoder, run by ONNX Runtime with every layer boundary
//! exposed, and its weights recovered from the graph.

mod constants;
mod cut;
pub mod error;
pub mod graph;
mod last;
pub mod model;
mod operators;
pub mod proto;
mod regions;
pub mod taps;
mod wire;

pub use constants::Array;
pub use error::OnnxError;
pub use graph::Graph;
pub use model::OnnxModel;
pub use taps::{Block, TapEntry, TapError, TapHints, TapMap, find_taps};
