//! A few built-in probes of mixed length, run on every side: what the proofs that need many passes
//! (floor, baselines, canaries) are made on.

use super::measure::{SideStates, encode_batch};
use crate::Error;
use crate::hidden_states::RowId;
use crate::sides::Sides;
use crate::tokens::{TokenBatch, TokenRow};

/// Rows in the sample. Eight of mixed length pad, differ from one another and cost a hundredth of a run
/// over 2,000 sentences.
const ROWS: usize = 8;
/// Shortest and longest row taken, in tokens.
const TOKENS: std::ops::RangeInclusive<usize> = 5..=34;

/// The rows, and what each side makes of them as one padded batch.
pub(crate) struct Sample {
    pub(crate) batch: TokenBatch,
    /// The longest probe there is, alone.
    pub(crate) longest: TokenBatch,
    pub(crate) seen: SideStates,
}

impl Sample {
    /// Picks rows of evenly spread length and runs them; none when no probe has a fitting length.
    pub(crate) fn take(sides: &Sides, rows: &[(RowId, TokenRow)]) -> Result<Option<Self>, Error> {
        let batch = pick(rows);
        if batch.rows() < 2 {
            return Ok(None);
        }
        let seen = encode_batch(sides, &batch, true)?;
        let mut longest = TokenBatch::new();
        if let Some((id, row)) = rows.iter().max_by_key(|(_, row)| row.ids.len()) {
            longest.push(*id, &row.ids, &row.type_ids);
        }
        Ok(Some(Self { batch, longest, seen }))
    }
}

/// Rows with content, evenly spread over the lengths there are; the same for the same tokenizer.
fn pick(rows: &[(RowId, TokenRow)]) -> TokenBatch {
    let fits = |row: &TokenRow| TOKENS.contains(&row.ids.len()) && row.content > 2 && !row.truncated;
    let known = |row: &TokenRow| row.unknown == 0;
    let mut fitting: Vec<&(RowId, TokenRow)> = rows.iter().filter(|(_, row)| fits(row)).collect();
    // A small vocabulary knows few of the probes' words: then unknown ones have to do.
    if fitting.iter().filter(|(_, row)| known(row)).count() >= ROWS {
        fitting.retain(|(_, row)| known(row));
    }
    fitting.sort_by_key(|(id, row)| (row.ids.len(), *id));
    fitting.dedup_by_key(|(_, row)| row.ids.clone());
    let take = fitting.len().min(ROWS);
    let mut batch = TokenBatch::new();
    for i in 0..take {
        let (id, row) = fitting[i * (fitting.len() - 1) / (take - 1).max(1)];
        batch.push(*id, &row.ids, &row.type_ids);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden_states::RowSet;

    #[test]
    fn rows_of_every_length_and_the_same_each_time() {
        let row = |n: usize, unknown| TokenRow {
            ids: vec![n as u32; n],
            type_ids: vec![0; n],
            truncated: false,
            content: n.saturating_sub(2),
            unknown,
        };
        let rows: Vec<(RowId, TokenRow)> =
            (0..60).map(|n| (RowId { set: RowSet::Probes, row: n as u64 }, row(n, usize::from(n == 9)))).collect();
        let batch = pick(&rows);
        let lengths: Vec<usize> = (0..batch.rows()).map(|r| batch.len(r)).collect();
        assert_eq!((lengths.len(), lengths.first(), lengths.last()), (ROWS, Some(&5), Some(&34)));
        assert!(lengths.windows(2).all(|w| w[0] < w[1]), "{lengths:?}");
        assert!(pick(&[]).is_empty());
    }
}
