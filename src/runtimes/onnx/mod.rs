//! The reference: an ONNX export of a text encoder, run by ONNX Runtime with every layer boundary
//! exposed, and its weights recovered from the graph.

pub mod audit;
mod constants;
mod cut;
pub mod error;
pub mod exactness;
pub mod expose;
pub mod external;
pub mod facts;
mod functions;
mod fused;
pub mod graph;
mod inputs;
mod last;
pub mod library;
mod linear;
pub mod model;
pub mod observer;
mod opened;
mod operators;
pub mod proto;
pub mod raw;
mod regions;
mod resemblance;
mod rewrite;
pub mod session;
mod splice;
pub mod stated;
pub mod taps;
pub mod weights;
mod wire;

pub use audit::{Audit, LayerAudit, Matched, audit};
pub use constants::Array;
pub use error::OnnxError;
pub use exactness::exactness;
pub use expose::expose;
pub use external::DataFile;
pub use facts::{ReferenceFacts, facts};
pub use graph::Graph;
pub use library::{Runtime, RuntimeError, locate};
pub use model::OnnxModel;
pub use observer::{ObserverEffect, observer_effect};
pub use session::{OnnxEncoder, Optimization, SessionOptions};
pub use stated::{Stated, StatedError, stated_taps};
pub use taps::{Block, TapEntry, TapError, TapHints, TapMap, find_taps};
pub use weights::recover;
