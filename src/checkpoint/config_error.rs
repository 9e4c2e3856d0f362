//! What is wrong with a configuration.

use crate::fault::Fault;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or not an object.
    #[error("{file}: not a JSON object: {message}")]
    Json {
        /// File name.
        file: String,
        /// The parser's words, with line and column.
        message: String,
    },
    /// A number without which nothing can be built.
    #[error("{file}: `{field}` is missing")]
    Missing {
        /// File name.
        file: String,
        /// Key.
        field: &'static str,
    },
    /// A value of the wrong type or beyond all belief.
    #[error("{file}: `{field}` is {found}, expected {expected}")]
    Value {
        /// File name.
        file: String,
        /// Key.
        field: String,
        /// What the file says, shortened.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// A key that an architecture reads without declaring it, so that nothing compares it: a bug.
    #[error("{file}: `{field}` is read, and the architecture does not declare that it reads it")]
    Undeclared {
        /// File name.
        file: String,
        /// Key.
        field: &'static str,
    },
    /// Two keys that mean the same thing and say different ones.
    #[error("{file}: `{field}` is {found} but `{other}` is {other_found}; both name the same setting, remove one")]
    Contradiction {
        /// File name.
        file: String,
        /// First key.
        field: &'static str,
        /// Its value.
        found: String,
        /// Second key.
        other: &'static str,
        /// Its value.
        other_found: String,
    },
}

impl ConfigError {
    /// A bad input, but for a key that is read undeclared.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Undeclared { .. } => Fault::Internal,
            _ => Fault::BadInput,
        }
    }
}
