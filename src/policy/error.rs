//! Why a policy was refused. Every message is one line and says where.

use crate::fault::Fault;

/// A policy that cannot judge anything, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Neither an embedded policy nor a readable file.
    #[error("policy `{name}` is neither built in ({known}) nor a readable file: {cause}")]
    Unreadable {
        /// What was asked for.
        name: String,
        /// The embedded names.
        known: String,
        /// What reading it as a file said.
        cause: String,
    },
    /// Larger than any policy is.
    #[error("policy {name} has more than {limit} bytes")]
    TooLarge {
        /// The file.
        name: String,
        /// The bound.
        limit: u64,
    },
    /// Not TOML, or not a policy.
    #[error("policy {name}, line {line}, column {column}: {message}")]
    Invalid {
        /// Where the text came from.
        name: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong and, where it is known, the fix.
        message: String,
    },
}

impl PolicyError {
    /// The class of the error: a policy is something the user wrote.
    pub fn fault(&self) -> Fault {
        Fault::Usage
    }
}
