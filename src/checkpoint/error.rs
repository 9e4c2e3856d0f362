//! What can be wrong with a checkpoint on disk.

use crate::fault::Fault;

/// What can be wrong with a model folder, its files or its tensors.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system would not read it.
    #[error("{path}: {reason}")]
    Io {
        /// As the user named it.
        path: String,
        /// Why.
        reason: String,
    },
    /// A file the model needs is not there.
    #[error("{folder}: has no {name}")]
    Absent {
        /// The folder.
        folder: String,
        /// The file.
        name: String,
    },
    /// A name or link that leads out of the folder, or to something that is no file.
    #[error("{folder}: refuses to read `{name}`: {reason}")]
    Unsafe {
        /// The folder.
        folder: String,
        /// The name as it stands in the model's files.
        name: String,
        /// Why.
        reason: String,
    },
    /// A file that is not what its name says.
    #[error("{file}: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// Why, on one line.
        reason: String,
    },
    /// A tensor that cannot be used.
    #[error("{file}: tensor `{tensor}` {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Why, on one line.
        reason: String,
    },
    /// Strict access failed.
    #[error(transparent)]
    Weight(#[from] super::WeightError),
    /// config.json.
    #[error(transparent)]
    Config(#[from] super::ConfigError),
    /// What follows the encoder.
    #[error("{folder}: {source}")]
    Modules {
        /// The folder.
        folder: String,
        /// What is wrong.
        source: super::ModulesError,
    },
}

impl CheckpointError {
    /// Bad input, except for modules parallax cannot run: those leave the comparison unproven.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Modules { source, .. } => source.fault(),
            Self::Config(e) => e.fault(),
            _ => Fault::BadInput,
        }
    }
}
