//! Corpus: texts in, one row at a time, whatever file they came in. Nothing is dropped silently: what
//! is not a row is counted.
//!
//! A new format is one file and one row in [`FORMATS`].

mod jsonl;
mod lines;
pub mod probes;
mod reader;
mod unique;

use std::path::{Path, PathBuf};

use crate::fault::Fault;

pub use jsonl::TEXT_FIELDS;
pub use reader::{Corpus, CorpusCounts, CorpusRow, SourceRecord};
pub use unique::UniqueCounter;

/// Longest line accepted, in bytes, unless told otherwise: a sentence corpus with a longer line is
/// another kind of file.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// How the text of a row is found in one line of a file.
pub struct Format {
    /// Name for people.
    pub name: &'static str,
    /// File name ending, with the dot.
    pub extension: &'static str,
    /// Takes the text out of one line; an empty text is counted as empty, not as a row.
    text: fn(line: &str, field: Option<&str>) -> Result<String, String>,
}

/// Every corpus format there is.
pub const FORMATS: &[Format] = &[
    Format { name: "plain text", extension: ".txt", text: lines::text },
    Format { name: "JSON lines", extension: ".jsonl", text: jsonl::text },
];

/// What to do with bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvalidUtf8 {
    /// Stop and name the line.
    #[default]
    Refuse,
    /// Leave the row out and count it.
    Skip,
    /// Put U+FFFD in place of the bad bytes and count the row.
    Replace,
}

/// How to read a corpus.
#[derive(Clone, Debug)]
pub struct CorpusOptions {
    /// Files in order; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// JSON field that holds the text; found by itself when absent.
    pub field: Option<String>,
    /// What to do with bytes that are not UTF-8.
    pub invalid_utf8: InvalidUtf8,
    /// Longest line accepted, in bytes.
    pub max_line_bytes: usize,
    /// Stop after this many rows.
    pub limit: Option<u64>,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            field: None,
            invalid_utf8: InvalidUtf8::Refuse,
            max_line_bytes: MAX_LINE_BYTES,
            limit: None,
        }
    }
}

impl CorpusOptions {
    /// Where a row stands, for people: `corpus.txt:17`.
    pub fn place(&self, row: &CorpusRow) -> String {
        match self.files.get(row.source) {
            Some(file) if file.as_os_str() == "-" => format!("stdin:{}", row.line),
            Some(file) => format!("{}:{}", file.display(), row.line),
            None => format!("built-in probe {}", row.index),
        }
    }

    /// About how many rows there will be, for progress: the line endings of the files; none for a pipe.
    pub fn expected_rows(&self) -> Option<u64> {
        let lines = self.files.iter().try_fold(0u64, |n, file| Some(n + reader::count_lines(file)?))?;
        Some(self.limit.map_or(lines, |limit| lines.min(limit)))
    }
}

/// What can be wrong with a corpus.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The file could not be opened or read.
    #[error("corpus {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something that is not a regular file.
    #[error("corpus {}: is not a regular file (use `-` to read from a pipe)", file.display())]
    NotAFile {
        /// The path.
        file: PathBuf,
    },
    /// An ending no format has.
    #[error("corpus {}: unknown kind of file; parallax reads {known}", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// The endings it reads.
        known: String,
    },
    /// Bytes that are not UTF-8.
    #[error("corpus {}:{line}: is not UTF-8 (byte {byte} of the line); --invalid-utf8 skip or replace lets the run go on and counts such rows", file.display())]
    Utf8 {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// First bad byte within the line, from 0.
        byte: usize,
    },
    /// A line over the limit.
    #[error("corpus {}:{line}: line is longer than {limit} bytes; is this a text corpus? (--max-line-bytes raises the limit)", file.display())]
    LineTooLong {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// A line the format cannot read.
    #[error("corpus {}:{line}: {reason}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Why.
        reason: String,
    },
}

impl CorpusError {
    /// Bad input, except for files the system would not read.
    pub fn fault(&self) -> Fault {
        Fault::BadInput
    }
}

/// The format of a file by its ending; standard input is plain text, or JSON lines once a field is named.
fn format_of(file: &Path, field: Option<&str>) -> Result<&'static Format, CorpusError> {
    let name = file.to_string_lossy().to_lowercase();
    let extension = if name != "-" {
        name.as_str()
    } else if field.is_some() {
        ".jsonl"
    } else {
        ".txt"
    };
    FORMATS.iter().find(|f| extension.ends_with(f.extension)).ok_or_else(|| CorpusError::Format {
        file: file.to_owned(),
        known: FORMATS.iter().map(|f| f.extension).collect::<Vec<_>>().join(" and "),
    })
}
