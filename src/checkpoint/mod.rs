//! Checkpoints on disk: configuration, tensors, and strict access to them.

mod config;
mod error;
mod folder;
mod modules;
pub mod names;
mod tensors;
mod weight_set;

pub use config::ModelConfig;
pub use error::CheckpointError;
pub use folder::{InputFile, ModelFolder, sha256_hex};
pub use modules::{PoolingMode, SentenceModules, max_sequence_length};
pub use tensors::{RawTensor, RawTensors};
pub use weight_set::{Scope, Storage, Weight, WeightError, WeightSet};
