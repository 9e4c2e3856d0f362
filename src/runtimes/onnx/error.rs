//! What can be wrong with an ONNX file.

use crate::checkpoint::WeightError;
use crate::fault::Fault;

/// Why an ONNX file cannot serve as a reference.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// Beyond what one ONNX file can hold.
    #[error("{file}: {what}, the limit is {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// What is too large and how large.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// Not an ONNX file, or a damaged one.
    #[error("{file}: not a readable ONNX model: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A sound ONNX file that uses something not supported.
    #[error("{file}: {what} not supported yet: {fix}")]
    Unsupported {
        /// The file.
        file: String,
        /// What is not supported, ending in `is` or `are`.
        what: String,
        /// What to do.
        fix: &'static str,
    },
    /// A tensor outside the file cannot be read, or must not be.
    #[error("{file}: external tensor `{tensor}`: {reason}")]
    External {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// What is wrong, expected, found, and the fix.
        reason: String,
    },
    /// A model-local function that cannot be put in its call's place.
    #[error("{file}: function `{function}`: {reason}")]
    Function {
        /// The file.
        file: String,
        /// `domain:name`.
        function: String,
        /// What is wrong, and the fix.
        reason: String,
    },
    /// A graph input nobody here knows how to fill.
    #[error("{file}: graph input `{input}` is required and unknown; known are {known}: export the encoder alone")]
    UnknownInput {
        /// The file.
        file: String,
        /// The input.
        input: String,
        /// What is known.
        known: &'static str,
    },
    /// A tensor is not what it must be.
    #[error("{file}: tensor `{tensor}`: {expected} expected, found {found}")]
    Tensor {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Expected.
        expected: String,
        /// Found.
        found: String,
    },
    /// Weights that cannot be told from the graph.
    #[error("{file}: weight `{weight}` cannot be recovered from the graph ({reason}); give --original")]
    Unrecovered {
        /// The file.
        file: String,
        /// Its Hugging Face name.
        weight: String,
        /// Why.
        reason: String,
    },
    /// A weight that is no number.
    #[error(transparent)]
    Weight(#[from] WeightError),
    /// ONNX Runtime refused the file or the run.
    #[error("{file}: ONNX Runtime: {message}")]
    Runtime {
        /// The file.
        file: String,
        /// Its words, on one line.
        message: String,
    },
}

impl OnnxError {
    /// The class of the error.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unrecovered { .. } => Fault::Incomparable,
            _ => Fault::BadInput,
        }
    }
}
