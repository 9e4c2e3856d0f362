//! How much a corpus is worth as evidence: rows that say different things to the model, in bounded memory.
//!
//! Texts that differ may be one row of ids (case, spaces, a cut at the length limit), and rows of ids that differ in
//! nothing but punctuation run the same computation again. So a row is known by its *words*: the ids as they are fed to
//! the model, turned back into text, in lower case, letters and digits only. Rows without any are all one row.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};

use super::TokenRow;

/// Rows kept: exact up to so many different ones, and beyond with a relative standard error of 1/√k, 0.4 %
/// (Bar-Yossef et al., 2002, "Counting distinct elements in a data stream"). About 3 MB.
const KEPT: usize = 1 << 16;

/// What is known of one distinct row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeenToken {
    /// Tokens of the shortest row with these words.
    tokens: u64,
    /// One of them shows the model nothing.
    degenerate: bool,
}

/// Counts distinct rows, their tokens and the tokens there are. The order in which rows are seen does not matter.
#[derive(Clone, Debug, Default)]
pub struct DistinctRows {
    /// The k smallest hashes of rows.
    smallest: BTreeMap<u64, SeenToken>,
    vocabulary: HashSet<u32>,
}

impl DistinctRows {
    /// Sees a row; `words` are those of [`WordTokenizer::words`](super::WordTokenizer::words). Rows that say the same give
    /// the same number.
    pub fn see(&mut self, row: &TokenRow, words: &str) -> u64 {
        self.vocabulary.extend(&row.ids);
        let said = hash(words);
        self.keep(said, SeenToken { tokens: row.ids.len() as u64, degenerate: is_degenerate(row) });
        said
    }

    /// Adds what another has seen.
    pub fn merge(&mut self, other: &Self) {
        self.vocabulary.extend(&other.vocabulary);
        other.smallest.iter().for_each(|(hash, known)| self.keep(*hash, *known));
    }

    fn keep(&mut self, hash: u64, new: SeenToken) {
        let known = self.smallest.entry(hash).or_insert(new);
        known.tokens = known.tokens.min(new.tokens);
        known.degenerate |= new.degenerate;
        if self.smallest.len() > KEPT {
            self.smallest.pop_last();
        }
    }

    /// Distinct rows for every one that is kept.
    fn per_kept(&self) -> f64 {
        match self.smallest.last_key_value() {
            Some((&largest, _)) if self.smallest.len() == KEPT => {
                (KEPT - 1) as f64 / (largest as f64 / u64::MAX as f64) / KEPT as f64
            }
            _ => 1.0,
        }
    }

    fn scaled(&self, kept: u64) -> u64 {
        (kept as f64 * self.per_kept()).round() as u64
    }

    /// Distinct rows.
    pub fn rows(&self) -> u64 {
        self.scaled(self.smallest.len() as u64)
    }

    /// Their tokens, each row counted once.
    pub fn tokens(&self) -> u64 {
        self.scaled(self.smallest.values().map(|known| known.tokens).sum())
    }

    /// Distinct rows that show the model nothing.
    pub fn degenerate(&self) -> u64 {
        self.scaled(self.smallest.values().filter(|known| known.degenerate).count() as u64)
    }

    /// Different token ids, special ones included.
    pub fn vocabulary(&self) -> u64 {
        self.vocabulary.len() as u64
    }
}

/// Share of a row's content that may be one token: "the the the" is none, and forty times "the" with a word behind is hardly
/// more.
const MOST_OF_ONE: f64 = 0.9;

/// True for a row without content, of unknown tokens only, or of (almost) one token over and over.
pub fn is_degenerate(row: &TokenRow) -> bool {
    if row.content == 0 || row.unknown == row.content {
        return true;
    }
    let mut seen: Vec<u32> = row.ids.clone();
    seen.sort_unstable();
    // The special tokens around the content are not repeated, so the commonest token is one of it.
    let longest = seen.chunk_by(|a, b| a == b).map(<[u32]>::len).max().unwrap_or(0);
    row.content > 1 && longest as f64 >= MOST_OF_ONE * row.content as f64
}

fn hash(words: &str) -> u64 {
    let digest = Sha256::digest(words.as_bytes());
    digest.first_chunk().map_or(0, |head| u64::from_le_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ids: &[u32]) -> TokenRow {
        TokenRow { ids: ids.to_vec(), content: ids.len() - 2, ..TokenRow::default() }
    }

    #[test]
    fn rows_of_the_same_words_are_one_row_and_the_shortest_counts() {
        let mut seen = DistinctRows::default();
        seen.see(&row(&[1, 7, 8, 9, 2]), "the cat");
        seen.see(&row(&[1, 7, 8, 2]), "the cat");
        seen.see(&row(&[1, 7, 5, 2]), "a cat");
        assert_eq!((seen.rows(), seen.tokens(), seen.vocabulary(), seen.degenerate()), (2, 8, 6, 0));
        assert_eq!(DistinctRows::default().rows(), 0);
    }

    #[test]
    fn rows_that_show_nothing_are_known() {
        for (ids, content, unknown, degenerate) in [
            (&[1u32, 2][..], 0, 0, true),
            (&[1, 9, 9, 2], 2, 2, true),
            (&[1, 7, 7, 7, 2], 3, 0, true),
            (&[1, 7, 2], 1, 0, false),
            (&[1, 7, 8, 7, 2], 3, 0, false),
            (&[1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 2], 10, 0, true),
            (&[1, 7, 7, 7, 7, 7, 7, 7, 7, 9, 8, 2], 10, 0, false),
            (&[1, 9, 7, 2], 2, 1, false),
        ] {
            let row = TokenRow { ids: ids.to_vec(), content, unknown, ..TokenRow::default() };
            assert_eq!(is_degenerate(&row), degenerate, "{ids:?}");
        }
    }

    #[test]
    fn exact_when_small_close_when_large_and_the_same_in_any_order() {
        let all = |range: std::ops::Range<u32>| {
            let mut seen = DistinctRows::default();
            range.for_each(|i| _ = seen.see(&row(&[1, i % 50, i % 7, 2]), &format!("row {}", i % 150_000)));
            seen
        };
        let (mut forth, back) = (all(0..200_000), all(100_000..300_000));
        forth.merge(&back);
        let off = |found: u64, exact: f64| (found as f64 / exact - 1.0).abs();
        assert!(off(forth.rows(), 150_000.0) < 0.02 && off(forth.tokens(), 600_000.0) < 0.02, "{}", forth.rows());
        let mut other = back.clone();
        other.merge(&all(0..200_000));
        assert_eq!((forth.rows(), forth.tokens(), forth.vocabulary()), (other.rows(), other.tokens(), 50));
        assert_eq!(all(0..60_000).rows(), 60_000);
    }
}
