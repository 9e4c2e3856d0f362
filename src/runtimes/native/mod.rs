//! The native encoder: forward passes of text encoders in float32, written to be read.
//!
//! config + weights → [`NativeEncoder`] → hidden states at every tap. It runs the candidate's dequantized
//! weights and, as the control, the original's float32 ones: the same code for both, so that what differs
//! between them is the weights and nothing else.
//!
//! To add an architecture: one file like `distilbert.rs`, put together from `blocks`, and one row in [`ARCHITECTURES`].

mod albert;
mod bert;
mod blocks;
mod buffer;
mod config;
mod distilbert;
mod electra;
mod encoder;
mod error;
mod eurobert;
mod gemma3;
mod head;
mod keys;
pub mod mlx;
mod model;
mod modernbert;
mod mpnet;
mod nomic_bert;
pub mod ops;
mod parameters;
mod pooling;
mod qwen3;
mod recycled;
mod roberta;

pub use encoder::NativeEncoder;
pub use error::NativeError;
pub use head::{PoolingError, SentenceHead};
pub use keys::{Key, same_value};
pub use mlx::Deviation;
pub use parameters::Parameter;

use crate::checkpoint::{ModelConfig, WeightSet};

/// Every architecture the native encoder computes.
pub const ARCHITECTURES: &[Architecture] = &[
    bert::ARCHITECTURE,
    roberta::ARCHITECTURE,
    distilbert::ARCHITECTURE,
    mpnet::ARCHITECTURE,
    electra::ARCHITECTURE,
    albert::ARCHITECTURE,
    modernbert::ARCHITECTURE,
    nomic_bert::ARCHITECTURE,
    qwen3::ARCHITECTURE,
    gemma3::ARCHITECTURE,
    eurobert::ARCHITECTURE,
];

/// Configuration, weights and a label for messages, to a model.
type Build = fn(&ModelConfig, &WeightSet, &str) -> Result<Box<dyn model::Model>, NativeError>;

/// One architecture: what it is called, what it is made of, how it is built.
pub struct Architecture {
    /// Values of `model_type` that mean it.
    pub model_types: &'static [&'static str],
    /// The tensors it reads, by configuration; also how a loader knows logical shapes.
    pub parameters: fn(&ModelConfig) -> Vec<Parameter>,
    /// True for tensors that a checkpoint may hold and no hidden state depends on.
    pub ignorable: fn(&str) -> bool,
    /// The keys of config.json it reads besides [`ModelConfig::COMMON`]; it can read no others.
    keys: &'static [&'static [Key]],
    build: Build,
}

impl Architecture {
    /// The architecture of a configuration; `label` names the model in the error.
    pub fn of(config: &ModelConfig, label: &str) -> Result<&'static Self, NativeError> {
        Self::named(&config.model_type, label)
    }

    /// The architecture of a `model_type`.
    pub fn named(model_type: &str, label: &str) -> Result<&'static Self, NativeError> {
        let wanted = model_type.replace('_', "-");
        let known = ARCHITECTURES.iter().find(|a| a.model_types.contains(&wanted.as_str()));
        known.ok_or_else(|| NativeError::unknown_model_type(label, model_type))
    }
}

impl std::fmt::Debug for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Architecture{:?}", self.model_types)
    }
}
