//! What a person should know of the corpus.

use super::device::Device;
use super::stream::Streamed;
use crate::finding::{Finding, Severity};

/// Share of rows without content, of unknown tokens only, or of one token over and over, above which a corpus proves
/// nothing: of all rows, and of the different ones.
const DEGENERATE_LIMIT: f64 = 0.01;

impl Streamed {
    /// What a person should know of the corpus.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut out = self.device.as_ref().map_or_else(Vec::new, Device::findings);
        out.extend(self.other_ids.finding(self.rows));
        let mut say = |severity, code: &str, message: String| out.push(Finding::new(severity, code, message));
        if self.built_in {
            say(
                Severity::Note,
                "corpus.built_in",
                "no corpus was given: the built-in probe sentences were compared".into(),
            );
        }
        if self.empty_lines > 0 {
            say(Severity::Note, "corpus.empty_lines", format!("{} lines without text were left out", self.empty_lines));
        }
        if self.invalid_utf8 > 0 {
            say(Severity::Warning, "corpus.invalid_utf8", format!("{} rows were not UTF-8", self.invalid_utf8));
        }
        if self.truncated > 0 {
            say(
                Severity::Note,
                "corpus.truncated",
                format!("{} of {} rows were cut to the length limit", self.truncated, self.rows),
            );
        }
        let unique = self.distinct.rows();
        if unique < self.rows {
            let message = format!(
                "{unique} of {} rows say different things to the model ({} different texts; rows that differ in case, punctuation, spaces, or beyond the length limit are one): {} tokens in all, {} without the repeated rows",
                self.rows,
                self.unique_texts,
                self.tokens,
                self.distinct.tokens()
            );
            say(Severity::Note, "corpus.duplicates", message);
        }
        let most = |rows: u64| DEGENERATE_LIMIT * rows as f64;
        let degenerate = self.degenerate as f64 > most(self.rows) || self.distinct.degenerate() as f64 > most(unique);
        if self.rows > 0 && degenerate && !self.built_in {
            let message = format!(
                "{} of {} rows ({} of {unique} different ones) have no content but unknown tokens or one token over and over; such rows prove nothing: use a corpus in the model's language",
                self.degenerate,
                self.rows,
                self.distinct.degenerate()
            );
            say(Severity::Refusal, "corpus.degenerate_rows", message);
        }
        out
    }
}
