//! The reference: an ONNX export of a text encoder, run by ONNX Runtime with every layer boundary
//! exposed, and its weights recovered from the graph.

pub mod error;
pub mod file;
pub mod graph;
pub mod logic;
mod provenance;
pub mod session;
pub mod taps;
pub mod weights;

pub use error::OnnxError;
pub use file::external::DataFile;
pub use file::model::OnnxModel;
pub use graph::Graph;
pub use logic::{Logic, Unaudited, logic};
pub use provenance::{Difference, Forms, Odd, Provenance, Sources, provenance};
pub use session::encoder::OnnxEncoder;
pub use session::expose::expose;
pub use session::inputs::fixed_tokens;
pub use session::library::{Runtime, RuntimeError, locate};
pub use session::observer::{ObserverEffect, observer_effect, observer_effects};
pub use session::outlets::{Carries, DeclaredOutput};
pub use session::{Optimization, SessionOptions};
pub use taps::exactness::exactness;
pub use taps::facts::{ReferenceFacts, facts};
pub use taps::stated::{Stated, StatedError, stated_taps};
pub use taps::{Block, TapEntry, TapError, TapHints, TapMap, find_taps};
pub use weights::audit::{Audit, LayerAudit, Matched, audit};
pub use weights::constants::Array;
pub use weights::recover;
