//! An ONNX file: read whole, its functions inlined, its external data beside it, and nothing believed unchecked.

pub mod external;
mod functions;
mod limits;
pub(crate) mod model;
mod opened;
pub mod proto;
pub mod raw;
mod rewrite;
mod wire;

pub use external::DataFile;
pub use model::OnnxModel;
