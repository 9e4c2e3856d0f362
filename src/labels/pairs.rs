//! Two texts and how alike people find them.

use std::path::Path;

use super::table::{Column, rows};
use super::{LabelError, file};
use crate::corpus::SourceRecord;

/// Fewest pairs that a correlation says anything of: with ten, an interval is as wide as the correlation itself.
pub const LEAST_PAIRS: usize = 30;

/// Names of the columns in STS-B, SICK, STS12 to STS17, BIOSSES and sentence-transformers' own data sets.
const COLUMNS: [Column; 3] = [
    &["sentence1", "sentence_1", "sentence_a", "text1", "sent1"],
    &["sentence2", "sentence_2", "sentence_b", "text2", "sent2"],
    &["score", "label", "similarity_score", "relatedness_score", "similarity"],
];

/// One pair.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledPair {
    /// Line in the file, from 1.
    pub line: u64,
    /// Both texts.
    pub texts: [String; 2],
    /// How alike they are, larger for more.
    pub score: f64,
}

/// A file of pairs.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// The file.
    pub source: SourceRecord,
    /// Its pairs.
    pub rows: Vec<LabelledPair>,
}

impl Pairs {
    pub(super) fn read(path: &Path) -> Result<Self, LabelError> {
        let (text, mut source) = file::read(path)?;
        let error = |line, reason: String| LabelError::Line { file: path.to_owned(), line, reason };
        let mut out = Vec::new();
        for (line, row) in rows(path, &text, &COLUMNS, &[false; 3])? {
            let [first, second, score]: [String; 3] =
                row.try_into().map_err(|_| error(line, "has not three columns".to_owned()))?;
            let texts = [first, second];
            if texts.iter().any(|t| t.trim().is_empty()) {
                return Err(error(line, "has an empty sentence".to_owned()));
            }
            let score = score.trim().parse().ok().filter(|s: &f64| s.is_finite()).ok_or_else(|| {
                let shown: String = score.escape_debug().take(40).collect();
                error(line, format!("the score \"{shown}\" is no number"))
            })?;
            out.push(LabelledPair { line, texts, score });
        }
        let refused = |reason: String| Err(LabelError::File { file: path.to_owned(), reason });
        if out.len() < LEAST_PAIRS {
            return refused(format!("has {} pairs; a correlation needs at least {LEAST_PAIRS}", out.len()));
        }
        if out.iter().all(|pair| pair.score == out[0].score) {
            return refused(format!("every score is {}; there is nothing to correlate with", out[0].score));
        }
        source.rows = out.len() as u64;
        Ok(Self { source, rows: out })
    }
}
