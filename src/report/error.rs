//! What can go wrong between a report and a reader.

use std::path::{Path, PathBuf};

use super::escape::plain;
use crate::fault::Fault;

/// Characters of a path in a message; the longest Linux opens.
const PATH: usize = 4096;

/// A report that cannot be read, rendered or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not JSON, or not a report.
    #[error("not a parallax report: {message}")]
    Malformed {
        /// What the reader said, with line and column.
        message: String,
    },
    /// Written by another format version.
    #[error("report schema {found} is not known here; this version reads schema 1")]
    Schema {
        /// The number it states.
        found: u64,
    },
    /// Larger than any report is, or contradicting itself.
    #[error("report refused: {what}")]
    Unreasonable {
        /// Which size.
        what: String,
    },
    /// A renderer failed.
    #[error("cannot render {format}: {message}")]
    Render {
        /// The renderer's id.
        format: &'static str,
        /// What it said.
        message: String,
    },
    /// The output directory cannot be used.
    #[error("output directory {}: {message}", shown(path))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// A file could not be written.
    #[error("cannot write {}: {message}", shown(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
}

/// A path may hold line breaks and escapes; a message holds none.
fn shown(path: &Path) -> String {
    plain(&path.display().to_string(), PATH)
}

impl ReportError {
    /// The class of the error.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Malformed { .. } | Self::Schema { .. } | Self::Unreasonable { .. } => Fault::BadInput,
            Self::Render { .. } => Fault::Internal,
            Self::Directory { .. } | Self::Write { .. } => Fault::Environment,
        }
    }
}
