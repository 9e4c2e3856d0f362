//! Checkpoints on disk: configuration, tensors, and strict access to them.

mod config;
mod modules;
mod pooling_config;
mod sequence_length;
mod weight_set;
pub use config::{ConfigError, ModelConfig};
pub use modules::{ModulesError, SentenceModules};
pub use pooling_config::{PoolingMode, UnknownPooling};
pub use sequence_length::{max_sequence_length, stated_model_max_length};
pub use weight_set::{Scope, Storage, Weight, WeightError, WeightSet};
