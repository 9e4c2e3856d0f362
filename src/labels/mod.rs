//! Labels: what people said of sentences, read whole before any model is opened.
//!
//! Two texts and how alike they are ([`Pairs`], the layout of STS-B), or queries, documents and which document answers
//! which query ([`Retrieval`], BEIR's files).

mod file;
mod pairs;
mod retrieval;
mod table;

use std::path::PathBuf;

use crate::corpus::SourceRecord;
use crate::fault::Fault;

pub use pairs::{LEAST_PAIRS, LabelledPair, Pairs};
pub use retrieval::{LEAST_QUERIES, Query, Retrieval};

/// A text in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledText {
    /// Its id in the file, or its line.
    pub id: String,
    /// The text.
    pub text: String,
}

/// The three files of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrievalFiles {
    /// JSON lines: `_id`, `text`.
    pub queries: PathBuf,
    /// JSON lines: `_id`, `title`, `text`.
    pub documents: PathBuf,
    /// A query's id, a document's, and a grade: three columns, or TREC's four.
    pub judgements: PathBuf,
}

/// Labels as they are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelFiles {
    /// Pairs of sentences with a score.
    pub pairs: Option<PathBuf>,
    /// A search with judged documents.
    pub retrieval: Option<RetrievalFiles>,
}

/// Labels as they were read.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Pairs of sentences with a score.
    pub pairs: Option<Pairs>,
    /// A search with judged documents.
    pub retrieval: Option<Retrieval>,
}

impl Labels {
    /// Reads all that is asked for.
    ///
    /// # Errors
    /// A file that cannot be read, is no table of the kind asked for, or holds too little to score anything by.
    pub fn read(files: &LabelFiles) -> Result<Self, LabelError> {
        let pairs = files.pairs.as_deref().map(Pairs::read).transpose()?;
        let retrieval = files.retrieval.as_ref().map(Retrieval::read).transpose()?;
        Ok(Self { pairs, retrieval })
    }

    /// Every file read.
    pub fn sources(&self) -> impl Iterator<Item = &SourceRecord> {
        let pairs = self.pairs.iter().map(|p| &p.source);
        pairs.chain(self.retrieval.iter().flat_map(|r| &r.sources))
    }
}

/// What can be wrong with a file of labels.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The file could not be opened or read.
    #[error("labels {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something that is not a regular file, too large, or of an unknown kind.
    #[error("labels {}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// A line that cannot be used.
    #[error("labels {}:{line}: {reason}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Why.
        reason: String,
    },
}

impl LabelError {
    /// Always bad input.
    pub fn fault(&self) -> Fault {
        Fault::BadInput
    }
}

#[cfg(test)]
mod tests;
