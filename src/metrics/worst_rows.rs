//! The rows a person should look at first.

use serde::{Deserialize, Serialize};

use super::worst::compare_badness;
use crate::hidden_states::{Arm, RowId, Tap};
use crate::json_float;

/// How many worst rows a report lists.
pub const WORST_ROWS: usize = 20;

/// A row, and where it was worst.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorstRow {
    /// The row.
    #[serde(flatten)]
    pub row: RowId,
    /// The tap where its relative L2 was largest.
    pub tap: Tap,
    /// In which comparison.
    pub arm: Arm,
    /// That relative L2: the largest of the row's tokens there.
    #[serde(with = "json_float")]
    pub relative_l2: f64,
    /// The token; `None` at sentence level.
    pub token: Option<u32>,
    /// Cosine distance of the row's sentence vectors, where it was measured.
    #[serde(with = "json_float::optional")]
    pub sentence_cosine_distance: Option<f64>,
}

impl WorstRow {
    /// Worst first: NaN, then the larger value, then the smaller row, tap, arm and token.
    fn rank(&self, other: &Self) -> std::cmp::Ordering {
        let place = |w: &Self| (w.row, w.tap, w.arm, w.token);
        compare_badness(other.relative_l2, self.relative_l2).then_with(|| place(self).cmp(&place(other)))
    }
}

/// The worst rows, each once, under the place where it was worst. Bounded, mergeable, in a fixed order.
///
/// Keeping only the worst so far is exact: a row that has been pushed out and comes back, comes back
/// with a value worse than any it had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Saved", from = "Saved")]
pub struct WorstRows {
    limit: usize,
    rows: Vec<WorstRow>,
}

impl Default for WorstRows {
    fn default() -> Self {
        Self::new(WORST_ROWS)
    }
}

impl WorstRows {
    /// At most `limit` rows.
    pub fn new(limit: usize) -> Self {
        Self { limit, rows: Vec::new() }
    }

    /// Offers a row's largest relative L2 at a tap ([`super::RowSeen`] has it).
    pub fn offer(&mut self, row: RowId, tap: Tap, arm: Arm, relative_l2: f64, token: Option<u32>) {
        self.insert(WorstRow { row, tap, arm, relative_l2, token, sentence_cosine_distance: None });
    }

    /// Offers a row together with its sentence's cosine distance. Hand that over with *every* offer of a
    /// row (or with none): only then is the result independent of the order of offers.
    pub fn insert(&mut self, offered: WorstRow) {
        if self.limit == 0 {
            return;
        }
        if let Some(i) = self.rows.iter().position(|w| w.row == offered.row) {
            if offered.rank(&self.rows[i]).is_ge() {
                return;
            }
            self.rows.remove(i);
        } else if self.rows.len() >= self.limit {
            if self.rows.last().is_some_and(|last| offered.rank(last).is_ge()) {
                return;
            }
            self.rows.pop();
        }
        let at = self.rows.partition_point(|w| w.rank(&offered).is_lt());
        self.rows.insert(at, offered);
    }

    /// Adds another list; the smaller limit holds.
    pub fn merge(&mut self, other: &Self) {
        self.limit = self.limit.min(other.limit);
        self.rows.truncate(self.limit);
        for row in &other.rows {
            self.insert(row.clone());
        }
    }

    /// Worst first.
    pub fn rows(&self) -> &[WorstRow] {
        &self.rows
    }
}

/// Row, tap, arm, relative L2, token, sentence's cosine distance.
type SavedRow = (RowId, Tap, Arm, u64, Option<u32>, Option<u64>);

/// The saved form: floats as bits, so that a list read back merges as the one that was written.
#[derive(Serialize, Deserialize)]
struct Saved {
    limit: usize,
    rows: Vec<SavedRow>,
}

impl From<WorstRows> for Saved {
    fn from(worst: WorstRows) -> Self {
        let row = |w: WorstRow| {
            let sentence = w.sentence_cosine_distance.map(f64::to_bits);
            (w.row, w.tap, w.arm, w.relative_l2.to_bits(), w.token, sentence)
        };
        Self { limit: worst.limit, rows: worst.rows.into_iter().map(row).collect() }
    }
}

impl From<Saved> for WorstRows {
    fn from(saved: Saved) -> Self {
        let mut worst = Self::new(saved.limit);
        for (row, tap, arm, relative_l2, token, sentence) in saved.rows {
            let sentence_cosine_distance = sentence.map(f64::from_bits);
            let relative_l2 = f64::from_bits(relative_l2);
            worst.insert(WorstRow { row, tap, arm, relative_l2, token, sentence_cosine_distance });
        }
        worst
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hidden_states::RowSet;

    fn row(row: u64) -> RowId {
        RowId { set: RowSet::Corpus, row }
    }

    #[test]
    fn nan_first_ties_to_the_smaller_row_and_each_row_once() {
        let mut worst = WorstRows::new(3);
        for (r, tap, value) in [(5, 0, 0.5), (1, 0, 0.5), (2, 0, 0.1), (9, 0, f64::NAN), (5, 1, 0.7), (5, 2, 0.6)] {
            worst.offer(row(r), Tap::Layer(tap), Arm::Total, value, Some(0));
        }
        let seen: Vec<_> = worst.rows().iter().map(|w| (w.row.row, w.tap)).collect();
        assert_eq!(seen, [(9, Tap::Layer(0)), (5, Tap::Layer(1)), (1, Tap::Layer(0))]);
        WorstRows::new(0).offer(row(1), Tap::Final, Arm::Total, 1.0, None);
        let text = serde_json::to_string(&worst).unwrap();
        let back: WorstRows = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text, "{text}");
    }

    proptest! {
        #[test]
        fn any_order_and_any_split_keep_the_same_rows(
            offers in prop::collection::vec((0u64..12, 0usize..3, 0u8..6), 0..60), cut in 0usize..60,
        ) {
            let fill = |offers: &[(u64, usize, u8)]| {
                let mut worst = WorstRows::new(4);
                for &(r, tap, value) in offers {
                    let value = if value == 5 { f64::NAN } else { f64::from(value) };
                    worst.offer(row(r), Tap::Layer(tap), Arm::Total, value, Some(r as u32));
                }
                worst
            };
            let whole = serde_json::to_string(&fill(&offers)).unwrap();
            let (a, b) = offers.split_at(cut % (offers.len() + 1));
            let reversed: Vec<_> = b.iter().rev().copied().collect();
            let mut merged = fill(&reversed);
            merged.merge(&fill(a));
            prop_assert_eq!(serde_json::to_string(&merged).unwrap(), whole);
        }
    }
}
