//! skeleton; the essay comes with the pipeline
pub mod align;
pub mod checkpoint;
pub mod corpus;
pub mod fault;
pub mod finding;
pub mod hidden_states;
pub mod metrics;
pub mod observe;
pub mod quantization;
pub mod runtimes;
pub mod tokens;
pub mod weights;
