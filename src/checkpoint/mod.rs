//! Checkpoints on disk: configuration, tensors, and strict access to them.

mod config;
mod config_error;
mod config_reader;
mod error;
mod folder;
mod modules;
mod modules_error;
pub mod names;
mod npz;
mod pooling_config;
mod prompts;
mod sequence_length;
mod stages;
mod tensors;
mod weight;
mod weight_set;

pub use config::ModelConfig;
pub use config_error::ConfigError;
pub use error::CheckpointError;
pub use folder::{InputFile, ModelFolder, sha256_hex};
pub use modules::{SentenceFiles, SentenceModules};
pub use modules_error::ModulesError;
pub use names::{is_table, layer_of};
pub use pooling_config::{PoolingMode, UnknownPooling};
pub use prompts::Prompts;
pub use sequence_length::{max_sequence_length, stated_model_max_length, usable_positions};
pub use stages::{DenseActivation, DenseModule, Stage, StageWeights};
pub(crate) use tensors::INDEX;
pub use tensors::{RawTensor, RawTensors, STALE_SHARD};
pub use weight::{Bytes, PackedBytes, Storage, Weight};
pub use weight_set::{Scope, WeightError, WeightSet};
