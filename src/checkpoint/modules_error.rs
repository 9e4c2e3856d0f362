//! What can be wrong with a folder's sentence modules.

use crate::fault::Fault;

/// What is wrong with a folder's sentence modules.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// A file that is not what its name says.
    #[error("{file}: {message}")]
    Malformed {
        /// File within the model folder.
        file: String,
        /// What was found and what was expected.
        message: String,
    },
    /// A module that would change the sentence vector and that is not implemented.
    #[error(
        "modules.json: module {index} is a `{kind}`, which parallax does not compute, so sentence vectors cannot be compared"
    )]
    Unsupported {
        /// Its place, from 0.
        index: usize,
        /// Its type, as the file spells it.
        kind: String,
    },
    /// An encoder that lies in a folder of its own: sentence-transformers loads that one.
    #[error(
        "modules.json: the Transformer is in `{path}/`, which sentence-transformers loads in place of the files beside \
         modules.json; move them up and state the path \"\""
    )]
    Elsewhere {
        /// The folder, within the model's.
        path: String,
    },
    /// Two files that state different poolings.
    #[error(
        "{file} says pooling `{found}` but {other} says `{other_found}`; a model has one pooling, correct one of them"
    )]
    Contradiction {
        /// First file.
        file: String,
        /// Its pooling.
        found: String,
        /// Second file.
        other: String,
        /// Its pooling.
        other_found: String,
    },
}

impl ModulesError {
    /// Incomparable for a module that is not implemented or an encoder that is not read, else a bad input.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unsupported { .. } | Self::Elsewhere { .. } => Fault::Incomparable,
            Self::Malformed { .. } | Self::Contradiction { .. } => Fault::BadInput,
        }
    }
}

pub(super) fn malformed(file: &str, message: impl Into<String>) -> ModulesError {
    ModulesError::Malformed { file: file.to_owned(), message: message.into() }
}
