//! What a person should know of the corpus.

use super::stream::Streamed;
use crate::finding::{Code, Finding, Severity, codes};
use crate::proof::device::Device;
use crate::sides::SidesFacts;

/// Share of rows without content, of unknown tokens only, or of one token over and over, above which a corpus is refused:
/// of all rows, and of the different ones. Where a twentieth of the rows measures nothing, a p99 is the p98.9 of the
/// others. Sentences of many scripts, of which MiniLM-L6 knows few, had 0.024; another language's letters alone have 1.
const DEGENERATE_LIMIT: f64 = 0.05;

/// Rows that the check cut where the program that runs the candidate would not, or elsewhere: their texts are others there.
pub(super) fn cut_elsewhere(facts: &SidesFacts, streamed: &Streamed) -> Option<Finding> {
    let rows = [streamed.truncated, streamed.rows];
    facts.runs_to.and_then(|own| elsewhere(rows, [facts.max_length, own], &facts.runs_on))
}

fn elsewhere([cut, rows]: [u64; 2], [here, own]: [usize; 2], runs_on: &str) -> Option<Finding> {
    let message = format!(
        "{cut} of {rows} rows were cut at {here} tokens, where {runs_on} takes {own} unless its caller says otherwise: the \
         verdict holds for callers that pass {here}"
    );
    (cut > 0).then(|| Finding::new(Severity::Warning, &codes::RUNTIME_CUTS_ELSEWHERE, message))
}

impl Streamed {
    /// What a person should know of the corpus.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut out = self.device.as_ref().map_or_else(Vec::new, Device::findings);
        out.extend(self.honest.findings());
        out.extend(self.other_ids.finding(self.rows));
        let mut say = |severity, code: &Code, message: String| out.push(Finding::new(severity, code, message));
        if self.built_in {
            say(
                Severity::Refusal,
                &codes::CORPUS_BUILT_IN,
                "no corpus was given: the built-in sentences were compared, which say nothing of yours; give --corpus"
                    .into(),
            );
        }
        if self.empty_lines > 0 {
            say(
                Severity::Note,
                &codes::CORPUS_EMPTY_LINES,
                format!("{} lines without text were left out", self.empty_lines),
            );
        }
        if self.invalid_utf8 > 0 {
            say(Severity::Warning, &codes::CORPUS_INVALID_UTF8, format!("{} rows were not UTF-8", self.invalid_utf8));
        }
        if self.truncated > 0 {
            say(
                Severity::Note,
                &codes::CORPUS_TRUNCATED,
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
            say(Severity::Note, &codes::CORPUS_DUPLICATES, message);
        }
        let most = |rows: u64| DEGENERATE_LIMIT * rows as f64;
        let degenerate = self.degenerate as f64 > most(self.rows) || self.distinct.degenerate() as f64 > most(unique);
        if self.degenerate > 0 && !self.built_in {
            let (severity, then) = match degenerate {
                true => (Severity::Refusal, "such rows prove nothing: use a corpus in the model's language"),
                false => (Severity::Note, "such rows prove nothing, and are few"),
            };
            let message = format!(
                "{} of {} rows ({} of {unique} different ones) have no content but unknown tokens or one token over and over; {then}",
                self.degenerate,
                self.rows,
                self.distinct.degenerate()
            );
            say(severity, &codes::CORPUS_DEGENERATE_ROWS, message);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_cut_where_the_runtime_would_not_are_told() {
        let found = elsewhere([49, 120], [256, 512], "mlx-embeddings 0.1.0").unwrap();
        assert_eq!((found.severity, found.code.as_str()), (Severity::Warning, "runtime.cuts_elsewhere"));
        assert!(
            found.message.starts_with("49 of 120 rows were cut at 256 tokens, where mlx-embeddings 0.1.0 takes 512")
        );
        assert!(elsewhere([0, 120], [256, 512], "mlx-embeddings 0.1.0").is_none());
    }
}
